"""Points of the present structure: placing, taking back, importing, undo and tidying up."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from CTSAM3DModuleLib.editing.tidying import STEPS
from CTSAM3DModuleLib.panel.add_buttons import AddButtons
from CTSAM3DModuleLib.panel.import_points import import_points
from CTSAM3DModuleLib.panel.next_frame import next_frame
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.widgets import Guarded, where_next_texts


class ClickSection:
    """Buttons that work on the present structure."""

    def __init__(self, ui: Any, workplace: Workplace) -> None:
        self._ui, self._workplace = ui, workplace
        self._key: Any = None
        self.place = AddButtons(ui, lambda: workplace.editor)
        self._hints = {button: button.toolTip for button in (ui.insideButton, ui.outsideButton)}
        self._remove = Guarded(ui.removeLastButton, self._on_remove)
        self._clear = Guarded(ui.clearButton, self._on_clear)
        ui.nextButton.text, ui.nextButton.toolTip = where_next_texts()
        self._next = Guarded(ui.nextButton, self._on_where_next)
        self._frame = Guarded(ui.nextFrameButton, lambda: next_frame(workplace))
        self._undo = Guarded(ui.undoButton, workplace.undo)
        self._redo = Guarded(ui.redoButton, workplace.redo)
        self._import = Guarded(ui.importButton, self._on_import)
        # Not by Slicer's parameter wrapper, which takes no abstract class such as that of Markups.
        ui.importSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_import_node)
        buttons = dict(zip(STEPS, (ui.keepButton, ui.fillButton, ui.smoothButton), strict=True))
        self._refine = [Guarded(button, self._refine_by(step)) for step, button in buttons.items()]

    def show(self) -> None:
        """Enable what is possible; a change of structure ends placing."""
        work = self._workplace
        target = work.editor.target if work.editor is not None else None
        key = target.key if target is not None else None
        if key != self._key or work.reason:
            self.place.stop()
        self._key = key
        for button, hint in self._hints.items():
            button.enabled = not work.reason
            button.toolTip = work.reason or hint
        nothing = "" if work.nodes.count(work.nodes.segment_id) else _("There are no points yet.")
        for guarded in (self._remove, self._clear):
            guarded.allow(work.reason or nothing)
        waiting = _("Wait for the result, or cancel.") if work.busy else ""
        self._next.allow(work.reason or nothing or waiting)
        browser = work.nodes.browser
        self._ui.nextFrameButton.visible = browser is not None
        if browser is not None:
            is_last = browser.GetSelectedItemNumber() + 1 >= browser.GetNumberOfItems()
            last = _("This is the last frame.") if is_last else ""
            self._frame.allow(work.reason or waiting or last)
        for guarded in self._refine:
            guarded.allow(
                work.nodes.volume_reason or ("" if work.nodes.segment_id else work.reason)
            )
        self._undo.allow("" if work.can_undo() else _("There is nothing to take back."))
        self._redo.allow("" if work.can_redo() else _("Nothing was taken back."))
        if self._ui.importSelector.currentNode() is not work.nodes.import_node:
            self._ui.importSelector.setCurrentNode(work.nodes.import_node)
        no_list = "" if work.nodes.import_node is not None else _("Choose a point list first.")
        self._import.allow(work.nodes.volume_reason or work.torch_reason or no_list)

    def release(self) -> None:
        """Disconnect."""
        self.place.release()
        changed = "currentNodeChanged(vtkMRMLNode*)"
        self._ui.importSelector.disconnect(changed, self._on_import_node)
        buttons = (
            self._remove,
            self._clear,
            self._next,
            self._frame,
            self._undo,
            self._redo,
            self._import,
        )
        for guarded in (*buttons, *self._refine):
            guarded.release()

    # ---- inside

    def _on_remove(self) -> None:
        if self._workplace.editor is not None:
            self._workplace.editor.remove_last()

    def _on_clear(self) -> None:
        if self._workplace.editor is not None:
            self._workplace.editor.clear()

    def _on_where_next(self) -> None:
        if self._workplace.editor is not None:
            self._workplace.editor.where_next()

    def _on_import(self) -> None:
        import_points(self._workplace, self._workplace.nodes.import_node)

    def _on_import_node(self, node: Any) -> None:
        if self._workplace.nodes.parameters is not None:
            self._workplace.nodes.parameters.importPoints = node

    def _refine_by(self, step: str) -> Any:
        return lambda: self._workplace.refine(step)
