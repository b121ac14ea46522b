"""The state of PyTorch in plain words, with one button where something is to do."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DModuleLib.torch_setup import (
    TorchKind,
    TorchSetup,
    TorchSetupError,
    TorchState,
    is_old,
    torch_not_installed,
)
from CTSAM3DModuleLib.waiting import Waiting
from CTSAM3DModuleLib.widgets import Connections

UTILITIES = "PyTorchUtils"
LINE_LENGTH = 80


class TorchSection:
    """One line and one button.

    PyTorch takes seconds to import, so that is done on a thread and the line filled in later; that
    is waited for also after the panel was left. `on_changed` is called without arguments when the
    state is known or has changed.
    """

    def __init__(
        self,
        ui: Any,
        connections: Connections,
        waiting: Waiting,
        on_changed: Callable[[], object],
    ) -> None:
        self.setup = TorchSetup()
        self.state: TorchState | None = None
        self._ui = ui
        self._on_changed = on_changed
        self._thread: threading.Thread | None = None
        self._waiting = waiting
        self._is_open = self._is_installing = self._is_released = False
        self._last_line = ""
        connections.connect(ui.torchButton, "clicked()", self._on_button)

    @property
    def reason(self) -> str:
        """Why nothing can be computed; empty if it can, or if that is not known yet."""
        if self.state is None or self.state.can_compute:
            return ""
        return _("PyTorch is not ready: see the top of this panel.")

    def refresh(self) -> None:
        """Look again, and show it until `close`."""
        self._is_open = True
        if self._is_installing:
            return
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
        """Show nothing ever; an installation goes on without a word."""
        self._is_released = True

    def _must_import(self) -> bool:
        if "torch" in sys.modules or not self.setup.is_there("torch"):
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
        if not self.setup.is_there(UTILITIES):
            return _("Install extension PyTorch")
        if state.kind is TorchKind.BROKEN:
            return _("Open PyTorch Utils")
        return _("Install PyTorch")

    def _on_button(self) -> None:
        state = self.state
        if state is None:
            return
        if state.needs_restart:
            question = _("Restart Slicer now? What is not saved will be lost.")
            if slicer.util.confirmOkCancelDisplay(question):
                slicer.util.restart()
            return
        if state.kind is TorchKind.BROKEN and self.setup.is_there(UTILITIES):
            self._open_utilities()
            return
        question = _("Install PyTorch now? It is a download of up to 3 GB and takes minutes.")
        if not self.setup.is_there(UTILITIES):  # its dialog asks
            self._install_now(_("The extension PyTorch is being installed ..."))
        elif slicer.util.confirmOkCancelDisplay(question):
            self._install_torch()

    def _install_torch(self) -> None:
        self._ui.torchButton.visible = False
        self._tell(_("PyTorch is being installed: this takes minutes ..."))
        with slicer.util.WaitCursor():
            self._is_installing = self.setup.install_beside(self._on_line, self._on_end)
        if not self._is_installing:
            text = _("PyTorch is being installed: Slicer does not answer for some minutes ...")
            self._install_now(text)

    def _install_now(self, text: str) -> None:
        self._tell(text)
        try:
            with slicer.util.WaitCursor():
                state = self.setup.install()
            self._show(state)
        except TorchSetupError as error:
            self._failed(str(error))

    def _tell(self, text: str) -> None:
        """Show a line before something that keeps Slicer busy."""
        self._ui.torchLabel.text = text
        slicer.app.processEvents()

    def _on_line(self, line: str) -> None:
        """Show how far the installer is."""
        logging.getLogger(__name__).info(line)
        if line.strip() and not self._is_released:
            self._last_line = line.strip()
            text = _("PyTorch is being installed: {line}")
            self._ui.torchLabel.text = text.format(line=self._last_line[:LINE_LENGTH])

    def _on_end(self, code: int) -> None:
        self._is_installing = False
        if self._is_released:
            return
        importlib.invalidate_caches()
        if code == 0 and self._is_open:
            self.refresh()
        elif code != 0:
            self._failed(torch_not_installed(self._last_line.rstrip(".")))

    def _failed(self, text: str) -> None:
        self._ui.torchLabel.text = text
        self._ui.torchButton.visible = True

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
