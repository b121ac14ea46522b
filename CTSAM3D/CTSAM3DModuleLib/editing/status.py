"""What is told to the user in one line."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

from CTSAM3DLib.errors import ClickOutsideVolumeError


@dataclass(frozen=True)
class Status:
    """One line for the user."""

    text: str = ""  # In plain words
    kind: str = "idle"  # ``"idle"``, ``"busy"``, ``"done"``, ``"warning"`` or ``"error"``


def refusal(error: BaseException) -> Status:
    """Return the line for what could not be done."""
    if isinstance(error, ImportError):
        text = _("PyTorch is needed and not ready: see module CT-SAM3D, section PyTorch.")
    elif isinstance(error, ClickOutsideVolumeError) and "volume" in str(error):
        text = _("That point lies outside the CT. Click inside the image.")
    else:
        text = str(error)
    return Status(text, "error")
