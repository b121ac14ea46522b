"""The devices that PyTorch can compute on, and whether there is a graphics card at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

AUTO = "auto"
DRIVER_FILES = ("/proc/driver/nvidia/version", "{windows}/System32/nvcuda.dll")


@dataclass(frozen=True)
class TorchDevice:
    """A device to choose."""

    value: str  # As `ModelChoice.device` takes it: ``auto``, ``cpu``, ``cuda:0``
    label: str  # For a person


def has_nvidia_driver(
    which: Callable[[str], str | None] = shutil.which,
    exists: Callable[[str], bool] = os.path.exists,
) -> bool:
    """Tell whether the driver of an NVIDIA graphics card is installed, by its files alone.

    No program is started, since `nvidia-smi` hangs when a driver is in trouble.
    """
    windows = os.environ.get("SYSTEMROOT", "C:/Windows")
    files = [Path(name.format(windows=windows)).as_posix() for name in DRIVER_FILES]
    return which("nvidia-smi") is not None or any(exists(name) for name in files)


def device_choices(devices: Iterable[TorchDevice] = ()) -> list[TorchDevice]:
    """Return the entries of a combo box: automatic, then the devices, at least the processor."""
    return [TorchDevice(AUTO, _("Automatic")), *(tuple(devices) or (_processor(),))]


def imported_devices() -> tuple[TorchDevice, ...]:
    """Return the devices of the PyTorch that is imported; none where there is none."""
    torch = sys.modules.get("torch")
    try:
        return () if torch is None else devices_of(torch)
    except (AttributeError, RuntimeError):  # it is just being imported on another thread
        return ()


def _processor() -> TorchDevice:
    return TorchDevice("cpu", _("Processor (CPU)"))


def devices_of(torch: Any) -> tuple[TorchDevice, ...]:
    """Return the processor and the graphics cards of a PyTorch."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cards = [
        TorchDevice(f"cuda:{number}", f"{torch.cuda.get_device_name(number)} (cuda:{number})")
        for number in range(count)
    ]
    return (_processor(), *cards)
