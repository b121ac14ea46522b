"""Widgets that list the segments of a segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.HeadlessSlicer.ctk_widgets import ctkMenuButton
from Testing.HeadlessSlicer.native import cpp_property, native_class, native_property
from Testing.HeadlessSlicer.node_combo_box import qMRMLNodeComboBox
from Testing.HeadlessSlicer.qmrml_widget import SCENE_SIGNAL, observe, qMRMLWidget

NAME_COLUMN = 1


def follow_segments(owner: Any, node: Any, function: Any) -> None:
    """Call a function without arguments when segments of a node come, go or change."""
    names = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")
    events = {
        getattr(slicer.vtkSegmentation, name): lambda caller, event: function() for name in names
    }
    observe(owner, "segments", node, events)


def segments_of(node: Any) -> list[tuple[str, Any]]:
    """Return id and segment of each segment of a segmentation node, or nothing for None."""
    segmentation = node.GetSegmentation() if node is not None else None
    ids = segmentation.GetSegmentIDs() if segmentation is not None else ()
    return [(segment_id, segmentation.GetSegment(segment_id)) for segment_id in ids]


@native_class(SCENE_SIGNAL)
class qMRMLSegmentsTableView(qMRMLWidget):
    """A table with a row for each segment."""

    selectionChanged = QtCore.Signal(QtCore.QItemSelection, QtCore.QItemSelection)
    segmentAboutToBeModified = QtCore.Signal(str)

    headerVisible = native_property("headerVisible", default=True)
    visibilityColumnVisible = native_property("visibilityColumnVisible", default=True)
    colorColumnVisible = native_property("colorColumnVisible", default=True)
    opacityColumnVisible = native_property("opacityColumnVisible", default=True)
    statusColumnVisible = native_property("statusColumnVisible", default=False)
    filterBarVisible = native_property("filterBarVisible", default=False)
    readOnly = native_property("readOnly", default=False)
    jumpToSelectedSegmentEnabled = native_property("jumpToSelectedSegmentEnabled", default=False)
    segmentCount = cpp_property(int, lambda self: len(self._ids))

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._ids: list[str] = []
        self._table = QtWidgets.QTableWidget(0, 2)
        self._table.setHorizontalHeaderLabels(["Color", "Name"])
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setColumnWidth(0, 50)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(self.selectionChanged.emit)
        self._table.itemChanged.connect(self._rename)

    def setSelectionMode(self, mode: int) -> None:
        """Set how many rows can be selected."""
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode))

    selectionMode = cpp_property(
        int, lambda self: self._table.selectionMode.value, setSelectionMode
    )

    def tableWidget(self) -> Any:
        """Return the table."""
        return self._table

    def segmentationNode(self) -> Any:
        """Return the segmentation node."""
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        """Show the segments of a node."""
        self._node = node
        follow_segments(self, node, self._refill)
        self._refill()

    def _refill(self) -> None:
        selected = self.selectedSegmentIDs()
        segments = segments_of(self._node)
        blocker = QtCore.QSignalBlocker(self._table)
        selection_blocker = QtCore.QSignalBlocker(self._table.selectionModel())
        self._ids = [segment_id for segment_id, _ in segments]
        self._table.setRowCount(len(segments))
        for row, (_, segment) in enumerate(segments):
            color = QtWidgets.QTableWidgetItem()
            rgb = QtGui.QColor.fromRgbF(*segment.GetColor())
            color.setData(QtCore.Qt.ItemDataRole.DecorationRole, rgb)
            self._table.setItem(row, 0, color)
            self._table.setItem(row, NAME_COLUMN, QtWidgets.QTableWidgetItem(segment.GetName()))
        self._select(selected)
        del selection_blocker, blocker
        if tuple(selected) != self.selectedSegmentIDs():
            self.selectionChanged.emit(QtCore.QItemSelection(), QtCore.QItemSelection())

    def _rename(self, item: Any) -> None:
        if item.column() == NAME_COLUMN and not self.readOnly:
            segment_id = self._ids[item.row()]
            self.segmentAboutToBeModified.emit(segment_id)
            self._node.GetSegmentation().GetSegment(segment_id).SetName(item.text())

    def _select(self, segment_ids: Sequence[str]) -> None:
        self._table.clearSelection()
        for segment_id in segment_ids:
            if segment_id in self._ids:
                row = self._ids.index(segment_id)
                self._table.setRangeSelected(
                    QtWidgets.QTableWidgetSelectionRange(row, 0, row, NAME_COLUMN), True
                )

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        """Return the ids of the selected rows."""
        rows = sorted({index.row() for index in self._table.selectionModel().selectedRows()})
        return tuple(self._ids[row] for row in rows if row < len(self._ids))

    def setSelectedSegmentIDs(self, segment_ids: Sequence[str]) -> None:
        """Select the rows of these segments."""
        if tuple(segment_ids) != self.selectedSegmentIDs():
            self._select(segment_ids)

    def clearSelection(self) -> None:
        """Select nothing."""
        self._table.clearSelection()

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        """Return the ids of all rows."""
        return tuple(self._ids)

    def segmentIDForRow(self, row: int) -> str:
        """Return the segment of a row."""
        return self._ids[row]

    def rowForSegmentID(self, segment_id: str) -> int:
        """Return the row of a segment."""
        return self._ids.index(segment_id) if segment_id in self._ids else -1


@native_class(
    {
        **SCENE_SIGNAL,
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)",
        "currentNodeChanged(bool)": "currentNodeChanged(bool)",
    }
)
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Chooses a segmentation and a segment of it."""

    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentSegmentChanged = QtCore.Signal(str)

    noneEnabled = native_property("noneEnabled", default=False)
    segmentationNodeSelectorVisible = native_property(
        "segmentationNodeSelectorVisible", default=True
    )

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._ids: list[str] = []
        self._nodes = qMRMLNodeComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.noneEnabled = True
        self._nodes.addEnabled = False
        self._segments = QtWidgets.QComboBox()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes)
        layout.addWidget(self._segments)
        self._nodes.connect("currentNodeChanged(vtkMRMLNode*)", self._on_node)
        self._segments.activated.connect(
            lambda index: self.currentSegmentChanged.emit(self.currentSegmentID())
        )

    def setMRMLScene(self, scene: Any) -> None:
        """Choose from a scene."""
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def currentNode(self) -> Any:
        """Return the segmentation node."""
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        """Return the id of the segmentation node."""
        return str(self._nodes.currentNodeID)

    def setCurrentNode(self, node: Any) -> None:
        """Choose a segmentation node."""
        self._nodes.setCurrentNode(node)

    def _on_node(self, node: Any) -> None:
        follow_segments(self, node, self._refill)
        self._refill()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _refill(self) -> None:
        old = self.currentSegmentID()
        segments = segments_of(self.currentNode())
        self._ids = ([""] if self.noneEnabled else []) + [segment_id for segment_id, _ in segments]
        self._segments.clear()
        for segment_id in self._ids:
            name = (
                self.currentNode().GetSegmentation().GetSegment(segment_id).GetName()
                if segment_id
                else "None"
            )
            self._segments.addItem(name)
        if old in self._ids:
            self._segments.setCurrentIndex(self._ids.index(old))
        if old != self.currentSegmentID():
            self.currentSegmentChanged.emit(self.currentSegmentID())

    def segmentIDs(self) -> tuple[str, ...]:
        """Return the ids of all segments."""
        return tuple(segment_id for segment_id in self._ids if segment_id)

    def currentSegmentID(self) -> str:
        """Return the id of the chosen segment, or an empty text."""
        index = self._segments.currentIndex
        return self._ids[index] if 0 <= index < len(self._ids) else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        """Choose a segment."""
        if segment_id in self._ids and segment_id != self.currentSegmentID():
            self._segments.setCurrentIndex(self._ids.index(segment_id))
            self.currentSegmentChanged.emit(segment_id)


@native_class()
class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """A button that shows a segmentation in 3D."""

    locked = native_property("locked", default=False)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__("Show 3D", parent)
        self.setCheckable(True)
        self._node: Any = None
        self.clicked.connect(self._show)

    def segmentationNode(self) -> Any:
        """Return the segmentation node."""
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        """Set the segmentation node."""
        self._node = node
        events = {vtk.vtkCommand.ModifiedEvent: lambda caller, event: self._follow()}
        observe(self, "node", node, events)
        self._follow()

    def _follow(self) -> None:
        shown = self._node is not None and self._node.GetSegmentation().ContainsRepresentation(
            "Closed surface"
        )
        self.setEnabled(self._node is not None and not self.locked)
        self.setChecked(shown)

    def _show(self, on: bool) -> None:
        if on:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()
        self._follow()
