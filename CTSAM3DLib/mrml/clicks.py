"""Points of markups nodes and of views as clicks, and back."""

from __future__ import annotations

import slicer
from numpy.typing import ArrayLike

from CTSAM3DLib.errors import ClickOutsideVolumeError, NodeError
from CTSAM3DLib.io.markups import prompts_from_markups
from CTSAM3DLib.mrml.frames import (
    geometry_from_node,
    name_of,
    text_of,
    volume_from_world,
    world_from_volume,
)
from CTSAM3DLib.prompts import Click, Prompts


def click_from_world_ras(
    position_world_ras: ArrayLike,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    positive: bool = True,
) -> Click:
    """Return a click at a point of the world, RAS mm, as views and markups give it.

    All parent transforms of the volume are undone, linear or not: the click is in the RAS frame of
    the volume itself, so that moving the volume moves the click along. Raises
    ClickOutsideVolumeError: the point lies outside the voxels of the volume; GeometryError: not
    three finite numbers; NodeError: a non-linear parent transform cannot be inverted there;
    VolumeError: the volume has no voxels.
    """
    position_ras = volume_from_world(position_world_ras, volume_node)
    geometry_from_node(volume_node).voxel_from_ras(position_ras)
    r, a, s = position_ras.tolist()
    return Click((r, a, s), positive)


def world_from_click(
    click: Click, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> tuple[float, float, float]:
    """Return where a click lies in the world now, RAS mm, through all parent transforms.

    Examples
    --------
    >>> world_from_click(Click((1, 2, 3)), slicer.vtkMRMLScalarVolumeNode())
    (1.0, 2.0, 3.0)
    """
    r, a, s = world_from_volume(click.position_ras, volume_node).tolist()
    return r, a, s


def is_defined(markups_node: slicer.vtkMRMLMarkupsNode, index: int) -> bool:
    """Whether a control point has been placed: not a preview, not unset, not marked missing.

    Raises NodeError: there is no such control point.
    """
    count = markups_node.GetNumberOfControlPoints()
    if not 0 <= index < count:
        raise NodeError(
            f"expected one of {count} control points of {name_of(markups_node)}, got {index}"
        )
    status = markups_node.GetNthControlPointPositionStatus(index)
    return bool(status == slicer.vtkMRMLMarkupsNode.PositionDefined)


def click_from_control_point(
    markups_node: slicer.vtkMRMLMarkupsNode,
    index: int,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    positive: bool | None = None,
) -> Click:
    """Return a control point as a click on a volume; its parent transforms count too.

    Without `positive` the names tell the sign, in the way of Markups files (see
    `markups.prompts_from_markups`): negative if label or node name ends with the word ``negative``,
    overruled by the description ``negative`` or ``positive``. Raises NodeError: there is no such
    control point or it is not placed (a preview, unset or missing); also as `click_from_world_ras`.
    """
    if not is_defined(markups_node, index):
        status = markups_node.GetNthControlPointPositionStatus(index)
        got = markups_node.GetPositionStatusAsString(status)
        raise NodeError(
            f"expected control point {index} of {name_of(markups_node)} to be placed, got {got}"
        )
    if positive is None:
        positive = positive_by_name(markups_node, index)
    position_world_ras = [0.0, 0.0, 0.0]
    markups_node.GetNthControlPointPositionWorld(index, position_world_ras)
    return click_from_world_ras(position_world_ras, volume_node, positive)


def clicks_from_markups_node(
    markups_node: slicer.vtkMRMLMarkupsNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> Prompts:
    """Return all placed control points of a markups node as the clicks on one structure.

    Previews, unset and missing points are passed over. Which points are negative, their names
    say; see `click_from_control_point`, also for errors.

    Examples
    --------
    >>> import vtk
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> volume = slicer.vtkMRMLScalarVolumeNode()
    >>> volume.SetAndObserveImageData(image)
    >>> points = slicer.vtkMRMLMarkupsFiducialNode()
    >>> points.AddControlPointWorld((1.0, 2.0, 3.0)), points.AddControlPointWorld((4.0, 0.0, 0.0))
    (0, 1)
    >>> points.SetNthControlPointLabel(1, "negative-1")
    >>> [click.positive for click in clicks_from_markups_node(points, volume)]
    [True, False]
    """
    clicks = []
    for index in range(markups_node.GetNumberOfControlPoints()):
        if not is_defined(markups_node, index):
            continue
        try:
            clicks.append(click_from_control_point(markups_node, index, volume_node))
        except ClickOutsideVolumeError as error:
            raise ClickOutsideVolumeError(
                f"control point {index} of {name_of(markups_node)}: {error}"
            ) from error
    return Prompts(clicks)


def positive_by_name(markups_node: slicer.vtkMRMLMarkupsNode, index: int | None = None) -> bool:
    """Return the sign of a node, or of a control point of it, by the rules for Markups files."""
    point: dict[str, object] = {"label": "", "position": [0.0, 0.0, 0.0]}
    if index is not None:
        point["label"] = text_of(markups_node.GetNthControlPointLabel(index))
        point["description"] = text_of(markups_node.GetNthControlPointDescription(index))
    name = text_of(markups_node.GetName())
    markups = {"type": "Fiducial", "name": name, "controlPoints": [point]}
    # The last name stands in for a structure, which does not matter here.
    (prompts,) = prompts_from_markups({"markups": [markups]}, "structure").values()
    return prompts[0].positive
