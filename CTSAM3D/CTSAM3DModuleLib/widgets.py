"""Buttons of the panel that say why they cannot be pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Guarded:
    """A button with what it does; while it is disabled its tooltip is the reason.

    Parameters
    ----------
    button : QAbstractButton
        Its tooltip says what it does.
    action : callable
        Called without arguments.
    """

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
