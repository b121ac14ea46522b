"""Points of the present structure: placing, taking back, importing, undo and tidying up."""

from __future__ import annotations

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from CTSAM3DModuleLib.editing.editor import ClickEditor
from CTSAM3DModuleLib.editing.tidying import STEPS
from CTSAM3DModuleLib.panel.add_buttons import AddButtons
from CTSAM3DModuleLib.panel.import_points import import_points
from CTSAM3DModuleLib.panel.next_frame import next_frame
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.widgets import Connections, Guarded, where_next_texts


class ClickSection:
    """Buttons that work on the present structure."""

    def __init__(self, ui: Any, connections: Connections, workplace: Workplace) -> None:
        self._ui, self._workplace = ui, workplace
        self._key: Any = None
        self.place = AddButtons(ui, connections, lambda: workplace.editor)
        self._signs = [Guarded(ui.insideButton), Guarded(ui.outsideButton)]
        ui.nextButton.text, ui.nextButton.toolTip = where_next_texts()
        button = connections.button
        self._remove = button(ui.removeLastButton, partial(workplace.act, ClickEditor.remove_last))
        self._clear = button(ui.clearButton, partial(workplace.act, ClickEditor.clear))
        self._next = button(ui.nextButton, partial(workplace.act, ClickEditor.where_next))
        self._frame = button(ui.nextFrameButton, partial(next_frame, workplace))
        self._undo = button(ui.undoButton, workplace.undo)
        self._redo = button(ui.redoButton, workplace.redo)
        self._import = button(
            ui.importButton, lambda: import_points(workplace, workplace.nodes.import_node)
        )
        # Not by Slicer's parameter wrapper, which takes no abstract class such as that of Markups.
        changed = "currentNodeChanged(vtkMRMLNode*)"
        connections.connect(ui.importSelector, changed, self._on_import_node)
        tidying = zip(STEPS, (ui.keepButton, ui.fillButton, ui.smoothButton), strict=True)
        self._refine = [button(one, partial(workplace.refine, step)) for step, one in tidying]

    def show(self) -> None:
        """Enable what is possible; a change of structure ends placing."""
        work = self._workplace
        target = work.editor.target if work.editor is not None else None
        key = target.key if target is not None else None
        if key != self._key or work.reason:
            self.place.stop()
        self._key = key
        for guarded in self._signs:
            guarded.allow(work.reason)
        nothing = "" if work.nodes.count(work.nodes.segment_id) else _("There are no points yet.")
        for guarded in (self._remove, self._clear):
            guarded.allow(work.reason or nothing)
        self._next.allow(work.reason or nothing or work.waiting_reason)
        browser = work.nodes.browser
        self._ui.nextFrameButton.visible = browser is not None
        if browser is not None:
            is_last = browser.GetSelectedItemNumber() + 1 >= browser.GetNumberOfItems()
            last = _("This is the last frame.") if is_last else ""
            self._frame.allow(work.reason or work.waiting_reason or last)
        for guarded in self._refine:
            guarded.allow(
                work.nodes.volume_reason or ("" if work.nodes.segment_id else work.reason)
            )
        self._undo.allow("" if work.steps.can_undo() else _("There is nothing to take back."))
        self._redo.allow("" if work.steps.can_redo() else _("Nothing was taken back."))
        if self._ui.importSelector.currentNode() is not work.nodes.import_node:
            self._ui.importSelector.setCurrentNode(work.nodes.import_node)
        no_list = "" if work.nodes.import_node is not None else _("Choose a point list first.")
        self._import.allow(work.nodes.volume_reason or work.torch_reason or no_list)

    # ---- inside

    def _on_import_node(self, node: Any) -> None:
        if self._workplace.nodes.parameters is not None:
            self._workplace.nodes.parameters.importPoints = node
