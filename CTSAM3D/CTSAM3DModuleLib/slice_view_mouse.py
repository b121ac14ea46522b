"""What the mouse and the keys mean in a slice view, beside what they mean to Slicer itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk

from CTSAM3DModuleLib.drawn_shape import DrawnShape, world_of
from CTSAM3DModuleLib.widgets import timer

HOVER_MS = 200
CLICK_PIXELS = 3  # a press that moves as far is a drag
DELETE_KEYS = ("Delete", "BackSpace")
FLIP_KEY = "o"
POINT = "point"
TOOL_KEYS = {"s": "scribble", "l": "lasso", "x": "box"}  # Slicer has b for the slice before


@dataclass(frozen=True)
class Press:
    """A press of the left button that was not Slicer's: where."""

    view: Any
    xy: tuple[int, int]

    def is_near(self, other: Press, pixels: float) -> bool:
        """Tell whether another press is in the same view, nearer than so many pixels."""
        return self.view is other.view and math.dist(self.xy, other.xy) < pixels


class SliceViewMouse:
    """Turns events of slice views, listed in `EVENTS`, into points of an effect.

    A press adds a point. A press with Ctrl is kept back: released in its place, it adds a point of
    the other sign; once the mouse moves, Slicer gets it and blends. Where the options say that
    strokes, lassos or boxes are drawn, a press begins one, and one without length is a point. All
    else is Slicer's. `timer` runs out when the mouse rests.

    The effect has `editor`, `options` with `isInside()`, `flip()`, `tool()` and `changeTool(name)`,
    `onClick(position, positive)`, `onShape(kind, corners, positive)`, `onDelete(index)` and
    `onRest(position)`.
    """

    EVENTS = (
        vtk.vtkCommand.MouseMoveEvent,
        vtk.vtkCommand.LeftButtonPressEvent,
        vtk.vtkCommand.LeftButtonDoubleClickEvent,
        vtk.vtkCommand.LeftButtonReleaseEvent,
        vtk.vtkCommand.KeyPressEvent,
    )

    def __init__(self, effect: Any) -> None:
        self._effect = effect
        self._last: Press | None = None  # the last press that added a point
        self._with_ctrl: Press | None = None  # held down, and kept from Slicer so far
        self._shape: DrawnShape | None = None
        self._shape_begin: tuple[bool, Any] = (True, None)  # its sign, and what was edited
        self._button_is_known = False  # Qt knows that it is held; of events of scripts it does not
        self._handing_on = False
        self._rest = (0.0, 0.0, 0.0)
        self.timer = timer(HOVER_MS, self._on_rest, single=True)
        actions = (self._move, self._press, self._double_click, self._release, self._key)
        self._actions = dict(zip(self.EVENTS, actions, strict=True))

    def process(self, interactor: Any, event_id: int, view: Any) -> bool:
        """Take part in an event; True to keep it from Slicer."""
        action = self._actions.get(event_id)
        return action is not None and not self._handing_on and action(interactor, view)

    def stop(self) -> None:
        """Forget what has begun."""
        self.timer.stop()
        self._last = self._with_ctrl = None
        self._ended_shape()

    # ---- events

    def _move(self, interactor: Any, view: Any) -> bool:
        here = Press(view, interactor.GetEventPosition())
        if self._shape is not None and not self._is_held(view):
            self._ended_shape()  # the release has gone elsewhere
        if self._shape is not None:
            self._shape.go_on(here.xy)
            return True
        if self._with_ctrl is not None and not self._with_ctrl.is_near(here, CLICK_PIXELS):
            self._hand_on(interactor, self._with_ctrl)
            self._with_ctrl = None
        self._rest = world_of(here.view, here.xy)
        self.timer.start()
        return False

    def _press(self, interactor: Any, view: Any) -> bool:
        here = Press(view, interactor.GetEventPosition())
        self._last, self._with_ctrl = None, None
        self._ended_shape()  # one whose release has gone elsewhere
        if _modifiers(interactor) == ("Ctrl",):
            self._with_ctrl = here
            return True
        if self._effect.options.tool() != POINT and not _modifiers(interactor):
            return self._begin_shape(here)
        if _modifiers(interactor) or self._marker(here) is not None:
            return False  # a marker: the hand means to drag it
        return self._add(here)

    def _double_click(self, interactor: Any, view: Any) -> bool:
        """Take the second of two quick clicks, which comes in place of a press."""
        here, before = Press(view, interactor.GetEventPosition()), self._last
        if before is None or self._effect.options.tool() != POINT:  # the first was no point of ours
            return self._press(interactor, view)
        if _modifiers(interactor) not in ((), ("Ctrl",)):
            return False
        if before.is_near(here, 1):
            return True  # the habit of clicking twice: one point
        if _modifiers(interactor):
            self._with_ctrl = here
        else:
            self._add(here)
        return True

    def _release(self, interactor: Any, view: Any) -> bool:
        shape = self._ended_shape()
        if shape is not None and shape.view is view:
            here = Press(view, interactor.GetEventPosition())
            return self._add(here) if shape.is_short else self._add_shape(shape)
        press, self._with_ctrl = self._with_ctrl, None
        return press is not None and self._add(press, flipped=True)

    def _key(self, interactor: Any, view: Any) -> bool:
        key = interactor.GetKeySym() or ""
        if _modifiers(interactor):
            return False
        if key.lower() == FLIP_KEY:
            self._effect.options.flip()
            return True
        if key.lower() in TOOL_KEYS:
            self._effect.options.changeTool(TOOL_KEYS[key.lower()])
            return True
        if key not in DELETE_KEYS:
            return False
        at = (view.mrmlSliceNode(), view.sliceView().renderWindow())
        index = self._effect.editor.prompt_at(*at, interactor.GetEventPosition())
        if index is not None:
            self._effect.onDelete(index)
        return index is not None

    # ---- inside

    def _hand_on(self, interactor: Any, press: Press) -> None:
        """Give Slicer a press that was kept back, as if it came now."""
        present, control = interactor.GetEventPosition(), interactor.GetControlKey()
        self._handing_on = True
        try:
            interactor.SetEventPosition(*press.xy)
            interactor.SetControlKey(1)
            interactor.LeftButtonPressEvent()
        finally:
            interactor.SetControlKey(control)
            interactor.SetEventPosition(*present)
            self._handing_on = False

    def _add(self, press: Press, *, flipped: bool = False) -> bool:
        self._last = press
        positive = self._effect.options.isInside() != flipped
        self._effect.onClick(world_of(press.view, press.xy), positive)
        return True

    def _begin_shape(self, press: Press) -> bool:
        from CTSAM3DModuleLib.editing.markers import LOOKS  # takes time to import

        options = self._effect.options
        positive = options.isInside()
        self._shape_begin = (positive, self._edited())
        self._button_is_known = _left_is_held()
        self._shape = DrawnShape(options.tool(), press.view, LOOKS[positive][1], press.xy)
        return True

    def _ended_shape(self) -> DrawnShape | None:
        """Return the shape that was being drawn, which is no longer shown."""
        shape, self._shape = self._shape, None
        if shape is not None:
            shape.remove()
        return shape

    def _add_shape(self, shape: DrawnShape) -> bool:
        self._last = None
        positive, edited = self._shape_begin
        if edited == self._edited():  # else another segment or volume was chosen meanwhile
            self._effect.onShape(shape.kind, shape.corners_world_ras, positive)
        return True

    def _is_held(self, view: Any) -> bool:
        """Tell whether the button may still be held that has begun a shape in a view."""
        if self._button_is_known and not _left_is_held():
            return False
        return self._shape is not None and self._shape.view is view

    def _edited(self) -> Any:
        """Return what tells segments and volumes apart that are edited."""
        target = self._effect.editor.target
        return None if target is None else target.key

    def _marker(self, press: Press) -> int | None:
        node, window = press.view.mrmlSliceNode(), press.view.sliceView().renderWindow()
        return self._effect.editor.markers.nearest(node, window, press.xy)

    def _on_rest(self) -> None:
        self._effect.onRest(self._rest)


def is_viewing() -> bool:
    """Tell whether the mouse is in the mode of views: not placing, not adjusting windows."""
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    return bool(interaction.GetCurrentInteractionMode() == interaction.ViewTransform)


def _left_is_held() -> bool:
    """Tell whether Qt knows the left button as held."""
    return bool(qt.QApplication.mouseButtons() & qt.Qt.LeftButton)


def _modifiers(interactor: Any) -> tuple[str, ...]:
    """Return the names of the keys that are held."""
    held = {
        "Shift": interactor.GetShiftKey(),
        "Ctrl": interactor.GetControlKey(),
        "Alt": interactor.GetAltKey(),
    }
    return tuple(name for name, down in held.items() if down)
