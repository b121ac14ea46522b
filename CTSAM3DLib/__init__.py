"""Interactive segmentation of any anatomy in CT from a few clicks.

Importing this package loads neither torch nor Slicer nor an image library; each name below is
fetched from its module at first use.

Examples
--------
>>> import CTSAM3DLib
>>> CTSAM3DLib.Click((1.0, 2.0, 3.0)).positive
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from CTSAM3DLib.version import __version__

if TYPE_CHECKING:
    from CTSAM3DLib.api import SegmentationResult, open_session, segment
    from CTSAM3DLib.errors import (
        BundleError,
        CheckpointError,
        ClickOutsideVolumeError,
        ClicksFileError,
        CTSAM3DError,
        DeviceError,
        GeometryError,
        OutputFileError,
        SegmentationFileError,
        UntrustedModelError,
        VolumeError,
    )
    from CTSAM3DLib.geometry import BoundingBox, Geometry, MaskUpdate, Volume
    from CTSAM3DLib.io import hu_warning, read_volume
    from CTSAM3DLib.models import trust_model
    from CTSAM3DLib.prompts import Click, ClickHistory
    from CTSAM3DLib.session.session import InteractiveSession

# All others are errors.
_HOME = {
    "BoundingBox": "geometry",
    "Click": "prompts",
    "ClickHistory": "prompts",
    "Geometry": "geometry",
    "InteractiveSession": "session",
    "MaskUpdate": "geometry",
    "SegmentationResult": "api",
    "Volume": "geometry",
    "hu_warning": "io",
    "open_session": "api",
    "read_volume": "io",
    "segment": "api",
    "trust_model": "models",
}

__all__ = [
    "BoundingBox",
    "BundleError",
    "CTSAM3DError",
    "CheckpointError",
    "Click",
    "ClickHistory",
    "ClickOutsideVolumeError",
    "ClicksFileError",
    "DeviceError",
    "Geometry",
    "GeometryError",
    "InteractiveSession",
    "MaskUpdate",
    "OutputFileError",
    "SegmentationFileError",
    "SegmentationResult",
    "UntrustedModelError",
    "Volume",
    "VolumeError",
    "__version__",
    "hu_warning",
    "open_session",
    "read_volume",
    "segment",
    "trust_model",
]


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
