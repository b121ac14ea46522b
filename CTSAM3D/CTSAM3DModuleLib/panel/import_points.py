"""Points of a Markups list as clicks on structures, by the names that the list gives."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import ClicksFileError, CTSAM3DError
from CTSAM3DLib.io.markups import prompts_from_markups
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.mrml import clicks_from_markups_node, is_defined, shape_from_markup
from CTSAM3DLib.prompts import Click, Prompts
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.panel.workplace import Workplace

_UNNAMED = "CTSAM3D unnamed"


def prompts_by_name(
    markups_node: slicer.vtkMRMLMarkupsNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> dict[str, Prompts]:
    """Return the placed points of a list as clicks on each structure that the list names.

    A curve is one stroke, a closed curve one lasso, a ROI one box. Names and signs follow the rules
    for Markups files, see `markups.prompts_from_markups`: known anatomies by their name, others as
    they are, and an empty name for points that nothing names. Parent transforms of the list
    count. Raises ClicksFileError: there is no placed point; ClickOutsideVolumeError, NodeError,
    VolumeError as `clicks_from_markups_node`.
    """
    shape = shape_from_markup(markups_node, volume_node)
    if shape is not None:
        (name,) = _named(markups_node, [("", Click(shape.anchor_ras))])
        return {name: Prompts([shape])}
    clicks = clicks_from_markups_node(markups_node, volume_node)
    placed = [
        i for i in range(markups_node.GetNumberOfControlPoints()) if is_defined(markups_node, i)
    ]
    if not placed:
        raise ClicksFileError(f"expected placed points in {markups_node.GetName()!r}, got none")
    labels = [markups_node.GetNthControlPointLabel(index) for index in placed]
    return _named(markups_node, list(zip(labels, clicks, strict=True)))


def _named(
    markups_node: slicer.vtkMRMLMarkupsNode, points: list[tuple[str, Click]]
) -> dict[str, Prompts]:
    """Return clicks by the structure that list or label names; empty for none."""
    markups = {
        "type": "Fiducial",
        "name": markups_node.GetName() or "",
        "coordinateSystem": "RAS",
        "controlPoints": [
            {
                "label": label,
                "description": "positive" if click.positive else "negative",
                "position": list(click.position_ras),
            }
            for label, click in points
        ],
    }
    found = prompts_from_markups({"markups": [markups]}, _UNNAMED)
    return {"" if name == _UNNAMED else name: prompts for name, prompts in found.items()}


def import_points(work: Workplace, markups_node: slicer.vtkMRMLMarkupsNode) -> None:
    """Add the points of a list to the structures that it names, else to the present one.

    What goes wrong is told by the status of the workplace; then nothing was changed.
    """
    if work.nodes.volume is None or work.editor is None:
        return
    controller = work.logic.controller
    try:
        found = prompts_by_name(markups_node, work.nodes.volume)
        if "" in found and not work.nodes.segment_id:
            work.tell(Status(_("The list names no structure: add one first."), "error"))
            return
        for name, clicks in found.items():
            segment_id = _segment_for(work, name)
            present = work.nodes.prompts(segment_id)
            new = [click for click in clicks if click not in present]
            wanted = Prompts([*present, *new])
            controller.put(work.nodes.target(segment_id), wanted, work.editor.choice)
    except CTSAM3DError as error:
        work.tell(Status(str(error), "error"))
    work.refresh()


def _segment_for(work: Workplace, name: str) -> str:
    """Return the structure for a name in a list of points, added if it must be."""
    if find(name) is not None or not work.nodes.segment_id:
        present = work.nodes.segment_id
        segment_id = work.nodes.segment_named(name) or work.nodes.new_segment(name)
        work.select(present or segment_id)
        return segment_id
    return work.nodes.segment_named(name) or work.nodes.segment_id
