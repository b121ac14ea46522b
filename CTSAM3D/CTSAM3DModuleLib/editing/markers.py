"""Clicks as points in the views: shown, dragged and deleted by hand. Main thread only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import slicer
from slicer.util import VTKObservationMixin

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml import click_from_control_point, is_defined, world_from_click
from CTSAM3DLib.prompts import Click, Prompt, Prompts
from CTSAM3DModuleLib.widgets import timer

# Blue and orange, filled and crossed: told apart without seeing colours, and without seeing shapes.
LOOKS = {
    True: ("CT-SAM3D inside", (0.34, 0.71, 0.91), "Sphere3D"),
    False: ("CT-SAM3D outside", (0.90, 0.62, 0.0), "ThickCross2D"),
}
GLYPH_SCALE = 1.8  # percent of the screen
PICKING_TOLERANCE = 30.0  # pixels, before the scale of the screen; as Slicer's markups
MOVED_MM = 1e-3


class ClickMarkers(VTKObservationMixin):
    """The clicks of one segment as two point lists, one inside and one outside.

    The lists are not saved and not offered in selectors: the tag of the segment is the memory,
    these only show it. After points were placed, dragged or deleted by hand, `on_edited` is called
    with the list of prompts that results; whoever hears it decides, and calls `show` with what
    became of it. `on_refused` is called with the error when a point cannot be a click; the points
    are shown as before.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        on_edited: Callable[[Prompts], object],
        on_refused: Callable[[CTSAM3DError], object],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._scene = scene
        self._on_edited = on_edited
        self._on_refused = on_refused
        self._nodes: dict[bool, Any] = {}
        self._volume: Any = None
        self._shown = Prompts()
        self._ids: list[str] = []  # key of the control point of each click
        self._updating = False
        self._soon = timer(0, self._restore, single=True)

    def node(self, positive: bool) -> Any:
        """Return the point list for a sign, made when it is first needed."""
        node = self._nodes.get(positive)
        if node is None or not self._scene.IsNodePresent(node):
            node = self._new_node(positive)
            self._nodes[positive] = node
        return node

    @property
    def shown(self) -> Prompts:
        """The clicks that are shown."""
        return self._shown

    def show(self, prompts: Prompts, volume_node: Any) -> None:
        """Show prompts on a volume, in place of those before; what is shown already stays."""
        if prompts == self._shown and volume_node is self._volume and self._is_complete():
            return
        self._shown, self._volume = prompts, volume_node
        self._updating = True
        try:
            for node in self._nodes.values():
                node.RemoveAllControlPoints()
            self._ids = [self._add(prompt, number) for number, prompt in enumerate(prompts)]
        finally:
            self._updating = False

    def hide(self) -> None:
        """Show nothing."""
        self.show(Prompts(), None)

    def remove(self) -> None:
        """Take the lists out of the scene."""
        self._updating = True
        self._soon.stop()
        self.removeObservers()
        for node in self._nodes.values():
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        self._nodes, self._shown, self._ids = {}, Prompts(), []
        self._updating = False

    def nearest(self, slice_node: Any, render_window: Any, xy: Iterable[int]) -> int | None:
        """Return the index in `shown` of the click under the mouse in a slice view, None for none.

        `xy` is the pixel, from the bottom left; the render window knows the size of the screen. See
        `reach_pixels`.
        """
        if self._volume is None:
            return None
        clicks = {i: click for i, click in enumerate(self._shown) if isinstance(click, Click)}
        if not clicks:
            return None
        reach = reach_pixels(slice_node, render_window, GLYPH_SCALE)
        to_xyz = np.linalg.inv(slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS()))
        world = [[*world_from_click(click, self._volume), 1.0] for click in clicks.values()]
        xyz = (np.array(world) @ to_xyz.T)[:, :3]
        distance = np.linalg.norm(xyz - [*xy, 0.0], axis=1)
        distance[np.abs(xyz[:, 2]) > 0.5] = np.inf  # of another slice: not drawn here
        nearest = int(np.argmin(distance))
        return list(clicks)[nearest] if distance[nearest] < reach else None

    # ---- inside

    def _new_node(self, positive: bool) -> Any:
        _, colour, glyph = LOOKS[positive]
        node = hidden_markup(self._scene, "vtkMRMLMarkupsFiducialNode", positive)
        display = node.GetDisplayNode()
        display.SetActiveColor(*colour)
        display.SetGlyphType(getattr(display, glyph))
        display.SetGlyphScale(GLYPH_SCALE)
        for event in (
            node.PointPositionDefinedEvent,
            node.PointEndInteractionEvent,
            node.PointRemovedEvent,
        ):
            self.addObserver(node, event, self._on_points)
        return node

    def _add(self, click: Prompt, number: int) -> str:
        if not isinstance(click, Click):
            return f"{click.kind} {number}"  # shown by others; keeps its place in the list
        node = self.node(click.positive)
        index = node.AddControlPointWorld(world_from_click(click, self._volume))
        return _key(node, index)

    def _is_complete(self) -> bool:
        """Tell whether the lists hold the points of all clicks where they belong."""
        if not all(self._scene.IsNodePresent(node) for node in self._nodes.values()):
            return False
        try:
            return self._from_points()[0] == self._shown
        except CTSAM3DError:
            return False

    def _on_points(self, caller: Any = None, event: Any = None) -> None:
        if self._updating or self._volume is None:
            return
        try:
            prompts, identifiers = self._from_points()
        except CTSAM3DError as error:
            self._soon.start()  # not now: the views are still busy with the point
            self._on_refused(error)
            return
        if prompts != self._shown:
            self._shown, self._ids = prompts, identifiers
            self._on_edited(prompts)

    def _restore(self) -> None:
        self.show(self._shown, self._volume)

    def _from_points(self) -> tuple[Prompts, list[str]]:
        """Read the clicks back: the known points in their order, then the new ones."""
        present: dict[str, Click] = {}
        for positive, node in self._nodes.items():
            for index in range(node.GetNumberOfControlPoints()):
                if is_defined(node, index):
                    click = click_from_control_point(node, index, self._volume, positive)
                    present[_key(node, index)] = click
        found: dict[str, Prompt] = {}
        for identifier, old in zip(self._ids, self._shown, strict=True):
            if not isinstance(old, Click):
                found[identifier] = old
                continue
            new = present.pop(identifier, None)
            if new is not None:
                way = np.subtract(new.position_ras, old.position_ras)
                found[identifier] = old if np.linalg.norm(way) <= MOVED_MM else new
        found.update(present)
        return Prompts(found.values()), list(found)


