"""Whether the voxels of a volume may be HU: a hint to show, not a reason to refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.volume import Volume

_LOWEST_HU, _HIGHEST_HU = -4096.0, 32767.0  # padding of scanners below, metal above
_BELOW_WATER_HU = -20.0  # fat and air; hardly a CT is without
_AIR_HU = -1100.0  # lower values are padding round the image, not a measurement
_LEAST_SHARE = 0.001  # of fat and air
_OFFSET_LOOKS_FROM = 1000.0
_FAR_OUT_HU = 1000.0  # values so far out of range come from a wrong type or scale
_GREYS = 256  # of one byte
_ALIKE = 0.5  # of neighbours between the extremes: labels are alike, grey values are not
_SAMPLES_PER_AXIS = 64
# Chosen on 71 real CTs, whole and windowed: none comes near, each that was changed so does.
_END = 0.1  # of the range: the highest numbers, hardly ever met in a CT
_MUCH, _SOME = 0.05, 0.01
_TISSUE_HU = 100.0  # the most of soft tissue without contrast agent
_LOWEST_TENTH = -410.0  # of the lowest HU
_WATER_HU, _BODY_HU, _MOST_WATER = (-15.0, 15.0), (-75.0, 150.0), 0.5
_OFFSET_BODY = (850.0, 1250.0)  # fat to muscle where 1000 or 1024 were added


def hu_warning(volume: Volume) -> str | None:
    """Return why the voxels do not look like HU, in one line for people; None when they do.

    A model that expects HU finds organs of thousands of cm3 in other numbers and says nothing. Up
    to 128 voxels along each axis are looked at.

    Examples
    --------
    >>> ct = np.linspace(-1000.0, 999.0, 1000).reshape(10, 10, 10)
    >>> hu_warning(Volume.from_array(ct, (1, 1, 1))) is None
    True
    >>> hu_warning(Volume.from_array((ct + 1000) / 2000, (1, 1, 1)))
    'no voxel below -20: expected HU with fat or air, got 0 to 0.9995; HU scaled to a small range?'
    """
    sample = _sample(volume)
    low, high = float(sample.min()), float(sample.max())
    found = f"{low:g} to {high:g}"
    if low == high:
        return f"all voxels alike: expected HU, got {found}"
    if low < _LOWEST_HU or high > _HIGHEST_HU:
        return f"values out of range: expected HU, about -1024 to 3071, got {found}"
    if low > _BELOW_WATER_HU:
        problem = f"no voxel below {_BELOW_WATER_HU:g}: expected HU with fat or air"
        return f"{problem}, got {found}{_guess(volume, sample)}"
    light = (sample >= _AIR_HU) & (sample < _BELOW_WATER_HU)
    if light.mean() < _LEAST_SHARE:
        problem = f"hardly a voxel between {_AIR_HU:g} and {_BELOW_WATER_HU:g}: expected HU with"
        return f"{problem} fat or air, got {found}{_guess(volume, sample)}"
    if high - low < -_BELOW_WATER_HU:
        return f"hardly any contrast: expected HU, got {found}"
    odd = _odd_numbers(volume, sample, low, high)
    return f"{odd}: expected HU, got {found}; export the CT again" if odd else None


def check_hu(volume: Volume) -> None:
    """Raise VolumeError for voxels, looked at as by `hu_warning`, far out of the range of HU.

    Such are values of a wrong type or scale, as 64536 for -1000. Padding, one low value round the
    image, is let pass: it is not measured.

    Examples
    --------
    >>> check_hu(Volume.from_array(np.linspace(-1000, 64536, 60).reshape(3, 4, 5), (1, 1, 1)))
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.VolumeError: values out of range: expected HU, ... got -1000 to 64536...
    """
    sample = _sample(volume)
    low = sample < _LOWEST_HU - _FAR_OUT_HU
    padding = bool(low.any()) and sample[low].min() == sample[low].max()
    if (low.any() and not padding) or sample.max() > _HIGHEST_HU + _FAR_OUT_HU:
        raise VolumeError(
            f"values out of range: expected HU, about -1024 to 3071, got {sample.min():g} to "
            f"{sample.max():g}; slope and intercept or the type of the voxels are wrong: export "
            "the CT again"
        )


def _odd_numbers(volume: Volume, sample: NDArray[Any], low: float, high: float) -> str:
    """Return what numbers in the range of HU are that are spread as in no CT; else nothing."""

    def share(start: float, stop: float) -> float:
        return float(((sample >= start) & (sample <= stop)).mean())

    if volume.array_kji.dtype == np.int8:
        return "voxels of 8 bits, which cannot hold HU"
    end = _END * (high - low)
    brightest = share(high - end, high)
    if brightest > _MUCH and high - end > _TISSUE_HU and share(low, low + end) < brightest / 10:
        return "most voxels are bright and hardly any dark, as where black and white were swapped"
    if share(*_WATER_HU) > max(_SOME, _MOST_WATER * share(*_BODY_HU)) and low > _LOWEST_TENTH:
        return "all tissue is near 0, as where HU were divided by 10"
    above = sample[sample > low]  # without padding
    if above.min() > _BELOW_WATER_HU and share(*_OFFSET_BODY) > _SOME:
        return f"no voxel between {low:g} and {above.min():g}, as of HU with an offset and padding"
    return ""


def _sample(volume: Volume) -> NDArray[Any]:
    """Return up to 128 voxels along each axis."""
    array = volume.array_kji
    return array[tuple(slice(None, None, max(1, n // _SAMPLES_PER_AXIS)) for n in array.shape)]


def _guess(volume: Volume, sample: NDArray[Any]) -> str:
    """Return what numbers without fat and air may be, as the end of a sentence."""
    values, high = np.unique(sample), float(sample.max())
    whole = sample.dtype.kind in "iu" or bool((values == np.rint(values)).all())
    if whole and len(values) <= sample.size // 4 and high < _GREYS:
        if _is_label_map(volume):
            return f"; a label map of {len(values)} values?"
        return "; an image windowed to 8 bits?"
    if high < -_BELOW_WATER_HU:
        return "; HU scaled to a small range?"
    return "; HU with an offset, such as +1024, or no CT?" if high > _OFFSET_LOOKS_FROM else ""


def _is_label_map(volume: Volume) -> bool:
    """Whether neighbours are mostly alike, the lowest and the highest value apart."""
    array = volume.array_kji
    k, j = (max(1, n // _SAMPLES_PER_AXIS) for n in array.shape[:2])
    rows = array[::k, ::j]
    first, second = rows[..., :-1], rows[..., 1:]
    inner = (first > rows.min()) & (first < rows.max())
    return not inner.any() or float((first == second)[inner].mean()) > _ALIKE
