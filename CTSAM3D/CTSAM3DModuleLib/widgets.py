"""What the widgets of panel and effect have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import qt
from slicer.i18n import tr as _

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


class Guarded:
    """A button with what it does; while it is disabled its tooltip is the reason."""

    def __init__(self, button: Any, action: Callable[[], object]) -> None:
        self.button = button
        self._hint = button.toolTip
        self._action = action
        button.connect("clicked()", self._on_clicked)

    def allow(self, reason: str = "") -> None:
        """Enable the button, or disable it for a reason."""
        self.button.enabled = not reason
        self.button.toolTip = reason or self._hint

    def release(self) -> None:
        """Disconnect."""
        self.button.disconnect("clicked()", self._on_clicked)

    def _on_clicked(self) -> None:
        self._action()
