"""Carries the structures of the panel to the next frame of a sequence. Main thread only."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from CTSAM3DLib.engine import ClickAnswer
from CTSAM3DLib.errors import CTSAM3DError, VolumeError
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.mrml import volume_from_node
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.panel.progress import QuestionProgress
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.scripting.carrying import (
    DRIFT_TAG,
    carry_requests,
    new_frame,
    tracks_of,
)


def next_frame(work: Workplace) -> None:
    """Ask for all structures in the next frame of a sequence; it is shown with all answers."""
    names = [work.nodes.segment_name(one) for one in work.nodes.with_clicks()]
    if not names:
        work.tell(Status(work.nodes.clicks_reason, "error"))
        return
    work.begin(lambda: Carrying(work, names))


class Carrying(QuestionProgress):
    """The way to the next frame. Until its end the scene is as it was; then one frame is left.

    Raises CTSAM3DError: the next frame is no volume, or has another voxel grid.
    """

    def __init__(self, work: Workplace, names: list[str]) -> None:
        super().__init__(work)
        nodes = work.nodes
        self._volume, self._before, self._browser = nodes.volume, nodes.segmentation, nodes.browser
        self._item = self._browser.GetSelectedItemNumber()
        self._begun = self._seen()
        self._tracks = tracks_of(self._before, self._volume, names)
        self._updates: list[MaskUpdate] = []
        self.total = len(names)
        key = ("frame", object())  # of its own: the frame before is left alone
        volume = self._volume_of_next()
        self._requests = carry_requests(volume, key, self._tracks, work.editor.choice)

    @property
    def blocks(self) -> str:
        """Why nothing can be edited meanwhile."""
        return _("Wait for the next frame, or cancel.")

    @property
    def busy(self) -> bool:
        """Whether structures are awaited."""
        return len(self._updates) < self.total

    @property
    def done(self) -> int:
        """How many are there."""
        return len(self._updates)

    def ask(self) -> None:
        """Ask for all of them."""
        controller = self._work.logic.controller
        for request in self._requests:
            controller.questions.carry(request, lambda future: self.on_answer(future, self._note))
        controller.engine.forget(self._requests[0].volume_key)  # after the last one

    def report(self) -> Status:
        """Return a line for the user: what is under way."""
        text = _("Frame {frame}: segmenting {name} ({number} of {total}) ...").format(
            frame=self._item + 2,
            name=self._tracks[self.done].name,
            number=self.done + 1,
            total=self.total,
        )
        return Status(text, "busy")

    def finish(self) -> None:
        """Show the next frame."""
        self._work.end(self._show())

    # ---- inside

    def _volume_of_next(self) -> Volume:
        """Return the voxels of the next frame, which is not shown yet."""
        value = self._browser.GetMasterSequenceNode().GetNthIndexValue(self._item + 1)
        node = self._browser.GetSequenceNode(self._volume).GetDataNodeAtValue(value, False)
        if node is None:
            raise VolumeError(f"expected a volume in frame {self._item + 2}, got none")
        return volume_from_node(node)

    def _seen(self) -> list[Any]:
        """Return what must stay as it is until the next frame is there."""
        work, nodes = self._work, self._work.nodes
        seen = [nodes.volume, nodes.segmentation, self._browser.GetSelectedItemNumber()]
        for one in nodes.with_clicks() if nodes.volume is not None else ():
            target = nodes.target(one)
            seen.append((one, work.logic.controller.prompts(target), target.digest()))
        return seen

    def _note(self, answer: ClickAnswer) -> None:
        self._updates.append(answer.update)
        of = f"{self._tracks[self.done - 1].name}: "
        self._notices += [*answer.notices, *(of + text for text in answer.cuts)]

    def _show(self) -> Status:
        """Show the next frame with its segmentation, and return what to tell."""
        if self._seen() != self._begun:
            text = _("Points, segments or the frame were changed meanwhile: carry on once more.")
            return Status(text, "error")
        work, nodes = self._work, self._work.nodes
        present = nodes.segment_name(nodes.segment_id)
        name = f"{self._volume.GetName()} [{self._item + 1}] segmentation"
        self._browser.SetSelectedItemNumber(self._item + 1)
        try:
            node = new_frame(work.logic, self._volume, self._tracks, self._updates, name)
        except CTSAM3DError as error:
            self._browser.SetSelectedItemNumber(self._item)
            return Status(str(error), "error")
        self._before.GetDisplayNode().SetVisibility(False)
        nodes.parameters.segmentation = node
        work.select(nodes.segment_named(present) or nodes.segment_id)
        text = _("Frame {frame}: {count} structures carried on.").format(
            frame=self._item + 2, count=self.total
        )
        told = _warnings(node)
        kind = "error" if told else "warning" if self._notices else "done"
        return Status(" ".join([*self._notices, text, *told]), kind)


def _warnings(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Return a line for each structure that may be lost."""
    lines, segmentation = [], segmentation_node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        segment, text = segmentation.GetSegment(segment_id), vtk.reference("")
        if segment.GetTag(DRIFT_TAG, text):
            lines.append(f"{segment.GetName()} {text}")
    return lines
