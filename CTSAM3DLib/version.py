"""The version of the library: the one place that says it."""

from __future__ import annotations

import platform
import sys

__version__ = "0.1.0"

_PACKAGES = ("numpy", "scipy", "torch", "SimpleITK", "matplotlib", "skimage", "slicer_core")


def versions() -> dict[str, str]:
    """Return the versions of this library, Python, and those packages that were in use.

    Examples
    --------
    >>> versions()["CTSAM3DLib"] == __version__
    True
    """
    found = {"CTSAM3DLib": __version__, "python": platform.python_version()}
    found["system"] = f"{platform.system()} {platform.machine()}"
    for name in _PACKAGES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found
