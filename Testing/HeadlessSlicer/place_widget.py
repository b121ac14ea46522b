"""`qSlicerMarkupsPlaceWidget`: switches placing of points on and off, on the real interaction nodes."""

from __future__ import annotations

import enum
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.native import cpp_property, native_class, native_property
from Testing.HeadlessSlicer.qmrml_widget import observe, qSlicerWidget


@native_class(
    {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"},
)
class qSlicerMarkupsPlaceWidget(qSlicerWidget):
    """A button that starts placing points of one markups node."""

    activeMarkupsPlaceModeChanged = QtCore.Signal(bool)
    activeMarkupsFiducialPlaceModeChanged = QtCore.Signal(bool)

    class PlaceMultipleMarkupsType(enum.IntEnum):
        """What happens after a point was placed."""

        ShowPlaceMultipleMarkupsOption = 0
        HidePlaceMultipleMarkupsOption = 1
        ForcePlaceSingleMarkup = 2
        ForcePlaceMultipleMarkups = 3

    ShowPlaceMultipleMarkupsOption = PlaceMultipleMarkupsType.ShowPlaceMultipleMarkupsOption
    HidePlaceMultipleMarkupsOption = PlaceMultipleMarkupsType.HidePlaceMultipleMarkupsOption
    ForcePlaceSingleMarkup = PlaceMultipleMarkupsType.ForcePlaceSingleMarkup
    ForcePlaceMultipleMarkups = PlaceMultipleMarkupsType.ForcePlaceMultipleMarkups

    buttonsVisible = native_property("buttonsVisible", default=True)
    deleteAllControlPointsOptionVisible = native_property("deleteAllControlPointsOptionVisible", default=True)
    placeMultipleMarkups = native_property("placeMultipleMarkups", 0, int)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._was_placing = False
        self._button = QtWidgets.QToolButton()
        self._button.setText("Place")
        self._button.setCheckable(True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.setPlaceModeEnabled)

    def placeButton(self) -> Any:
        """Return the button."""
        return self._button

    def selectionNode(self) -> Any:
        """Return the selection node of the scene."""
        return slicer.app.applicationLogic().GetSelectionNode()

    def interactionNode(self) -> Any:
        """Return the interaction node of the scene."""
        return slicer.app.applicationLogic().GetInteractionNode()

    def setMRMLScene(self, scene: Any) -> None:
        """Follow the interaction and selection nodes of a scene."""
        super().setMRMLScene(scene)
        followers = {vtk.vtkCommand.ModifiedEvent: lambda caller, event: self._follow()}
        observe(self, "interaction", self.interactionNode() if scene is not None else None, followers)
        observe(self, "selection", self.selectionNode() if scene is not None else None, followers)

    def currentNode(self) -> Any:
        """Return the markups node."""
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        """Set the markups node."""
        if self._node is not None and node is not self._node and self.placeModeEnabled:
            self.setPlaceModeEnabled(False)
        self._node = node
        self._follow()

    def _placing(self) -> bool:
        if self._node is None or self._node.GetScene() is None:
            return False
        node = self.interactionNode()
        return self._active() and node.GetCurrentInteractionMode() == node.Place

    def _active(self) -> bool:
        return bool(self._node) and self.selectionNode().GetActivePlaceNodeID() == self._node.GetID()

    def setCurrentNodeActive(self, active: bool) -> None:  # noqa: FBT001 - Slicer's signature
        """Make the node the one that points are placed into."""
        if active and self._node is not None:
            self.selectionNode().SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
            self.selectionNode().SetActivePlaceNodeID(self._node.GetID())
        elif not active and self._active():
            self.selectionNode().SetActivePlaceNodeID(None)

    def setPlaceModeEnabled(self, enabled: bool) -> None:  # noqa: FBT001 - Slicer's signature
        """Start or end placing."""
        interaction = self.interactionNode()
        if enabled and self._node is not None:
            self.setCurrentNodeActive(True)
            several = self.placeMultipleMarkups == self.ForcePlaceMultipleMarkups
            interaction.SetPlaceModePersistence(int(several or self.placeModePersistency))
            interaction.SetCurrentInteractionMode(interaction.Place)
        elif not enabled and self._placing():
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._follow()

    def setPlaceModePersistency(self, persistent: bool) -> None:  # noqa: FBT001 - Slicer's signature
        """Go on placing after a point."""
        self.interactionNode().SetPlaceModePersistence(int(persistent))

    placeModePersistency = cpp_property(
        bool, lambda self: bool(self.interactionNode().GetPlaceModePersistence()), setPlaceModePersistency
    )
    placeModeEnabled = cpp_property(bool, lambda self: self._placing(), setPlaceModeEnabled)
    currentNodeActive = cpp_property(bool, lambda self: self._active(), setCurrentNodeActive)

    def deleteAllPoints(self) -> None:
        """Remove all points of the node."""
        if self._node is not None:
            self._node.RemoveAllControlPoints()

    def deleteLastPoint(self) -> None:
        """Remove the last point of the node."""
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)

    def _follow(self) -> None:
        placing = self._placing()
        self._button.setEnabled(self._node is not None)
        self._button.setChecked(placing)
        if placing != self._was_placing:
            self._was_placing = placing
            self.activeMarkupsPlaceModeChanged.emit(placing)
            self.activeMarkupsFiducialPlaceModeChanged.emit(placing)
