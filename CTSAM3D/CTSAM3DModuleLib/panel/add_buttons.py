"""Buttons that add prompts by the mouse: inside or outside; points, strokes, lassos or boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import qt
import slicer
import vtk

from CTSAM3DModuleLib.editing.editor import ClickEditor
from CTSAM3DModuleLib.panel.place_mode import PlaceMode
from CTSAM3DModuleLib.slice_view_mouse import DELETE_KEYS, POINT, SliceViewMouse, is_viewing
from CTSAM3DModuleLib.widgets import Connections, tool_texts

BEFORE_SLICER = 1.0  # priority of an observer
TOOL_BUTTONS = {
    "point": "pointButton",
    "scribble": "strokeButton",
    "lasso": "lassoButton",
    "box": "boxButton",
}


class AddButtons:
    """Points are placed in Slicer's place mode; shapes are drawn as in the Segment Editor effect.

    While the panel is open, the key Delete removes the prompt under the mouse. `editor_of` returns
    the `ClickEditor` to work on, None for none.
    """

    def __init__(
        self, ui: Any, connections: Connections, editor_of: Callable[[], ClickEditor | None]
    ) -> None:
        self._editor_of = editor_of
        self._signs = {True: ui.insideButton, False: ui.outsideButton}
        self._tools = {tool: getattr(ui, name) for tool, name in TOOL_BUTTONS.items()}
        self._adding: bool | None = None  # the sign of what is being added
        self._changing = False
        self._place = PlaceMode(self._node_of, self.onRest, self._on_placing_ended)
        self._mouse = SliceViewMouse(self)
        self._observations: list[tuple[Any, int]] = []
        self._group = qt.QButtonGroup()
        for tool, (text, hint) in tool_texts().items():
            button = self._tools[tool]
            button.text, button.toolTip = text, hint
            self._group.addButton(button)
            connections.connect(button, "clicked()", self._go_on)
        for positive, button in self._signs.items():
            connections.connect(button, "clicked(bool)", partial(self._pressed, positive))
        layouts = slicer.app.layoutManager()
        if layouts is not None:
            connections.connect(layouts, "layoutChanged(int)", self._on_layout)

    # ---- what SliceViewMouse asks and tells

    @property
    def editor(self) -> Any:
        """The editor of the panel, which is open while anything is added."""
        return self._editor_of()

    @property
    def options(self) -> AddButtons:
        """The buttons themselves."""
        return self

    def isInside(self) -> bool:
        """Tell the sign of what is drawn."""
        return bool(self._adding)

    def flip(self) -> None:
        """Change the sign."""
        self.start(not self._adding)

    def tool(self) -> str:
        """Return what the hand draws: ``"point"``, or a kind of prompt."""
        return next(tool for tool, button in self._tools.items() if button.checked)

    def changeTool(self, tool: str) -> None:
        """Draw something else; points if it is drawn already."""
        self._tools[POINT if tool == self.tool() else tool].checked = True
        self._go_on()

    def onClick(self, position_world_ras: Sequence[float], positive: bool) -> None:
        """Add a point."""
        self.editor.click(position_world_ras, positive)

    def onShape(self, kind: str, corners: Sequence[Sequence[float]], positive: bool) -> None:
        """Add a stroke, lasso or box."""
        self.editor.draw(kind, corners, positive)

    def onDelete(self, index: int) -> None:
        """Take back a prompt."""
        self.editor.remove(index)

    def onRest(self, position_world_ras: Sequence[float]) -> None:
        """Prepare a click where the mouse rests."""
        if self.editor is not None:
            self.editor.hover(position_world_ras)

    # ---- on and off

    def open(self) -> None:
        """Hear the slice views from now on."""
        self._place.end_loaded()
        self._observe()

    def close(self) -> None:
        """Stop, and hear nothing any more."""
        self.stop()
        self._unobserve()

    def start(self, positive: bool) -> None:
        """Add prompts of a sign with the chosen tool until `stop`, or Escape."""
        if self._editor_of() is None or self.editor.target is None:
            self.stop()
            return
        self._changing = True
        try:
            self._adding = positive
            if self.tool() == POINT:
                self._place.start(positive)
            else:
                self._place.stop()
        finally:
            self._changing = False
        self._mouse.stop()
        self._show()

    def stop(self) -> None:
        """Give the mouse back."""
        self._adding = None
        self._place.stop()
        self._mouse.stop()
        self._show()

    # ---- inside

    def _node_of(self, positive: bool) -> Any:
        return self.editor.markers.node(positive)

    def _go_on(self) -> None:
        if self._adding is not None:
            self.start(self._adding)

    def _pressed(self, positive: bool, checked: bool) -> None:
        if checked:
            self.start(positive)
        else:
            self.stop()

    def _on_placing_ended(self) -> None:
        if not self._changing:  # by Escape, or another mode of the mouse
            self.stop()

    def _on_layout(self, _layout: int) -> None:
        if self._observations:
            self._observe()  # there may be other views now

    def _show(self) -> None:
        for positive, button in self._signs.items():
            button.checked = self._adding is positive

    def _observe(self) -> None:
        self._unobserve()
        layouts = slicer.app.layoutManager()
        for name in layouts.sliceViewNames() if layouts is not None else ():
            view = layouts.sliceWidget(name)
            interactor = view.sliceView().interactor()
            for event in SliceViewMouse.EVENTS:
                self._observe_one(view, interactor, event)

    def _observe_one(self, view: Any, interactor: Any, event: int) -> None:
        def deliver(_caller: Any, _event: str) -> None:
            command = interactor.GetCommand(tag)  # now: the event may end the observation
            if self._process(interactor, event, view):
                command.SetAbortFlag(1)

        tag = interactor.AddObserver(event, deliver, BEFORE_SLICER)
        self._observations.append((interactor, tag))

    def _unobserve(self) -> None:
        for interactor, tag in self._observations:
            interactor.RemoveObserver(tag)
        self._observations = []

    def _process(self, interactor: Any, event: int, view: Any) -> bool:
        """Take part in an event of a slice view; True to keep it from Slicer."""
        if self.editor is None:
            return False
        key = interactor.GetKeySym() if event == vtk.vtkCommand.KeyPressEvent else None
        if self._adding is None and key not in DELETE_KEYS:
            return False
        if key == "Escape":
            self.stop()
            return True
        if key is None and (self.tool() == POINT or not is_viewing()):
            return False  # Slicer places the point, adjusts window and level, ...
        return self._mouse.process(interactor, event, view)
