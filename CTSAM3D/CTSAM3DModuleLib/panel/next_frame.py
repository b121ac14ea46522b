"""Carries the structures of the panel to the next frame of a sequence. Main thread only."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DModuleLib.editing.editor import Status
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.scripting.carrying import DRIFT_TAG, carry_on, tracks_of


def next_frame(work: Workplace) -> None:
    """Show the next frame and segment all structures there, into a new segmentation.

    The segmentation of the frame before is hidden. After an error, which is told, the frame before
    is shown again.

    Parameters
    ----------
    work : Workplace
        Open, not busy, on a volume of a sequence that has a further frame.
    """
    browser, volume, before = work.nodes.browser, work.nodes.volume, work.nodes.segmentation
    item = browser.GetSelectedItemNumber()
    name = f"{volume.GetName()} [{item + 1}] segmentation"
    names = [work.nodes.segment_name(one) for one in work.nodes.with_clicks()]
    present = work.nodes.segment_name(work.nodes.segment_id)
    if not names:
        work.tell(Status(_("No structure has points yet."), "error"))
        return
    with slicer.util.WaitCursor():
        try:
            tracks = tracks_of(before, volume, names)
            browser.SetSelectedItemNumber(item + 1)
            node = carry_on(work.logic, volume, tracks, work.editor.choice, None, name)
        except (CTSAM3DError, ImportError) as error:
            browser.SetSelectedItemNumber(item)
            work.tell(Status(str(error), "error"))
            return
    before.GetDisplayNode().SetVisibility(False)
    work.nodes.parameters.segmentation = node
    work.select(work.nodes.segment_named(present) or work.nodes.segment_id)
    told = _warnings(node)
    text = _("Frame {frame}: {count} structures carried on.").format(
        frame=item + 2, count=len(names)
    )
    work.tell(Status(" ".join([text, *told]), "error" if told else "done"))


def _warnings(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Return a line for each structure that may be lost."""
    lines, segmentation = [], segmentation_node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        segment, text = segmentation.GetSegment(segment_id), vtk.reference("")
        if segment.GetTag(DRIFT_TAG, text):
            lines.append(f"{segment.GetName()} {text}")
    return lines