def reach_pixels(slice_node: Any, render_window: Any, glyph_scale: float) -> float:
    """Return how far the mouse may be from what it means: as far as Slicer's own cursor.

    Half a glyph, whose size is in percent of the screen, and a tolerance, both scaled by the
    screen.
    """
    glyph = math.hypot(*render_window.GetScreenSize()) * glyph_scale / 100
    return float((glyph / 2 + PICKING_TOLERANCE) * slice_node.GetScreenScaleFactor())


def hidden_markup(scene: slicer.vtkMRMLScene, class_name: str, positive: bool) -> Any:
    """Return a new node of Markups in the colour of a sign, not saved and not in selectors."""
    name, colour, _ = LOOKS[positive]
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)  # before selectors see it
    node.SetSaveWithScene(False)
    node.SetUndoEnabled(False)
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    if selection is None:
        scene.AddNode(node)
    else:
        active = selection.GetActivePlaceNodeID()
        class_name = selection.GetActivePlaceNodeClassName()
        with slicer.util.NodeModify(selection):  # who places points now must not hear of another
            scene.AddNode(node)
            # Slicer places points into whichever list was made last.
            selection.SetReferenceActivePlaceNodeClassName(class_name)
            selection.SetActivePlaceNodeID(active)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetSelectedColor(*colour)
    display.SetColor(*colour)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    return node


def _key(node: Any, index: int) -> str:
    """Return what tells apart the points of both lists: each list counts its points from 1."""
    return f"{node.GetID()} {node.GetNthControlPointID(index)}"
