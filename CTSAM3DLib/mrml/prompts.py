"""Curves and ROIs of Markups as prompts; prompts from the world to the frame of a volume."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike, NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from CTSAM3DLib.errors import NodeError
from CTSAM3DLib.mrml.clicks import positive_by_name
from CTSAM3DLib.mrml.frames import (
    array_from_matrix,
    geometry_from_node,
    matrix_from_array,
    name_of,
    volume_from_world,
    world_from_volume,
)
from CTSAM3DLib.prompts import Box, Lasso, Prompt, Scribble

_Kind = TypeVar("_Kind", bound=Prompt)

MARKUPS_CLASSES = {
    "scribble": "vtkMRMLMarkupsCurveNode",
    "lasso": "vtkMRMLMarkupsClosedCurveNode",
    "box": "vtkMRMLMarkupsROINode",
}
"""Which Markups node has the shape of a kind of prompt; a click is a point of a list."""


def scribble_from_curve(
    curve_node: slicer.vtkMRMLMarkupsCurveNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> Scribble:
    """Return the shown line of a curve of Markups, open or closed, as a scribble."""
    points = curve_node.GetCurvePointsWorld()
    if points is None or points.GetNumberOfPoints() == 0:
        raise NodeError(
            f"expected a line in {name_of(curve_node)}, got fewer than two placed points"
        )
    line = Scribble(vtk_to_numpy(points.GetData()).tolist(), positive_by_name(curve_node, 0))
    scribble = prompt_from_world_ras(line, volume_node)
    geometry_from_node(volume_node).voxels_from_ras(scribble.line_ras)
    return scribble


def box_from_roi(
    roi_node: slicer.vtkMRMLMarkupsROINode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> Box:
    """Return a ROI of Markups of the type Box as a box."""
    if roi_node.GetROIType() != slicer.vtkMRMLMarkupsROINode.ROITypeBox:
        got = roi_node.GetROITypeAsString(roi_node.GetROIType())
        raise NodeError(f"expected {name_of(roi_node)} to be of the type Box, got {got}")
    matrix = array_from_matrix(roi_node.GetObjectToNodeMatrix())[:3]
    halves = (matrix[:, :3] * roi_node.GetSize()).T / 2.0

    def world(position: ArrayLike) -> NDArray[np.float64]:
        moved = [0.0, 0.0, 0.0]
        roi_node.TransformPointToWorld(np.asarray(position).tolist(), moved)
        return np.array(moved)

    middle = matrix[:, 3]
    edges = [world(middle + half) - world(middle - half) for half in halves]
    positive = positive_by_name(roi_node)
    in_world = Box(world(middle).tolist(), np.array(edges).tolist(), positive)
    box = prompt_from_world_ras(in_world, volume_node)
    geometry_from_node(volume_node).voxel_from_ras(box.anchor_ras)
    return box


def shape_from_markup(
    node: slicer.vtkMRMLMarkupsNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> Scribble | Lasso | Box | None:
    """Return the prompt of a curve, closed curve or ROI; None for any other node.

    The parent transforms of both nodes count. The name of the node says whether the prompt lies
    outside. Raises ClickOutsideVolumeError: a point of the curve, or the middle of the ROI, lies
    outside the voxels of the volume; GeometryError: a closed curve is not flat or surrounds
    nothing, or a ROI has no volume; NodeError: a curve has no line yet, a ROI is of another type
    than Box, or a non-linear parent transform cannot be inverted there; VolumeError: the volume has
    no voxels.

    Examples
    --------
    >>> shape_from_markup(slicer.vtkMRMLMarkupsFiducialNode(), slicer.vtkMRMLScalarVolumeNode())
    """
    if isinstance(node, slicer.vtkMRMLMarkupsClosedCurveNode):  # is a curve, too
        line = scribble_from_curve(node, volume_node)
        return Lasso(line.line_ras, line.positive)
    if isinstance(node, slicer.vtkMRMLMarkupsCurveNode):
        return scribble_from_curve(node, volume_node)
    if isinstance(node, slicer.vtkMRMLMarkupsROINode):
        return box_from_roi(node, volume_node)
    return None


def world_points(
    prompt: Prompt, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> NDArray[np.float64]:
    """Return where the `corners_ras` of a prompt lie in the world now, (N, 3) RAS mm.

    Examples
    --------
    >>> world_points(Scribble([(1, 2, 3)]), slicer.vtkMRMLScalarVolumeNode()).tolist()
    [[1.0, 2.0, 3.0]]
    """
    return np.array([world_from_volume(one, volume_node) for one in prompt.corners_ras])


def set_markup_points(
    node: slicer.vtkMRMLMarkupsNode, points_world_ras: NDArray[np.float64]
) -> None:
    """Give a node of `MARKUPS_CLASSES` without parent transform the shape that `world_points` gave.

    Examples
    --------
    >>> node = slicer.vtkMRMLMarkupsROINode()
    >>> box = Box.of_corners((0, 0, 0), (2, 4, 6))
    >>> set_markup_points(node, world_points(box, slicer.vtkMRMLScalarVolumeNode()))
    >>> list(node.GetSize()), list(node.GetCenter())
    ([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    """
    if not isinstance(node, slicer.vtkMRMLMarkupsROINode):
        points = vtk.vtkPoints()
        points.SetData(numpy_to_vtk(points_world_ras, deep=True))
        node.SetControlPointPositionsWorld(points)
        return
    edges = points_world_ras[4:] - points_world_ras[1:4]
    lengths = np.linalg.norm(edges, axis=1)
    columns = np.vstack([edges / lengths[:, None], points_world_ras[:1]]).T
    node.SetSize(*lengths.tolist())
    node.SetAndObserveObjectToNodeMatrix(matrix_from_array(np.vstack([columns, [0, 0, 0, 1]])))


def prompt_from_world_ras(prompt: _Kind, volume_node: slicer.vtkMRMLScalarVolumeNode) -> _Kind:
    """Return a prompt whose positions are in the world, RAS mm, as one in the frame of a volume.

    All parent transforms of the volume are undone. The faces of a box stay flat: under a non-linear
    transform its edges end where the middles of its faces come to lie. Raises GeometryError: a
    lasso is not flat any more; NodeError: a non-linear parent transform cannot be inverted there.

    Examples
    --------
    >>> from CTSAM3DLib.prompts import Click
    >>> node = slicer.vtkMRMLScalarVolumeNode()
    >>> prompt_from_world_ras(Click((1, 2, 3)), node)
    Click(position_ras=(1.0, 2.0, 3.0), positive=True)
    """
    own = [volume_from_world(one, volume_node) for one in prompt.corners_ras]
    return prompt.with_corners(np.array(own))
