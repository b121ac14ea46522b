"""The table of structures: name with colour, points, volume, uncertainty; one is edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml.frames import text_of
from CTSAM3DLib.mrml.labelmaps import lattice_of, layer_of, voxels_of
from CTSAM3DLib.prompts import Prompts
from CTSAM3DModuleLib.panel.anatomies import swatch
from CTSAM3DModuleLib.widgets import Connections

UNKNOWN = "-"
ROW_PADDING = 6  # pixels
MM3_PER_CM3 = 1000.0


@dataclass(frozen=True)
class Row:
    """One segment."""

    # segment_id, name: As in the segmentation
    segment_id: str
    name: str
    rgb: tuple[int, int, int]  # 0 to 255
    # inside, outside: Number of points; None if they cannot be read
    inside: int | None
    outside: int | None
    volume_cm3: float | None  # None if the segment is not stored as voxels
    # 0 to 1, the error that the model expects; None if it is not known
    uncertainty: float | None = None


class SegmentRows:
    """Reads rows; a volume is counted again only after its labelmap has changed."""

    def __init__(self) -> None:
        self._volumes: dict[tuple[str, str], tuple[Any, float]] = {}

    def read(
        self,
        segmentation_node: slicer.vtkMRMLSegmentationNode | None,
        prompts_of: Callable[[str], Prompts],
        uncertainty_of: Callable[[str, Prompts], float | None],
    ) -> list[Row]:
        """Return one row a segment, in their order; none without a segmentation.

        `prompts_of` gives the prompts of a segment id, and may raise CTSAM3DError; `uncertainty_of`
        what is known of the uncertainty for id and prompts.
        """
        if segmentation_node is None:
            self._volumes.clear()
            return []
        rows = []
        for segment_id in segmentation_node.GetSegmentation().GetSegmentIDs():
            segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
            r, g, b = (round(255 * value) for value in segment.GetColor())
            try:
                prompts = prompts_of(segment_id)
                inside = sum(prompt.positive for prompt in prompts)
                counts = (inside, len(prompts) - inside)
                uncertainty = uncertainty_of(segment_id, prompts)
            except CTSAM3DError:  # a tag that is not ours
                counts, uncertainty = (None, None), None
            volume = self._volume_cm3(segmentation_node, segment_id)
            name = text_of(segment.GetName())
            rows.append(Row(segment_id, name, (r, g, b), *counts, volume, uncertainty))
        return rows

    def _volume_cm3(self, node: Any, segment_id: str) -> float | None:
        layer = layer_of(node, segment_id)
        if layer is None:
            source = node.GetSegmentation().GetSourceRepresentationName()
            converter = slicer.vtkSegmentationConverter
            is_labelmap = source == converter.GetSegmentationBinaryLabelmapRepresentationName()
            return 0.0 if is_labelmap else None
        label = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
        stamp = (layer.GetAddressAsString("vtkObject"), layer.GetMTime(), label)
        key = (node.GetID(), segment_id)
        known = self._volumes.get(key)
        if known is None or known[0] != stamp:
            voxels = np.count_nonzero(voxels_of(layer) == label)
            mm3 = voxels * abs(np.linalg.det(lattice_of(layer)[:3, :3]))
            known = (stamp, float(mm3) / MM3_PER_CM3)
            self._volumes[key] = known
        return known[1]


def set_header(table: Any, stretched: int) -> None:
    """Give a table low rows without numbers, and one column that takes what width is left."""
    table.horizontalHeader().setSectionResizeMode(stretched, qt.QHeaderView.Stretch)
    table.horizontalHeader().setHighlightSections(False)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + ROW_PADDING)


class TableSection:
    """Fills a table with rows; `on_selected` is called with the segment id that is selected."""

    def __init__(
        self, table: Any, connections: Connections, on_selected: Callable[[str], object]
    ) -> None:
        self._table = table
        self._on_selected = on_selected
        self._rows: list[Row] = []
        self._set_columns([])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        set_header(table, stretched=0)
        connections.connect(table, "itemSelectionChanged()", self._on_selection)

    def show(self, rows: Sequence[Row], selected_id: str) -> None:
        """Show rows; what has not changed is left alone."""
        blocker = qt.QSignalBlocker(self._table)
        if list(rows) != self._rows:
            self._rows = list(rows)
            self._set_columns(rows)
            self._table.setRowCount(len(rows))
            for number, row in enumerate(rows):
                self._fill(number, row)
        ids = [row.segment_id for row in self._rows]
        if selected_id in ids:
            self._table.selectRow(ids.index(selected_id))
        else:
            self._table.clearSelection()
        del blocker

    def _set_columns(self, rows: Sequence[Row]) -> None:
        """Have a column of uncertainties once one is known."""
        titles = [_("Structure"), _("Prompts +/-"), _("Volume (cm³)")]
        if any(row.uncertainty is not None for row in rows):
            titles.append(_("Uncertainty"))
        self._table.setColumnCount(len(titles))
        self._table.setHorizontalHeaderLabels(titles)

    def _fill(self, number: int, row: Row) -> None:
        points = UNKNOWN if row.inside is None else f"{row.inside} / {row.outside}"
        volume = UNKNOWN if row.volume_cm3 is None else f"{row.volume_cm3:.1f}"
        unsure = UNKNOWN if row.uncertainty is None else f"{row.uncertainty:.2f}"
        texts = (row.name, points, volume, unsure)[: self._table.columnCount]
        for column, text in enumerate(texts):
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
