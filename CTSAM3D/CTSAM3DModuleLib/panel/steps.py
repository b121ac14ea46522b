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

    def keep(self, segmentation: Any) -> bool:
        """Keep a state of a segmentation; True if it is the one that is edited."""
        if self._logic.editorNode().GetSegmentationNode() is not segmentation:
            return False
        self.editor_logic().SaveStateForUndo()
        return True
