"""`qSlicerMarkupsPlaceWidget`: placing of points, on the real interaction nodes."""

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
    deleteAllControlPointsOptionVisible = native_property(
        "deleteAllControlPointsOptionVisible", default=True
    )
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
        observe(
            self, "interaction", self.interactionNode() if scene is not None else None, followers
        )
        observe(self, "selection", self.selectionNode() if scene is not None else None, followers)

    def currentNode(self) -> Any:
        """Return the markups node."""
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        """Set the markups node; the mouse mode and the active node stay as they are."""
        self._node = node
        self._follow()

    def _markups(self) -> Any:
        return slicer.modules.markups.logic()

    def _active(self) -> bool:
        if self._node is None or self._node.GetScene() is None:
            return False
        kind = self.selectionNode().GetActivePlaceNodeClassName()
        return (
            self._markups().GetActiveListID() == self._node.GetID()
            and kind == self._node.GetClassName()
        )

    def _placing(self) -> bool:
        interaction = self.interactionNode()
        return self._active() and interaction.GetCurrentInteractionMode() == interaction.Place

    def setCurrentNodeActive(self, active: bool) -> None:
        """Make the node the one that points are placed into."""
        if active == self._active():
            return
        self._markups().SetActiveList(self._node if active else None)
        if not active:
            interaction = self.interactionNode()
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def setPlaceModeEnabled(self, enabled: bool) -> None:
        """Start or end placing."""
        if self._node is None or self._scene is None:
            return
        interaction = self.interactionNode()
        if enabled:
            self.setCurrentNodeActive(True)
            if self.placeMultipleMarkups == self.ForcePlaceSingleMarkup:
                self.setPlaceModePersistency(False)
            elif self.placeMultipleMarkups == self.ForcePlaceMultipleMarkups:
                self.setPlaceModePersistency(True)
        interaction.SetCurrentInteractionMode(
            interaction.Place if enabled else interaction.ViewTransform
        )
        self._follow()

    def setPlaceModePersistency(self, persistent: bool) -> None:
        """Go on placing after a point."""
        self.interactionNode().SetPlaceModePersistence(int(persistent))

    placeModePersistency = cpp_property(
        bool,
        lambda self: bool(self.interactionNode().GetPlaceModePersistence()),
        setPlaceModePersistency,
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
