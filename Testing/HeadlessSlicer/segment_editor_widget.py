"""`qMRMLSegmentEditorWidget`: the Segment Editor around the real C++ logic."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.editor_effects import EditorEffects
from Testing.HeadlessSlicer.native import native_class, native_property
from Testing.HeadlessSlicer.node_combo_box import qMRMLNodeComboBox
from Testing.HeadlessSlicer.qmrml_widget import SCENE_SIGNAL, observe, qMRMLWidget
from Testing.HeadlessSlicer.segment_widgets import qMRMLSegmentsTableView
from Testing.HeadlessSlicer.view_events import ViewEvents

SIGNALS = {
    **SCENE_SIGNAL,
    "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged(PyObject)",
    "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged(PyObject)",
    "masterVolumeNodeChanged(vtkMRMLVolumeNode*)": "masterVolumeNodeChanged(PyObject)",
}
MODIFIED = vtk.vtkCommand.ModifiedEvent


@native_class(SIGNALS)
class qMRMLSegmentEditorWidget(EditorEffects, qMRMLWidget):
    """Segmentation, source volume, segments, effects with their options, undo and redo."""

    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)
    masterVolumeNodeChanged = QtCore.Signal(object)
    currentSegmentIDChanged = QtCore.Signal(str)

    autoShowSourceVolumeNode = native_property("autoShowSourceVolumeNode", default=True)
    undoEnabled = native_property("undoEnabled", default=True)
    readOnly = native_property("readOnly", default=False)
    maskingSectionVisible = native_property("maskingSectionVisible", default=True)
    unorderedEffectsVisible = native_property("unorderedEffectsVisible", default=True)
    effectColumnCount = native_property("effectColumnCount", 2)
    switchToSegmentationsButtonVisible = native_property(
        "switchToSegmentationsButtonVisible", default=True
    )
    specifyGeometryButtonVisible = native_property("specifyGeometryButtonVisible", default=True)
    addRemoveSegmentButtonsVisible = native_property("addRemoveSegmentButtonsVisible", default=True)
    show3DButtonVisible = native_property("show3DButtonVisible", default=True)
    jumpToSelectedSegmentEnabled = native_property("jumpToSelectedSegmentEnabled", default=False)
    segmentationNodeSelectorVisible = native_property(
        "segmentationNodeSelectorVisible",
        default=True,
        on_change=lambda self: self._segmentations.setVisible(self.segmentationNodeSelectorVisible),
    )
    sourceVolumeNodeSelectorVisible = native_property(
        "sourceVolumeNodeSelectorVisible",
        default=True,
        on_change=lambda self: self._volumes.setVisible(self.sourceVolumeNodeSelectorVisible),
    )

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._node: Any = None
        self._segmentation: Any = None
        self._volume: Any = None
        self._active: Any = None
        self._geometry = ""
        self._updating = False
        self._effects: list[Any] = []
        self._buttons: dict[str, Any] = {}
        self._order: tuple[str, ...] = ()
        self._view_events = ViewEvents(self)
        self._segmentations, self._volumes = qMRMLNodeComboBox(), qMRMLNodeComboBox()
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self._volumes.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
        self._volumes.addEnabled = False
        self._volumes.noneEnabled = self._segmentations.noneEnabled = True
        self._table = qMRMLSegmentsTableView()
        self._effect_row, self._options = QtWidgets.QWidget(), QtWidgets.QWidget()
        self._lay_out()
        self._segmentations.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        self._volumes.connect("currentNodeChanged(vtkMRMLNode*)", self._on_volume)
        self._table.connect("selectionChanged(QItemSelection,QItemSelection)", self._on_selection)
        self.updateEffectList()

    def _lay_out(self) -> None:
        QtWidgets.QHBoxLayout(self._effect_row)
        QtWidgets.QVBoxLayout(self._options)
        layout = QtWidgets.QVBoxLayout(self)
        for widget in (
            self._segmentations,
            self._volumes,
            self._table,
            self._effect_row,
            self._options,
        ):
            layout.addWidget(widget)

    # ---- nodes

    def setMRMLScene(self, scene: Any) -> None:
        """Work on a scene."""
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(scene)
        self._updating = True  # the selectors' first choice must not reach the editor node
        super().setMRMLScene(scene)
        self._segmentations.setMRMLScene(scene)
        self._volumes.setMRMLScene(scene)
        self._updating = False
        interaction = (
            slicer.app.applicationLogic().GetInteractionNode() if scene is not None else None
        )
        observe(
            self,
            "interaction",
            interaction,
            {MODIFIED: lambda caller, event: self._on_interaction(caller)},
        )
        ends = {slicer.vtkMRMLScene.EndCloseEvent: lambda caller, event: self._on_scene_closed()}
        observe(self, "scene", scene, ends)
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self) -> Any:
        """Return the segment editor node."""
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        """Keep the settings of the editor in a node."""
        if node is self._node:
            return
        observe(self, "node", node, {MODIFIED: lambda caller, event: self.updateWidgetFromMRML()})
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        self._initialize_node()
        self.updateWidgetFromMRML()

    def _initialize_node(self) -> None:
        if self._node is None:
            return
        for effect in self._effects:
            effect.setParameterSetNode(self._node)
        with slicer.util.NodeModify(self._node):
            for effect in self._effects:
                effect.setMRMLDefaults()
        changed = {
            slicer.vtkMRMLSegmentEditorNode.EffectParameterModified: lambda caller, event: (
                self._update_effects()
            )
        }
        observe(self, "parameters", self._node, changed)

    def _update_effects(self) -> None:
        for effect in self._effects:
            effect.updateGUIFromMRML()

    def segmentationNode(self) -> Any:
        """Return the segmentation."""
        return self._logic.GetSegmentationNode() if self._node is not None else None

    def segmentationNodeID(self) -> str:
        """Return the id of the segmentation."""
        node = self.segmentationNode()
        return node.GetID() if node is not None else ""

    def setSegmentationNode(self, node: Any) -> None:
        """Edit a segmentation; the active effect ends."""
        if self._node is not None and self.segmentationNode() is not node:
            self._logic.SetSegmentationNode(node)
            self.setActiveEffect(None)

    def sourceVolumeNode(self) -> Any:
        """Return the source volume."""
        return self._logic.GetSourceVolumeNode() if self._node is not None else None

    def sourceVolumeNodeID(self) -> str:
        """Return the id of the source volume."""
        node = self.sourceVolumeNode()
        return node.GetID() if node is not None else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        """Edit on the grid and by the intensities of a volume."""
        if self._node is not None:
            self._logic.SetSourceVolumeNode(node)

    def setSegmentationNodeID(self, node_id: str) -> None:
        """Edit a segmentation, given by its id."""
        self.setSegmentationNode(self.mrmlScene().GetNodeByID(node_id))

    def setSourceVolumeNodeID(self, node_id: str) -> None:
        """Edit on a volume, given by its id."""
        self.setSourceVolumeNode(self.mrmlScene().GetNodeByID(node_id))

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        """Do nothing: keys are not tested."""

    def uninstallKeyboardShortcuts(self) -> None:
        """Do nothing: keys are not tested."""

    def currentSegmentID(self) -> str:
        """Return the id of the selected segment."""
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        """Select a segment."""
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id)

    def interactionNode(self) -> Any:
        """Return the interaction node."""
        return slicer.app.applicationLogic().GetInteractionNode()

    # ---- following MRML

    def updateWidgetFromMRML(self) -> None:
        """Show what the editor node says, and tell the effects what changed."""
        scene = self.mrmlScene()
        if (
            scene is None
            or scene.IsClosing()
            or scene.IsBatchProcessing()
            or self._node is None
            or self._updating
        ):
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self._node):
                self._show_nodes()
                self._select_row()
                self._updating = False
                self._switch_effect()  # what it changes in the node is heard after the block
        finally:
            self._updating = False

    def _show_nodes(self) -> None:
        segmentation, volume = self.segmentationNode(), self.sourceVolumeNode()
        self._segmentations.setCurrentNode(segmentation)
        if segmentation is not self._segmentation:
            self._segmentation = segmentation
            self._table.setSegmentationNode(segmentation)
            self._on_new_segmentation(segmentation)
            volume = self.sourceVolumeNode()
        self._volumes.setCurrentNode(volume)
        if volume is not self._volume:
            self._volume = volume
            self.sourceVolumeNodeChanged.emit(volume)
            self.masterVolumeNodeChanged.emit(volume)
            for effect in self._effects:
                effect.sourceVolumeNodeChanged()
        self._check_geometry()

    def _on_new_segmentation(self, segmentation: Any) -> None:
        followed = {MODIFIED: lambda caller, event: self.updateWidgetFromMRML()}
        observe(self, "segmentation", segmentation, followed)
        if segmentation is not None:
            role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
            reference = segmentation.GetNodeReference(role)
            if reference is not None:
                self._logic.SetSourceVolumeNode(reference)
            segmentation.CreateDefaultDisplayNodes()
            segment_ids = segmentation.GetSegmentation().GetSegmentIDs()
            if self.currentSegmentID() not in segment_ids and segment_ids:
                self._node.SetSelectedSegmentID(segment_ids[0])
        self.segmentationNodeChanged.emit(segmentation)

    def _check_geometry(self) -> None:
        geometry = (
            self._logic.GetReferenceImageGeometryString() if self._segmentation is not None else ""
        )
        if geometry != self._geometry:
            self._geometry = geometry
            for effect in self._effects:
                effect.referenceGeometryChanged()

    def _select_row(self) -> None:
        segment_id = self.currentSegmentID()
        before = self._table.selectedSegmentIDs()
        self._table.setSelectedSegmentIDs([segment_id] if segment_id else [])
        if before != self._table.selectedSegmentIDs():
            self.currentSegmentIDChanged.emit(segment_id)

    def _on_selection(self) -> None:
        if self._node is None or self._updating:
            return
        selected = self._table.selectedSegmentIDs()
        segment_id = selected[0] if selected else ""
        if segment_id == self.currentSegmentID():
            return
        if not segment_id and self._active is not None and self._active.perSegment:
            self.setActiveEffect(None)
        self._node.SetSelectedSegmentID(segment_id or None)
        self.currentSegmentIDChanged.emit(segment_id)

    def _on_segmentation(self, node: Any) -> None:
        if not self._updating:
            self.setSegmentationNode(node)

    def _on_volume(self, node: Any) -> None:
        if not self._updating:
            self.setSourceVolumeNode(node)

    def _on_interaction(self, node: Any) -> None:
        if self._active is not None:
            self._active.interactionNodeModified(node)

    def _on_scene_closed(self) -> None:
        self._initialize_node()
        self.updateWidgetFromMRML()

    def deleteLater(self) -> None:
        """Do what the destructor does, end the effects; the widget goes between two tests."""
        self._view_events.stop()
        effects, self._effects = self._effects, []
        for effect in effects:
            effect.cleanup()
        super().deleteLater()
