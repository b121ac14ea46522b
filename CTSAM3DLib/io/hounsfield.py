"""Whether the voxels of a volume may be HU: a hint to show, not a reason to refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.volume import Volume

_LOWEST_HU, _HIGHEST_HU = -4096.0, 32767.0  # padding of scanners below, metal above
_BELOW_WATER_HU = -20.0  # fat and air; hardly a CT is without
_AIR_HU = -1100.0  # lower values are padding round the image, not a measurement
_LEAST_SHARE = 0.001  # of fat and air
_OFFSET_LOOKS_FROM = 1000.0
_LABELS = 256
_SAMPLES_PER_AXIS = 64


def hu_warning(volume: Volume) -> str | None:
    """Return why the voxels do not look like HU; None when they do.

    A model that expects HU finds organs of thousands of cm3 in other numbers and says nothing.
    Up to 128 voxels along each axis are looked at.

    Parameters
    ----------
    volume : Volume
        Any volume.

    Returns
    -------
    str or None
        One line for people: what was expected, what came, and what it may be.

    Examples
    --------
    >>> ct = np.linspace(-1000.0, 999.0, 1000).reshape(10, 10, 10)
    >>> hu_warning(Volume.from_array(ct, (1, 1, 1))) is None
    True
    >>> hu_warning(Volume.from_array((ct + 1000) / 2000, (1, 1, 1)))
    'no voxel below -20: expected HU with fat or air, got 0 to 0.9995; HU scaled to a small range?'
    """
    steps = tuple(
        slice(None, None, max(1, size // _SAMPLES_PER_AXIS)) for size in volume.array_kji.shape
    )
    sample = volume.array_kji[steps]
    low, high = float(sample.min()), float(sample.max())
    found = f"{low:g} to {high:g}"
    if low == high:
        return f"all voxels alike: expected HU, got {found}"
    if low < _LOWEST_HU or high > _HIGHEST_HU:
        return f"values out of range: expected HU, about -1024 to 3071, got {found}"
    if low > _BELOW_WATER_HU:
        problem = f"no voxel below {_BELOW_WATER_HU:g}: expected HU with fat or air"
        return f"{problem}, got {found}{_guess(sample, high)}"
    light = (sample >= _AIR_HU) & (sample < _BELOW_WATER_HU)
    if light.mean() < _LEAST_SHARE:
        problem = f"hardly a voxel between {_AIR_HU:g} and {_BELOW_WATER_HU:g}: expected HU with"
        return f"{problem} fat or air, got {found}{_guess(sample, high)}"
    if high - low < -_BELOW_WATER_HU:
        return f"hardly any contrast: expected HU, got {found}"
    return None


def _guess(sample: NDArray[Any], high: float) -> str:
    """Return what numbers without fat and air may be, as the end of a sentence."""
    if sample.dtype.kind in "iub" or bool((sample == np.rint(sample)).all()):
        values = np.unique(sample)
        if len(values) <= min(_LABELS, sample.size // 4) and high < _LABELS:
            return f"; a label map of {len(values)} values?"
    if high < -_BELOW_WATER_HU:
        return "; HU scaled to a small range?"
    return "; HU with an offset, such as +1024, or no CT?" if high > _OFFSET_LOOKS_FROM else ""
