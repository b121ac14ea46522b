"""All that can be done in the panel; knows no widget of it. Main thread only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml import set_segment_model
from CTSAM3DLib.mrml.frames import text_of
from CTSAM3DLib.prompts import Prompt
from CTSAM3DModuleLib.editing.edit import Outcome
from CTSAM3DModuleLib.editing.editor import ClickEditor
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.editing.target import segment_events
from CTSAM3DModuleLib.panel.nodes import PanelNodes
from CTSAM3DModuleLib.panel.progress import Progress, QuestionProgress
from CTSAM3DModuleLib.panel.steps import Steps
from CTSAM3DModuleLib.widgets import Observed, timer

KEPT_LATENCIES = 5


class Workplace:
    """The actions of the buttons of the panel.

    `on_changed` is called without arguments when anything to show may have changed, `on_status`
    with a `Status`.
    """

    def __init__(
        self,
        logic: Any,
        on_changed: Callable[[], object],
        on_status: Callable[[Status], object],
    ) -> None:
        self.logic = logic
        self.nodes = PanelNodes(logic)
        self.steps = Steps(logic, self.nodes)
        self.editor: ClickEditor | None = None
        self.progress = Progress()
        self.torch_reason = ""
        self.latencies_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self.last_device = ""
        self.last_error: BaseException | None = None
        self.status = Status()
        self._on_changed = on_changed
        self._on_status = on_status
        self._segmentation: Any = None
        self._volume: Any = None
        self._updating = False
        self._soon = timer(0, self.refresh, single=True)
        # Not now: some events come in the middle of a change.
        self._segments = Observed(self._soon.start)

    # ---- opening and closing

    def open(self) -> None:
        """Begin: show markers, take over what the Segment Editor edits."""
        if self.editor is None:
            self.editor = ClickEditor(self.logic.controller, self.tell)
            self.logic.controller.undo.keepers["panel"] = self.steps.keep
            self.logic.controller.started.append(self._on_changed)
            self.logic.controller.finished.append(self._on_finished)
        self.update()

    def close(self) -> None:
        """End: markers vanish, nothing is heard any more; answers under way are still written."""
        self._soon.stop()
        self._observe(None)
        self.progress = Progress()
        if self.editor is not None:
            self.editor.close()
            self.editor = None
            self.logic.controller.started.remove(self._on_changed)
            self.logic.controller.finished.remove(self._on_finished)
        self.tell(Status())

    def prepare(self) -> None:
        """Load the model in spare time, so that the first click is quick."""
        if self.editor is not None:
            self.logic.prepare(self.editor.next_choice)

    @property
    def reason(self) -> str:
        """Why nothing can be segmented; empty if it can."""
        if self.nodes.volume_reason:
            return self.nodes.volume_reason
        if not self.nodes.segment_id:
            return _("Add a structure first.")
        return self.torch_reason or self.progress.blocks

    @property
    def waiting_reason(self) -> str:
        """Why nothing can be asked now; empty if no answer is awaited."""
        return _("Wait for the result, or cancel.") if self.busy else ""

    # ---- following

    def set_parameters(self, parameters: Any) -> None:
        """Take other parameters, whose volume and segmentation belong together; None for none."""
        self.nodes.parameters = parameters
        self._volume = self.nodes.volume

    def update(self) -> None:
        """Edit what the parameters name."""
        if self.editor is None or self.nodes.parameters is None or self._updating:
            return
        if slicer.mrmlScene.IsImporting():  # of what is named not all is there yet
            return
        self._updating = True
        left, awaited = "", None
        try:
            if self.nodes.volume is not None and self.nodes.volume is not self._volume:
                self._volume = self.nodes.volume
                left = self.nodes.follow_volume()
            if self.nodes.segmentation is not self._segmentation and self.busy:
                awaited = self._leave(self._segmentation)
            self._observe(self.nodes.segmentation)
            if not self.nodes.segment_id:
                self.nodes.parameters.segmentId = next(iter(self.nodes.segment_ids()), "")
            self._hand_to_segment_editor()
            self.editor.choice = ModelChoice(
                model=self.nodes.parameters.model or None,
                device=self.nodes.parameters.device,
                grow=self.nodes.parameters.grow,
            )
            ready = self.nodes.volume is not None and self.nodes.segment_id
            self.editor.edit(self.nodes.target(self.nodes.segment_id) if ready else None)
        finally:
            self._updating = False
        if awaited is not None:
            self.tell(awaited)
        elif left:
            text = _("{name} is of another CT and stays as it is. Choose it to use it here, too.")
            self.tell(Status(text.format(name=left)))
        self._on_changed()

    def refresh(self) -> None:
        """Show what is there: after undo, redo, loading, or changes by others."""
        self.update()
        if self.editor is not None:
            self.editor.refresh()

    def tell(self, status: Status) -> None:
        """Pass on a line for the user."""
        self.status = status
        self.act(ClickEditor.keep_line)
        self._on_status(status)

    def _observe(self, node: Any) -> None:
        self._segmentation = node
        self._segments.follow(None if node is None else node.GetSegmentation(), segment_events())

    def _leave(self, segmentation: Any) -> Status:
        """Return what becomes of what is asked, now that another segmentation is chosen."""
        if segmentation is not None and not slicer.mrmlScene.IsNodePresent(segmentation):
            if self.progress.is_of(segmentation):
                self.progress = Progress()
            self.logic.controller.cancel(segmentation)  # could not be written any more
        self.logic.controller.questions.cancel()
        others = {*self.logic.controller.segmentations} - {self.nodes.segmentation}
        if not others:
            return self.status
        names = ", ".join(sorted(text_of(one.GetName()) for one in others))
        text = _("{name} still gets what is being computed.")
        return Status(text.format(name=names), "busy")

    def _hand_to_segment_editor(self) -> None:
        """Let the settings of the Segment Editor, masks included, hold for what is edited here."""
        node = self.logic.editorNode()
        if self.nodes.segmentation is not None and self.nodes.volume is not None:
            with slicer.util.NodeModify(node):
                node.SetAndObserveSegmentationNode(self.nodes.segmentation)
                node.SetAndObserveSourceVolumeNode(self.nodes.volume)
                node.SetSelectedSegmentID(self.nodes.segment_id)

    # ---- structures

    def select(self, segment_id: str) -> None:
        """Turn to another structure."""
        if self.nodes.parameters is not None and segment_id != self.nodes.segment_id:
            self.nodes.parameters.segmentId = segment_id
            self.update()

    def add_structure(self, name: str) -> str:
        """Add a structure, turn to it and return its id; one of that name is not added twice.

        The id is empty, with a status, if it cannot be added.
        """
        if self.nodes.volume_reason or self.nodes.parameters is None:
            self.tell(Status(self.nodes.volume_reason, "error"))
            return ""
        try:
            segment_id = self.nodes.segment_named(name) or self.nodes.new_segment(name)
        except CTSAM3DError as error:
            self.tell(Status(str(error), "error"))
            return ""
        self.select(segment_id)
        return segment_id

    def use_model(self, model_id: str) -> None:
        """Have a model answer the next prompts of the structure alone; empty for that of all."""
        if self.nodes.segment_id:
            set_segment_model(self.nodes.segmentation, self.nodes.segment_id, model_id)
            self.refresh()

    def remove_structure(self) -> None:
        """Remove the structure, as one step of undo."""
        if self.nodes.segment_id:
            self.logic.controller.undo.save(self.nodes.segmentation, self.logic.editorNode())
            self.nodes.segmentation.GetSegmentation().RemoveSegment(self.nodes.segment_id)
            self.refresh()

    # ---- undo

    def undo(self) -> None:
        """Take back the last step: what waits, else what is under way, or points and voxels."""
        if self.editor is not None and self.editor.take_back():
            return
        if self.steps.awaited:
            self.cancel(self.nodes.segmentation)
            return
        self.steps.editor_logic().Undo()
        self.tell(Status())
        self.refresh()

    def redo(self) -> None:
        """Take the undo back."""
        self.steps.editor_logic().Redo()
        self.tell(Status())
        self.refresh()

    # ---- work

    def act(self, action: Callable[[ClickEditor], object]) -> None:
        """Call a method of the editor, if the panel is open."""
        if self.editor is not None:
            action(self.editor)

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return self.logic.controller.busy

    @property
    def settled(self) -> bool:
        """Whether no answer is awaited and every one that came is shown."""
        return not (self.busy or self._soon.active)

    def recompute(self, segment_ids: Iterable[str]) -> None:
        """Compute structures again from their points alone; each is one step of undo."""
        if self.editor is None or self.reason:
            return
        targets = [self.nodes.target(segment_id) for segment_id in segment_ids]
        controller, self.progress = self.logic.controller, Progress(targets)
        for target in targets:
            try:
                prompts = controller.prompts(target)
                controller.put(target, prompts, self.editor.choice, anew=True)
            except CTSAM3DError as error:
                self.progress.fail(target, error)
        self.tell(self.progress.report())

    def begin(self, make: Callable[[], QuestionProgress]) -> None:
        """Have something asked that tells of itself; an error of making or asking is told."""
        try:
            self.progress = progress = make()
            self.tell(progress.report())
            progress.ask()
        except CTSAM3DError as error:
            self.end(Status(str(error), "error"))
        self._on_changed()

    def end(self, status: Status) -> None:
        """Tell what has become of it; what is still asked is taken back, but no edit."""
        self.progress = Progress()
        self.logic.controller.questions.cancel()
        self.tell(status)
        self.refresh()

    def refine(self, step: str) -> None:
        """Tidy up the mask."""
        smoothing_mm = self.nodes.parameters.smoothingMm
        if self.editor is not None and self.editor.refine(step, smoothing_mm):
            self.tell(Status(_("Done. Undo takes it back."), "done"))
            self.refresh()

    def go_to(self, segment_id: str, prompt: Prompt) -> None:
        """Turn to a structure and show one of its prompts in the middle of the slice views."""
        self.select(segment_id)
        if self.editor is not None:
            self.editor.go_to(prompt.anchor_ras)

    def delete_prompt(self, segment_id: str, index: int, prompt: Prompt) -> None:
        """Take back one prompt of a structure."""
        if self.editor is None or segment_id not in self.nodes.segment_ids():
            return
        target, controller = self.nodes.target(segment_id), self.logic.controller
        try:
            prompts = controller.prompts(target)
            if index < len(prompts) and prompts[index] == prompt:  # else others were quicker
                controller.put(target, prompts.removed(index), self.editor.choice)
        except CTSAM3DError as error:
            self.tell(Status(str(error), "error"))
        self.refresh()

    def cancel(self, segmentation: Any = None) -> None:
        """Take back what is under way, all or for one segmentation."""
        told, self.progress = self.progress.cancelled(), Progress()
        self.tell(told)
        self.logic.controller.cancel(segmentation)  # tells of parts that are kept
        self._on_changed()

    def _on_finished(self, outcome: Outcome) -> None:
        if outcome.answer is not None:
            self.latencies_ms.append(1000 * outcome.answer.seconds)
            self.last_device = outcome.answer.device
        if outcome.error is not None:
            self.last_error = outcome.error
        if self.progress.note(outcome):
            self.tell(self.progress.report())
        elif outcome.error is not None:
            self._tell_of_other(outcome)
        elif not self.busy and self.status.kind == "busy":
            self.tell(Status())  # what was awaited has gone, with a node for example
        self._soon.start()

    def _tell_of_other(self, outcome: Outcome) -> None:
        """Tell the error of a structure that is no longer the present one."""
        present = self.editor.target if self.editor is not None else None
        if present is None or outcome.target.key != present.key:
            self.tell(Status(str(outcome.error), "error"))
