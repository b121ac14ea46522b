"""The state of PyTorch in plain words, with one button where something is to do."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DModuleLib.torch_setup import TorchKind, TorchSetup, TorchSetupError, TorchState, is_old
from CTSAM3DModuleLib.waiting import Waiting

UTILITIES = "PyTorchUtils"


class TorchSection:
    """One line and one button.

    PyTorch takes seconds to import, so that is done on a thread and the line filled in later.

    Parameters
    ----------
    ui : namespace
        With `torchLabel` and `torchButton`.
    waiting : Waiting
        Waits for the import of PyTorch, also after the panel was left.
    on_changed : callable
        Called without arguments when the state is known or has changed.
    """

    def __init__(self, ui: Any, waiting: Waiting, on_changed: Callable[[], object]) -> None:
        self.setup = TorchSetup()
        self.state: TorchState | None = None
        self._ui = ui
        self._on_changed = on_changed
        self._thread: threading.Thread | None = None
        self._waiting = waiting
        self._is_open = False
        ui.torchButton.connect("clicked()", self._on_button)

    @property
    def reason(self) -> str:
        """Why nothing can be computed; empty if it can, or if that is not known yet."""
        if self.state is None or self.state.can_compute:
            return ""
        return _("PyTorch is not ready: see the top of this panel.")

    def refresh(self) -> None:
        """Look again, and show it until `close`."""
        self._is_open = True
        if self._must_import():
            if self._thread is None:
                setup = self.setup
                self._thread = threading.Thread(target=_import_torch, args=(setup,), daemon=True)
                self._thread.start()
                self._waiting.watch(self._thread.join, self._poll)
            self._ui.torchLabel.text = _("PyTorch is being loaded ...")
            self._ui.torchButton.visible = False
        else:
            self._show(self.setup.state())

    def close(self) -> None:
        """Show nothing any more; an import goes on."""
        self._is_open = False

    def release(self) -> None:
        """Disconnect."""
        self._ui.torchButton.disconnect("clicked()", self._on_button)

    def _must_import(self) -> bool:
        if "torch" in sys.modules or not self._is_there("torch"):
            return False
        try:
            return not is_old(self.setup.installed_version("torch"))
        except importlib.metadata.PackageNotFoundError:
            return True

    def _poll(self) -> bool:
        """Show the state once PyTorch is imported; True until then."""
        if self._thread is not None and self._thread.is_alive():
            return True
        self._thread = None
        if self._is_open:
            self._show(self.setup.state())
        return False

    def _show(self, state: TorchState) -> None:
        self.state = state
        self._ui.torchLabel.text = state.text
        text = self._button_text(state)
        self._ui.torchButton.visible = bool(text)
        self._ui.torchButton.text = text
        self._on_changed()

    def _button_text(self, state: TorchState) -> str:
        if state.can_compute:
            return ""
        if state.needs_restart:
            return _("Restart Slicer")
        if not self._is_there(UTILITIES):
            return _("Install extension PyTorch")
        if state.kind is TorchKind.BROKEN:
            return _("Open PyTorch Utils")
        return _("Install PyTorch")

    def _is_there(self, name: str) -> bool:
        try:
            return self.setup.find_spec(name) is not None
        except (ImportError, ValueError):
            return False

    def _on_button(self) -> None:
        state = self.state
        if state is None:
            return
        if state.needs_restart:
            question = _("Restart Slicer now? What is not saved will be lost.")
            if slicer.util.confirmOkCancelDisplay(question):
                slicer.util.restart()
            return
        if state.kind is TorchKind.BROKEN and self._is_there(UTILITIES):
            self._open_utilities()
            return
        try:
            self._show(self.setup.install())
        except TorchSetupError as error:
            self._ui.torchLabel.text = str(error)

    def _open_utilities(self) -> None:
        try:
            slicer.util.selectModule(UTILITIES)
        except RuntimeError:  # no main window
            self._ui.torchLabel.text = _("The module PyTorch Utils needs the main window.")


def _import_torch(setup: TorchSetup) -> None:
    try:
        setup.import_module("torch")
    except Exception:
        return
