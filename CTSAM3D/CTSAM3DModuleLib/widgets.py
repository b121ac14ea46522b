"""What the widgets of panel and effect have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakMethod

import qt
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

DEFAULT_MODEL = "default"  # Slicer takes an empty parameter or tag for none
ERROR_STYLE = "color: #c03000"
STATUS_STYLES = {"error": ERROR_STYLE, "warning": ERROR_STYLE}


def timer(milliseconds: int, action: Callable[[], object], single: bool = False) -> Any:
    """Return a timer that is to be started; keep it and start it again, one for each purpose.

    The timer does not keep the object of the method `action` alive: a connection of Qt to Python
    would, since no collector of cycles sees it. `QTimer.singleShot` is no alternative: Slicer
    replaces it by one whose timers are never freed.
    """
    method = WeakMethod(action)

    def call() -> None:
        alive = method()
        if alive is not None:
            alive()

    made = qt.QTimer()
    made.setInterval(milliseconds)
    made.setSingleShot(single)
    made.connect("timeout()", call)
    return made


def tool_texts() -> dict[str, tuple[str, str]]:
    """Return text and tooltip for what the hand draws, the same in effect and panel."""
    return {
        "point": (_("Point"), _("A click is a point.")),
        "scribble": (
            _("Stroke"),
            _("A line drawn with the left button held down. Key S changes."),
        ),
        "lasso": (
            _("Lasso"),
            _("A closed curve drawn with the button held down; its inside counts. Key L changes."),
        ),
        "box": (
            _("Box"),
            _("A rectangle dragged over two corners, as deep as its longer side. Key X changes."),
        ),
    }


def where_next_texts() -> tuple[str, str]:
    """Return text and tooltip of the button, the same in effect and panel."""
    return (
        _("Where next?"),
        _("Show the place where a further prompt helps most, and say why."),
    )


def apart_texts() -> tuple[str, str]:
    """Return text and tooltip of the check box, the same in effect and panel."""
    return (
        _("Keep out of other segments"),
        _("What belongs to another segment is not taken. Otherwise segments may overlap."),
    )


def model_label(own: str) -> str:
    """Return the label of the list of models, the same in effect and panel."""
    return _("Model of this segment:") if own else _("Model:")


def kind_text(kind: str) -> str:
    """Return the word for a kind of prompt."""
    return tool_texts()["point" if kind == "click" else kind][0]


def sign_text(positive: bool) -> str:
    """Return the word for the sign of a prompt."""
    return _("Inside") if positive else _("Outside")


def show_line(label: Any, text: str, is_error: bool = False) -> None:
    """Show a text in a label, which is hidden without one."""
    label.text = text
    label.visible = bool(text)
    label.styleSheet = ERROR_STYLE if is_error else ""


def fill(box: Any, entries: Iterable[tuple[str, str]]) -> None:
    """Replace the entries of a combo box, text and value each, without a signal."""
    blocker = qt.QSignalBlocker(box)
    box.clear()
    for text, value in entries:
        box.addItem(text, value)
    del blocker


def choose(box: Any, value: str) -> None:
    """Show the entry of a value without a signal; one that is not there is added, too."""
    blocker = qt.QSignalBlocker(box)
    if box.findData(value) < 0:  # of a scene from another computer
        box.addItem(value, value)
    box.currentIndex = box.findData(value)
    del blocker


class Guarded:
    """A button; while it is disabled its tooltip is the reason."""

    def __init__(self, button: Any) -> None:
        self.button = button
        self._hint = button.toolTip

    def allow(self, reason: str = "") -> None:
        """Enable the button, or disable it for a reason."""
        self.button.enabled = not reason
        self.button.toolTip = reason or self._hint


class Connections:
    """Signals of widgets that stay connected until `release`."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Callable[..., object]]] = []

    def connect(self, widget: Any, signal: str, slot: Callable[..., object]) -> None:
        """Call a slot at a signal."""
        widget.connect(signal, slot)
        self._made.append((widget, signal, slot))

    def button(self, button: Any, action: Callable[[], object]) -> Guarded:
        """Have a button do something."""
        self.connect(button, "clicked()", action)
        return Guarded(button)

    def release(self) -> None:
        """Disconnect everything."""
        for widget, signal, slot in self._made:
            widget.disconnect(signal, slot)
        self._made.clear()


class Observed(VTKObservationMixin):
    """Calls a function without arguments at events of one object at a time."""

    def __init__(self, action: Callable[[], object]) -> None:
        VTKObservationMixin.__init__(self)
        self.subject: Any = None
        self._action = action

    def follow(self, subject: Any, events: Iterable[int] = ()) -> bool:
        """Hear another object, None for none; False if it is the one from before."""
        if subject is self.subject:
            return False
        self.removeObservers()
        self.subject = subject
        for event in events if subject is not None else ():
            self.addObserver(subject, event, self._on_event)
        return True

    def _on_event(self, caller: Any, event: str) -> None:
        self._action()
