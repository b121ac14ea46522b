"""Whether PyTorch can be used, in plain words; and its installation by the PyTorch extension.

Slicer has no PyTorch of its own. The extension PyTorch brings the module PyTorchUtils, which
installs the build that suits the computer; nothing here installs a package by itself.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DModuleLib.torch_devices import TorchDevice, devices_of, has_nvidia_driver

MINIMUM_VERSION = (2, 2)
REQUIREMENT = ">=" + ".".join(map(str, MINIMUM_VERSION))
EXTENSION = "PyTorch"
INSTALLER = "light_the_torch"  # what the extension PyTorch installs with


class TorchSetupError(CTSAM3DError, RuntimeError):
    """PyTorch could not be installed, or not from here."""


class TorchKind(Enum):
    """What is there of PyTorch."""

    READY = "ready"
    EXTENSION_MISSING = "extension missing"
    TORCH_MISSING = "torch missing"
    BROKEN = "broken"
    TOO_OLD = "too old"
    CPU_BUILD = "CPU build"


@dataclass(frozen=True)
class TorchState:
    """What is there of PyTorch, and what to do."""

    kind: TorchKind
    version: str = ""  # Of PyTorch; empty where it is unknown
    # Processor and graphics cards that can compute; empty when none can
    devices: tuple[TorchDevice, ...] = ()
    text: str = ""  # One or two sentences for the user, translated
    needs_restart: bool = False  # True when Slicer must be restarted before anything else helps

    @property
    def can_compute(self) -> bool:
        """Whether a model can run now."""
        return self.kind in (TorchKind.READY, TorchKind.CPU_BUILD)


def _slicer_extensions() -> Any:
    return slicer.app.extensionsManagerModel()


@dataclass(frozen=True)
class TorchSetup:
    """Looks at PyTorch and has it installed. Main thread only; keeps nothing between calls."""

    # find_spec, import_module, installed_version: As in `importlib.util`, `importlib` and
    # `importlib.metadata`; others in tests
    find_spec: Callable[[str], Any] = importlib.util.find_spec
    import_module: Callable[[str], Any] = importlib.import_module
    installed_version: Callable[[str], str] = importlib.metadata.version
    extensions_model: Callable[[], Any] = _slicer_extensions  # Returns Slicer's model of extensions
    # Tells whether the computer has an NVIDIA graphics card
    has_gpu: Callable[[], bool] = has_nvidia_driver
    # Returns Slicer's function that runs a Python module beside Slicer; None before 5.11
    runner: Callable[[], Any] = lambda: getattr(slicer.util, "executePythonModule", None)

    def state(self) -> TorchState:
        """Return what is there. Imports PyTorch, which takes seconds, but only if it is found."""
        if self.is_there("torch"):
            return self._state_of_installed()
        if self.is_there("PyTorchUtils"):
            text = _(
                "PyTorch is not installed yet. Install it now: a download of up to 3 GB, needed "
                "once."
            )
            return TorchState(TorchKind.TORCH_MISSING, text=text)
        if self._extension_is_installed():
            text = _(
                "The extension PyTorch is installed but not active. Restart Slicer; if that does "
                "not help, enable it in the Extensions Manager."
            )
            return TorchState(TorchKind.EXTENSION_MISSING, text=text, needs_restart=True)
        text = _("The extension PyTorch is missing. Install it now, then restart Slicer.")
        return TorchState(TorchKind.EXTENSION_MISSING, text=text)

    def install(self) -> TorchState:
        """Install what is missing, after the user has agreed; changes nothing where all is well.

        Call it when PyTorch is needed, never at start. First the extension, which then needs a
        restart; with the extension, PyTorch. The text of the state, as it is afterwards, says so
        when the user declined or nothing was installed. Raises TorchSetupError: called off the main
        thread, or the installation failed.
        """
        if threading.current_thread() is not threading.main_thread():
            name = threading.current_thread().name
            raise TorchSetupError(f"expected install() on the main thread, got thread {name!r}")
        before = self.state()
        if before.can_compute or before.needs_restart:
            return before
        if self.is_there("PyTorchUtils"):
            return self._install_torch()
        return self._install_extension(before)

    def install_beside(
        self, on_line: Callable[[str], object], on_end: Callable[[int], object]
    ) -> bool:
        """Begin to install PyTorch while Slicer stays usable, after the user has agreed.

        On the main thread `on_line` is called with each line that the installer writes, and
        `on_end` with its exit code. Returns False where this Slicer or its extension cannot;
        `install` works or says why not.
        """
        run = self.runner()
        if run is None:
            return False
        packages = [f"torch{REQUIREMENT}", "torchvision"]
        try:
            logic = self.import_module("PyTorchUtils").PyTorchUtilsLogic()
            # Brings the installer, a small package, where it is missing.
            logic.getCompatibleComputationBackends(torchVersionRequirement=REQUIREMENT)
            run(
                INSTALLER,
                ["install", *packages],
                blocking=False,
                logCallback=on_line,
                completedCallback=on_end,
            )
        except Exception:  # pip, the network, an older extension
            logging.getLogger(__name__).debug("not beside Slicer", exc_info=True)
            return False
        return True

    def _install_torch(self) -> TorchState:
        try:
            logic = self.import_module("PyTorchUtils").PyTorchUtilsLogic()
            torch = logic.installTorch(askConfirmation=False, torchVersionRequirement=REQUIREMENT)
        except Exception as error:  # pip, the network, a half-installed package
            raise TorchSetupError(torch_not_installed(_reason(error))) from error
        state = self.state()
        if torch is not None or state.can_compute:
            return state
        text = _("PyTorch was not installed: it was declined or failed. You can try again.")
        return replace(state, text=text)

    def _install_extension(self, before: TorchState) -> TorchState:
        if not self._extension_is_installed():
            try:
                self.extensions_model().installExtensionFromServer(EXTENSION, False)
            except Exception as error:  # a Slicer without Extensions Manager
                message = _("The extension PyTorch could not be installed: {reason}.")
                raise TorchSetupError(message.format(reason=_reason(error))) from error
        # The answer above is True as well when the download has failed.
        if self._extension_is_installed():
            text = _("The extension PyTorch is installed. Restart Slicer, then install PyTorch.")
            return replace(before, text=text, needs_restart=True)
        text = _(
            "The extension PyTorch was not installed: it was declined or the download failed. "
            "You can try again, or install it in the Extensions Manager."
        )
        return replace(before, text=text)

    def is_there(self, name: str) -> bool:
        """Tell whether a module can be imported."""
        try:
            return self.find_spec(name) is not None
        except (ImportError, ValueError):  # ValueError: half-imported, without a spec
            return False

    def _extension_is_installed(self) -> bool:
        try:
            return bool(self.extensions_model().isExtensionInstalled(EXTENSION))
        except AttributeError:  # a Slicer without Extensions Manager
            return False

    def _state_of_installed(self) -> TorchState:
        try:
            on_disk = self.installed_version("torch")
        except importlib.metadata.PackageNotFoundError:
            on_disk = ""
        if is_old(on_disk):  # a library that is loaded cannot be replaced on Windows
            return _too_old(on_disk)
        try:
            torch = self.import_module("torch")
            version, devices = str(torch.__version__), devices_of(torch)
            built_for_gpu = bool(torch.version.cuda or getattr(torch.version, "hip", None))
        except Exception as error:  # half-installed: anything may be raised
            return _broken(error, on_disk)
        if is_old(version):
            return _too_old(version, replaced=bool(on_disk))
        if len(devices) > 1 or not self.has_gpu():
            text = _("PyTorch {version} is ready, with {device}.")
            text = text.format(version=version, device=devices[:2][-1].label)
            return TorchState(TorchKind.READY, version, devices, text)
        if built_for_gpu:
            text = _(
                "PyTorch {version} works on the processor. Update the driver of the NVIDIA "
                "graphics card to use it."
            )
            return TorchState(TorchKind.READY, version, devices, text.format(version=version))
        text = _(
            "PyTorch {version} works, but cannot use the NVIDIA graphics card. For that, "
            "uninstall it in the module PyTorch Utils of the extension PyTorch, restart Slicer and "
            "install it again."
        )
        return TorchState(TorchKind.CPU_BUILD, version, devices, text.format(version=version))


def torch_not_installed(reason: str) -> str:
    """Return what to tell of an installation that has failed."""
    message = _(
        "PyTorch could not be installed: {reason}. Restart Slicer and try again; if that fails, "
        "uninstall PyTorch in the module PyTorch Utils first."
    )
    return message.format(reason=reason)


def is_old(version: str) -> bool:
    """Tell whether a version is below the least one that can load our models."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) < MINIMUM_VERSION


def _too_old(version: str, *, replaced: bool = False) -> TorchState:
    """Return the state of an old version; `replaced` when a newer one waits for a restart."""
    if replaced:
        text = _("PyTorch {version} is still in use. Restart Slicer to use the newer one.")
    else:
        text = _("PyTorch {version} is too old. Install version {minimum} or newer.")
    minimum = ".".join(map(str, MINIMUM_VERSION))
    text = text.format(version=version, minimum=minimum)
    return TorchState(TorchKind.TOO_OLD, version, text=text, needs_restart=replaced)


def _broken(error: Exception, version: str) -> TorchState:
    text = _(
        "PyTorch cannot be loaded: {reason}. Uninstall it in the module PyTorch Utils of the "
        "extension PyTorch, restart Slicer and install it again."
    )
    return TorchState(TorchKind.BROKEN, version, text=text.format(reason=_reason(error)))


def _reason(error: Exception) -> str:
    """Return the first line of an error, or its kind."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
