"""The table of prompts: one row a prompt, with buttons to go to it and to delete it."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.prompts import Prompt
from CTSAM3DModuleLib.panel.table import set_header
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.widgets import Connections, kind_text, sign_text


class PromptsSection:
    """Shows the prompts of all structures."""

    def __init__(self, ui: Any, connections: Connections, workplace: Workplace) -> None:
        self._table, self._workplace = ui.promptsTable, workplace
        self._rows: list[tuple[str, int, Prompt, str]] = []
        table = self._table
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Prompt"), _("Sign"), _("Structure")])
        set_header(table, stretched=2)
        connections.connect(table, "itemSelectionChanged()", self._allow)
        double_click = "cellDoubleClicked(int,int)"
        connections.connect(table, double_click, lambda _row, _column: self._on_go())
        self._go = connections.button(ui.goToButton, self._on_go)
        self._delete = connections.button(ui.deletePromptButton, self._on_delete)

    def show(self) -> None:
        """Show what holds now; a table that has not changed is left alone."""
        rows = self._read()
        if rows != self._rows:
            blocker = qt.QSignalBlocker(self._table)
            self._rows = rows
            self._table.setRowCount(len(rows))
            for number, (_id, _index, prompt, name) in enumerate(rows):
                texts = (kind_text(prompt.kind), sign_text(prompt.positive), name)
                for column, text in enumerate(texts):
                    self._table.setItem(number, column, qt.QTableWidgetItem(text))
            self._table.clearSelection()
            del blocker
        self._allow()

    # ---- inside

    def _read(self) -> list[tuple[str, int, Prompt, str]]:
        """Return structure, number, prompt and name of each row."""
        rows, nodes = [], self._workplace.nodes
        for segment_id in nodes.segment_ids():
            try:
                prompts = nodes.prompts(segment_id)
            except CTSAM3DError:  # a tag that is not ours
                continue
            name = nodes.segment_name(segment_id)
            rows += [(segment_id, index, one, name) for index, one in enumerate(prompts)]
        return rows

    def _selected(self) -> tuple[str, int, Prompt] | None:
        number = self._table.currentRow()
        if not self._table.selectedItems() or not 0 <= number < len(self._rows):
            return None
        return self._rows[number][:3]

    def _allow(self) -> None:
        reason = self._workplace.nodes.volume_reason
        if not reason and self._selected() is None:
            reason = _("Select a prompt in the list.")
        self._go.allow(reason)
        self._delete.allow(reason)

    def _on_go(self) -> None:
        selected = self._selected()
        if selected is not None:
            self._workplace.go_to(selected[0], selected[2])

    def _on_delete(self) -> None:
        selected = self._selected()
        if selected is not None:
            self._workplace.delete_prompt(*selected)
