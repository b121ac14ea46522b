"""A generated torso CT with its truth, so that demo and tests need no download."""

from __future__ import annotations

from CTSAM3DLib.phantom.torso import torso_phantom

__all__ = ["torso_phantom"]
