"""Points placed by the mouse, inside or outside, in Slicer's place mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from CTSAM3DModuleLib.widgets import timer

REST_MS = 200


class PlaceMode(VTKObservationMixin):
    """Slicer's place mode on our point lists; ends when the user chooses another mode.

    `node_of` gives the point list of a sign; `on_rest` is called with world RAS, mm, where the
    mouse rests while points are placed; `on_end` when the mode has ended.
    """

    def __init__(
        self,
        node_of: Callable[[bool], Any],
        on_rest: Callable[[Sequence[float]], object],
        on_end: Callable[[], object],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._node_of = node_of
        self._on_rest = on_rest
        self._on_end = on_end
        self._node: Any = None
        self._id_before, self._persistence_before = "", 0
        self._timer = timer(REST_MS, self._rested, single=True)

    @property
    def placing(self) -> bool:
        """Whether a click in a view places a point of ours now."""
        return self._node is not None

    def end_loaded(self) -> None:
        """End the place mode of a scene that was saved in it: a click would make a stray list."""
        selection, interaction = self._nodes()
        placing = interaction.GetCurrentInteractionMode() == interaction.Place
        if placing and slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID() or "") is None:
            interaction.SetPlaceModePersistence(0)
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def start(self, positive: bool) -> None:
        """Place points of a sign until `stop`, Escape, or the choice of another mouse mode."""
        selection, interaction = self._nodes()
        before = selection.GetActivePlaceNodeID() or ""
        # Both now: Slicer places points into whichever list was made last.
        nodes = {sign: self._node_of(sign) for sign in (True, False)}
        if self._node is None:
            self._id_before = before
            self._persistence_before = interaction.GetPlaceModePersistence()
        self._unobserve()
        self._node = node = nodes[positive]
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._observe()

    def stop(self) -> None:
        """Give the mouse back."""
        if self._node is None:
            return
        node, self._node = self._node, None
        self._unobserve()
        selection, interaction = self._nodes()
        if selection.GetActivePlaceNodeID() == node.GetID():
            if interaction.GetCurrentInteractionMode() == interaction.Place:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            # Otherwise the place button of the toolbar would go on with our points.
            selection.SetActivePlaceNodeID(self._id_before)
        interaction.SetPlaceModePersistence(self._persistence_before)
        self._on_end()

    # ---- inside

    @staticmethod
    def _nodes() -> tuple[Any, Any]:
        logic = slicer.app.applicationLogic()
        return logic.GetSelectionNode(), logic.GetInteractionNode()

    def _observe(self) -> None:
        for node in self._nodes():
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._follow)
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            self.addObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._moved)

    def _unobserve(self) -> None:
        self.removeObservers()
        self._timer.stop()

    def _follow(self, caller: Any = None, event: Any = None) -> None:
        """Follow a change of the mode by others."""
        selection, interaction = self._nodes()
        mine = self._node is not None and selection.GetActivePlaceNodeID() == self._node.GetID()
        if not (mine and interaction.GetCurrentInteractionMode() == interaction.Place):
            self.stop()

    def _moved(self, caller: Any = None, event: Any = None) -> None:
        self._timer.start()

    def _rested(self) -> None:
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        position = [0.0, 0.0, 0.0]
        if self.placing and crosshair is not None and crosshair.GetCursorPositionRAS(position):
            self._on_rest(position)
