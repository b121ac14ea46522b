"""Clicks as scripts give them, as clicks on one volume; all are checked before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import slicer

from CTSAM3DLib.errors import ClickOutsideVolumeError, ClicksFileError, CTSAM3DError
from CTSAM3DLib.io.clicks import check_name, prompts_from_points, read_clicks
from CTSAM3DLib.io.markups import prompts_from_markups
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.mrml import (
    clicks_from_markups_node,
    is_defined,
    prompt_from_world_ras,
    shape_from_markup,
)
from CTSAM3DLib.mrml.frames import geometry_from_node, name_of, text_of
from CTSAM3DLib.prompts import Click, Prompts
from CTSAM3DLib.session.points import obeyed_voxels


def prompts_on_volume(
    clicks: Any, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> dict[str, Prompts]:
    """Return the clicks of each structure in the RAS frame of a volume.

    Raises ClicksFileError: no clicks, malformed ones, or two names for one structure;
    ClickOutsideVolumeError: the text names structure and click; NodeError, VolumeError as
    `click_from_world_ras`.

    Parameters
    ----------
    clicks : mapping, Markups node, path, or list of the latter two
        - Structure name to ``{"positive": [[r, a, s], ...], "negative": [...]}`` or
          ``{"clicks": [[r, a, s, 1 or 0], ...]}``: world RAS, mm, as Slicer shows it; all parent
          transforms of the volume are undone. Other prompts as in clicks files, likewise.
        - Structure name to a Markups point list, curve, closed curve or ROI, or a list of them; one
          of them, or a point, is negative if its name ends with the word ``negative``. World
          positions, too.
        - Structure name to a `ClickHistory`: RAS of the volume itself.
        - A Markups point list, or several: they name the structures, see
          `CTSAM3DLib.io.markups.prompts_from_markups`.
        - The path of a clicks file, or several: RAS of the volume itself.
    volume_node : vtkMRMLScalarVolumeNode
        The clicked volume.

    Returns
    -------
    dict of str to Prompts
        In the order given; every structure has clicks.
    """
    geometry_from_node(volume_node)
    if isinstance(clicks, Mapping):
        found = {name: _of_structure(name, given, volume_node) for name, given in clicks.items()}
    else:
        several = list(clicks) if isinstance(clicks, (list, tuple)) else [clicks]
        if several and all(isinstance(one, slicer.vtkMRMLMarkupsNode) for one in several):
            found = _of_point_lists(several, volume_node)
        elif several and all(isinstance(one, (str, Path)) for one in several):
            found = {
                name: _checked(name, prompts, volume_node)
                for name, prompts in read_clicks(several).items()
            }
        else:
            kinds = ", ".join(sorted({type(one).__name__ for one in several})) or "nothing"
            raise ClicksFileError(
                f"expected a mapping of names to clicks, Markups nodes or paths, got {kinds}"
            )
    if not found:
        raise ClicksFileError("expected clicks for at least one structure, got none")
    _check_distinct(found)
    return found


def same_structure(first: str, second: str) -> bool:
    """Tell whether two names mean one structure.

    Examples
    --------
    >>> same_structure("Left kidney", "kidney_left"), same_structure("lesion", "Lesion")
    (True, False)
    """
    known = find(first)
    return first == second or (known is not None and known == find(second))


def segment_named(segmentation_node: slicer.vtkMRMLSegmentationNode, name: str) -> str | None:
    """Return the id of the first segment that means a structure, None if there is none."""
    segmentation = segmentation_node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        if same_structure(text_of(segmentation.GetSegment(segment_id).GetName()), name):
            return segment_id  # bytes where it is not in UTF-8
    return None


def _of_structure(name: Any, given: Any, volume_node: slicer.vtkMRMLScalarVolumeNode) -> Prompts:
    """Return the clicks of one structure, given with its name."""
    check_name(name)
    if isinstance(given, Prompts):
        prompts = _checked(name, given, volume_node)
    else:
        nodes = given if isinstance(given, (list, tuple)) else [given]
        if nodes and all(isinstance(node, slicer.vtkMRMLMarkupsNode) for node in nodes):
            prompts = Prompts(one for node in nodes for one in _of_node(name, node, volume_node))
        else:
            world = prompts_from_points(given, f"structure {name!r}")
            prompts = _from_world(name, world, volume_node)
    if not prompts:
        raise ClicksFileError(f"structure {name!r}: expected clicks, got none")
    return prompts


def _of_node(name: str, node: Any, volume_node: slicer.vtkMRMLScalarVolumeNode) -> Prompts:
    """Return the clicks of a point list, or the one prompt of a curve, closed curve or ROI."""
    try:
        shape = shape_from_markup(node, volume_node)
        if shape is not None:
            return Prompts([shape])
        return clicks_from_markups_node(_points(node), volume_node)
    except CTSAM3DError as error:
        raise type(error)(f"structure {name!r}, {name_of(node)}: {error}") from error


def _of_point_lists(
    nodes: Iterable[Any], volume_node: slicer.vtkMRMLScalarVolumeNode
) -> dict[str, Prompts]:
    """Return the clicks of point lists that name their structures."""
    joined: dict[str, list[Click]] = {}
    for node in nodes:
        content = {"markups": [_markups(_points(node))]}
        for name, prompts in prompts_from_markups(content, text_of(node.GetName())).items():
            joined.setdefault(name, []).extend(prompts)
    return {
        name: _from_world(name, Prompts(clicks), volume_node) for name, clicks in joined.items()
    }


def _markups(node: slicer.vtkMRMLMarkupsNode) -> dict[str, Any]:
    """Return a point list as its file would tell it, in the world."""
    points = []
    for index in range(node.GetNumberOfControlPoints()):
        position_world_ras = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(index, position_world_ras)
        points.append(
            {
                "label": text_of(node.GetNthControlPointLabel(index)),
                "description": text_of(node.GetNthControlPointDescription(index)),
                "position": position_world_ras,
                "positionStatus": "defined" if is_defined(node, index) else "undefined",
            }
        )
    return {
        "type": node.GetMarkupType(),
        "name": text_of(node.GetName()),
        "coordinateSystem": "RAS",
        "controlPoints": points,
    }


def _points(node: slicer.vtkMRMLMarkupsNode) -> slicer.vtkMRMLMarkupsNode:
    """Return a node that is a point list."""
    if node.GetMarkupType() != "Fiducial":
        raise ClicksFileError(
            f"expected a point list, got {name_of(node)}, of the type {node.GetMarkupType()}. "
            'A curve, closed curve or ROI comes with the name of its structure: {"liver": node}'
        )
    return node


def _from_world(name: str, world: Prompts, volume_node: slicer.vtkMRMLScalarVolumeNode) -> Prompts:
    """Return prompts whose positions are in the world as prompts on a volume."""
    own = Prompts(prompt_from_world_ras(prompt, volume_node) for prompt in world)
    return _checked(name, own, volume_node)


def _checked(name: str, prompts: Prompts, volume_node: slicer.vtkMRMLScalarVolumeNode) -> Prompts:
    """Return clicks in the frame of the volume if they lie inside."""
    geometry = geometry_from_node(volume_node)
    for number, click in enumerate(prompts, start=1):
        try:
            obeyed_voxels(click, geometry)
        except ClickOutsideVolumeError as error:
            raise ClickOutsideVolumeError(f"structure {name!r}, click {number}: {error}") from error
    return prompts


def _check_distinct(names: Iterable[str]) -> None:
    """Raise for two names of one structure: they would share a segment."""
    seen: list[str] = []
    for name in names:
        for other in seen:
            if same_structure(name, other):
                raise ClicksFileError(f"expected every structure once, got {other!r} and {name!r}")
        seen.append(name)
