"""The table of structures: name with colour, points, volume; the selected row is edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from CTSAM3DModuleLib.panel.anatomies import swatch
from CTSAM3DModuleLib.panel.rows import Row

UNKNOWN = "-"
ROW_PADDING = 6  # pixels


class TableSection:
    """Shows rows and tells which one the user has selected.

    Parameters
    ----------
    table : QTableWidget
        Filled here.
    on_selected : callable
        Called with a segment id.
    """

    def __init__(self, table: Any, on_selected: Callable[[str], object]) -> None:
        self._table = table
        self._on_selected = on_selected
        self._rows: list[Row] = []
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Structure"), _("Points +/-"), _("Volume (cm³)")])
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        table.horizontalHeader().setHighlightSections(False)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + ROW_PADDING)
        table.connect("itemSelectionChanged()", self._on_selection)

    def show(self, rows: Sequence[Row], selected_id: str) -> None:
        """Show rows; what has not changed is left alone."""
        blocker = qt.QSignalBlocker(self._table)
        if list(rows) != self._rows:
            self._rows = list(rows)
            self._table.setRowCount(len(rows))
            for number, row in enumerate(rows):
                self._fill(number, row)
        ids = [row.segment_id for row in self._rows]
        if selected_id in ids:
            self._table.selectRow(ids.index(selected_id))
        else:
            self._table.clearSelection()
        del blocker

    def release(self) -> None:
        """Disconnect."""
        self._table.disconnect("itemSelectionChanged()", self._on_selection)

    def _fill(self, number: int, row: Row) -> None:
        points = UNKNOWN if row.inside is None else f"{row.inside} / {row.outside}"
        volume = UNKNOWN if row.volume_cm3 is None else f"{row.volume_cm3:.1f}"
        for column, text in enumerate((row.name, points, volume)):
            item = qt.QTableWidgetItem(text)
            if column == 0:
                item.setIcon(swatch(row.rgb))
                item.setToolTip(row.name)
            else:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(number, column, item)

    def _on_selection(self) -> None:
        number = self._table.currentRow()
        if 0 <= number < len(self._rows) and self._table.selectedItems():
            self._on_selected(self._rows[number].segment_id)
