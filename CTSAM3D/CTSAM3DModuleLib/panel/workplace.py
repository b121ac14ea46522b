"""All that can be done in the panel; knows no widget of it. Main thread only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from CTSAM3DLib.engine.engine import ModelChoice
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DModuleLib.editing.editor import ClickEditor, Status
from CTSAM3DModuleLib.editing.editor_node import keep_other_segments, segment_events
from CTSAM3DModuleLib.editing.requests import Outcome
from CTSAM3DModuleLib.editing.undo_limit import undo_states
from CTSAM3DModuleLib.panel.nodes import PanelNodes
from CTSAM3DModuleLib.panel.recompute import Recomputer

POLL_MS = 50
KEPT_LATENCIES = 5


class Workplace(PanelNodes, VTKObservationMixin):
    """The actions of the buttons of the panel.

    Parameters
    ----------
    logic : CTSAM3DLogic
        Shared with the Segment Editor effect.
    on_changed : callable
        Called without arguments when anything to show may have changed.
    on_status : callable
        Called with a `Status`.
    """

    def __init__(
        self,
        logic: Any,
        on_changed: Callable[[], object],
        on_status: Callable[[Status], object],
    ) -> None:
        PanelNodes.__init__(self, logic)
        VTKObservationMixin.__init__(self)
        self.editor: ClickEditor | None = None
        self.recomputer = Recomputer(logic.controller)
        self.torch_reason = ""
        self.latencies_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self.last_device = ""
        self.last_error: BaseException | None = None
        self.status = Status()
        self._on_changed = on_changed
        self._on_status = on_status
        self._segmentation: Any = None
        self._updating = False
        self._poller = _timer(POLL_MS, self._poll)
        self._soon = _timer(0, self.refresh, single=True)

    # ---- opening and closing

    def open(self) -> None:
        """Begin: show markers, take over what the Segment Editor edits."""
        if self.editor is None:
            self.editor = ClickEditor(self.logic.controller, self.tell)
            self.logic.controller.undo_keepers["panel"] = self._keep_state
            self.logic.controller.started.append(self._on_started)
            self.logic.controller.finished.append(self._on_finished)
        self.update()

    def close(self) -> None:
        """End: markers vanish, nothing is heard any more; answers under way are still written."""
        self.recomputer.cancel()
        self._poller.stop()
        self._soon.stop()
        self._observe(None)
        if self.editor is not None:
            self.editor.close()
            self.editor = None
            self.logic.controller.started.remove(self._on_started)
            self.logic.controller.finished.remove(self._on_finished)
        self.tell(Status())

    def prepare(self) -> None:
        """Load the model in spare time, so that the first click is quick."""
        if self.editor is not None:
            self.logic.engine.choose(self.editor.choice)
            self.logic.prepare()

    @property
    def reason(self) -> str:
        """Why nothing can be segmented; empty if it can."""
        if self.volume_reason:
            return self.volume_reason
        if not self.segment_id:
            return _("Add a structure first.")
        return self.torch_reason

    # ---- following

    def update(self) -> None:
        """Edit what the parameters name."""
        if self.editor is None or self.parameters is None or self._updating:
            return
        self._updating = True
        try:
            if self.segmentation is not self._segmentation and self.busy:
                self.cancel()  # answers could not be written any more
            self._observe(self.segmentation)
            if self.parameters.segmentId != self.segment_id or not self.segment_id:
                self.parameters.segmentId = next(iter(self.segment_ids()), "")
            self._hand_to_segment_editor()
            self.editor.choice = ModelChoice(
                model=self.parameters.model or None,
                device=self.parameters.device,
                grow=self.parameters.grow,
            )
            ready = self.volume is not None and self.segment_id
            self.editor.edit(self.target(self.segment_id) if ready else None)
        finally:
            self._updating = False
        self._on_changed()

    def refresh(self) -> None:
        """Show what is there: after undo, redo, loading, or changes by others."""
        self.update()
        if self.editor is not None:
            self.editor.refresh()

    def tell(self, status: Status) -> None:
        """Pass on a line for the user."""
        self.status = status
        self._on_status(status)

    def _observe(self, node: Any) -> None:
        if node is self._segmentation:
            return
        self.removeObservers()
        self._segmentation = node
        if node is not None:
            for event in segment_events():
                self.addObserver(node.GetSegmentation(), event, self._on_segments)

    def _on_segments(self, caller: Any = None, event: Any = None) -> None:
        self._soon.start()  # not now: some come in the middle of a change

    def _hand_to_segment_editor(self) -> None:
        """Let the settings of the Segment Editor, masks included, hold for what is edited here."""
        node = self.logic.editorNode()
        keep_other_segments(node)
        if self.segmentation is not None and self.volume is not None:
            with slicer.util.NodeModify(node):
                node.SetAndObserveSegmentationNode(self.segmentation)
                node.SetAndObserveSourceVolumeNode(self.volume)
                node.SetSelectedSegmentID(self.segment_id)

    # ---- structures

    def select(self, segment_id: str) -> None:
        """Turn to another structure."""
        if self.parameters is not None and segment_id != self.segment_id:
            self.parameters.segmentId = segment_id
            self.update()

    def add_structure(self, name: str) -> str:
        """Add a structure and turn to it; one of that name is not added twice.

        Returns
        -------
        str
            Its id; empty, with a status, if it cannot be added.
        """
        if self.volume_reason or self.parameters is None:
            self.tell(Status(self.volume_reason, "error"))
            return ""
        try:
            segment_id = self.segment_named(name) or self.new_segment(name)
        except CTSAM3DError as error:
            self.tell(Status(str(error), "error"))
            return ""
        self.select(segment_id)
        return segment_id

    def remove_structure(self) -> None:
        """Remove the structure, as one step of undo."""
        if self.segment_id:
            self.logic.controller.save_for_undo(self.segmentation, self.logic.editorNode())
            self.segmentation.GetSegmentation().RemoveSegment(self.segment_id)
            self.refresh()

    # ---- undo

    def editor_logic(self) -> slicer.vtkSlicerSegmentEditorLogic:
        """Return the editor whose undo steps are ours."""
        logic = self.logic.controller.editor_logic(self.logic.editorNode())
        states = undo_states(self.segmentation)
        if logic.GetMaximumNumberOfUndoStates() != states:
            logic.SetMaximumNumberOfUndoStates(states)
        return logic

    def _keep_state(self, segmentation: Any) -> bool:
        """Keep a state in the panel's undo, also while the panel is closed; True if so."""
        if self.logic.editorNode().GetSegmentationNode() is not segmentation:
            return False
        self.editor_logic().SaveStateForUndo()
        return True

    def can_undo(self) -> bool:
        """Tell whether there is a step to take back; what is under way counts."""
        return self.segmentation is not None and (self.busy or bool(self.editor_logic().CanUndo()))

    def can_redo(self) -> bool:
        """Tell whether a step was taken back."""
        return (
            self.segmentation is not None and not self.busy and bool(self.editor_logic().CanRedo())
        )

    def undo(self) -> None:
        """Take back the last step: what is under way, or points and voxels."""
        if self.busy:
            self.cancel()
            return
        self.editor_logic().Undo()
        self.tell(Status())
        self.refresh()

    def redo(self) -> None:
        """Take the undo back."""
        self.editor_logic().Redo()
        self.tell(Status())
        self.refresh()

    # ---- work

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return self.logic.controller.busy or self.recomputer.busy

    @property
    def settled(self) -> bool:
        """Whether no answer is awaited and every one that came is shown."""
        return not (self.busy or self._poller.active or self._soon.active)

    def recompute(self, segment_ids: Iterable[str]) -> None:
        """Compute structures again from their points alone."""
        if self.editor is None or self.reason:
            return
        self.logic.controller.engine.choose(self.editor.choice)
        self.recomputer.start([self.target(segment_id) for segment_id in segment_ids])
        self._on_started()
        self.tell(self.recomputer.report())

    def refine(self, step: str) -> None:
        """Tidy up the mask."""
        if self.editor is not None and self.editor.refine(step, self.parameters.smoothingMm):
            self.tell(Status(_("Done. Undo takes it back."), "done"))
            self.refresh()

    def cancel(self) -> None:
        """Take back what is under way."""
        self.recomputer.cancel()
        self.logic.controller.cancel()
        self.tell(Status(_("Cancelled; nothing was changed.")))
        self._poll()

    def _on_started(self) -> None:
        self._poller.start()
        self._on_changed()

    def _on_finished(self, outcome: Outcome) -> None:
        if outcome.answer is not None:
            self.latencies_ms.append(1000 * outcome.answer.seconds)
            self.last_device = outcome.answer.device
        if outcome.error is not None:
            self.last_error = outcome.error
            self._tell_of_other(outcome)
        self._soon.start()

    def _tell_of_other(self, outcome: Outcome) -> None:
        """Tell the error of a structure that is no longer the present one."""
        present = self.editor.target if self.editor is not None else None
        if present is None or outcome.target.key != present.key:
            self.tell(Status(str(outcome.error), "error"))

    def _poll(self) -> None:
        if self.recomputer.poll():
            self.tell(self.recomputer.report())
        if not self.busy:
            self._poller.stop()
            if self.status.kind == "busy":  # what was awaited has gone, with a node for example
                self.tell(Status())
            self._on_changed()


def _timer(milliseconds: int, action: Callable[[], object], single: bool = False) -> Any:
    timer = qt.QTimer()
    timer.setInterval(milliseconds)
    timer.setSingleShot(single)
    timer.connect("timeout()", action)
    return timer
