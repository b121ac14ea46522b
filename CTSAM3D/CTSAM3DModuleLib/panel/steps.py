"""The steps of undo of the segmentation that the panel edits. Main thread only."""

from __future__ import annotations

from typing import Any

import slicer

from CTSAM3DModuleLib.editing.undo import undo_states
from CTSAM3DModuleLib.panel.nodes import PanelNodes


class Steps:
    """Keeps a state before each step, also while the panel is closed."""

    def __init__(self, logic: Any, nodes: PanelNodes) -> None:
        self._logic, self._nodes = logic, nodes

    def editor_logic(self) -> slicer.vtkSlicerSegmentEditorLogic:
        """Return the editor whose undo steps are ours."""
        logic = self._logic.controller.undo.editor_logic(self._logic.editorNode())
        states = undo_states(self._nodes.segmentation)
        if logic.GetMaximumNumberOfUndoStates() != states:
            logic.SetMaximumNumberOfUndoStates(states)
        return logic

    @property
    def awaited(self) -> bool:
        """Whether answers are awaited here: not those for a segmentation that was left."""
        controller = self._logic.controller
        here = self._nodes.segmentation in controller.segmentations
        return here or bool(controller.questions.awaited)

    def can_undo(self) -> bool:
        """Tell whether there is a step to take back; what is under way counts."""
        there = self._nodes.segmentation is not None
        return there and (self.awaited or bool(self.editor_logic().CanUndo()))

    def can_redo(self) -> bool:
        """Tell whether a step was taken back."""
        there = self._nodes.segmentation is not None
        return there and not self.awaited and bool(self.editor_logic().CanRedo())

    def keep(self, segmentation: Any) -> bool:
        """Keep a state of a segmentation; True if it is the one that is edited."""
        if self._logic.editorNode().GetSegmentationNode() is not segmentation:
            return False
        self.editor_logic().SaveStateForUndo()
        return True
