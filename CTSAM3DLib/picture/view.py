"""What part of a CT a picture shows, and in which window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LUNG_WINDOW_HU = (-1350.0, 150.0)
_LUNG_BELOW_HU = -500.0
_BODY_ABOVE_HU = -300.0
_LEAST_PART = 0.05  # of the largest part: arms count, a cable does not
_SAMPLES_PER_AXIS = 96


def body_box(array_ras: NDArray[Any]) -> NDArray[np.int64]:
    """Return first and last voxel (2, 3) of the body, without the air round it.

    Parameters
    ----------
    array_ras : (R, A, S) array
        HU. Seen in steps, so that the box may be up to a step too small or large.

    Returns
    -------
    (2, 3) int64
        The whole volume where there is no body.

    Examples
    --------
    >>> ct = np.full((20, 30, 4), -1000)
    >>> ct[5:15, 6:25] = 40
    >>> body_box(ct).tolist()
    [[5, 6, 0], [14, 24, 3]]
    """
    size = np.array(array_ras.shape)
    steps = np.maximum(1, size // _SAMPLES_PER_AXIS)
    inside = array_ras[tuple(slice(None, None, int(step)) for step in steps)] > _BODY_ABOVE_HU
    parts, count = ndimage.label(inside)
    if count == 0:
        return np.stack([np.zeros(3, np.int64), size - 1])
    voxels = np.bincount(parts.ravel())[1:]
    boxes = ndimage.find_objects(parts)
    large = [boxes[n] for n in np.flatnonzero(voxels >= _LEAST_PART * voxels.max())]
    first = np.min([[axis.start for axis in box] for box in large], axis=0) * steps
    last = np.max([[axis.stop for axis in box] for box in large], axis=0) * steps - 1
    return np.stack([first, np.minimum(last, size - 1)]).astype(np.int64)


def shown_box(
    body: NDArray[np.int64],
    things: Sequence[NDArray[Any]],
    size: Sequence[int],
    margin: Sequence[float],
) -> NDArray[np.float64]:
    """Return edges (2, 3), in voxel indices, round the body and everything that is drawn.

    Parameters
    ----------
    body : (2, 3) int64
        First and last voxel.
    things : sequence of (N, 3) arrays
        Indices of what must be seen.
    size : three int
        Of the volume; the edges stay in it.
    margin : three float
        Voxels to add at each side.

    Examples
    --------
    >>> shown_box(np.array([[5, 6, 0], [14, 24, 3]]), [], (20, 30, 4), (2, 2, 2)).tolist()
    [[2.5, 3.5, -0.5], [16.5, 26.5, 3.5]]
    """
    points = np.concatenate([body, *things])
    low, high = points.min(axis=0) - 0.5 - margin, points.max(axis=0) + 0.5 + margin
    return np.stack([np.maximum(low, -0.5), np.minimum(high, np.array(size) - 0.5)])


def tile_window_hu(values_hu: NDArray[Any], usual: tuple[float, float]) -> tuple[float, float]:
    """Return the window for a structure: that for lungs where it consists of air.

    Parameters
    ----------
    values_hu : (N,) array
        Voxels of the structure, HU.
    usual : (low, high)
        For everything else, HU.

    Examples
    --------
    >>> tile_window_hu(np.array([-900, -800, 30]), (-160, 240))
    (-1350.0, 150.0)
    >>> tile_window_hu(np.array([-900, 20, 30]), (-160, 240))
    (-160, 240)
    """
    is_lung = len(values_hu) > 0 and float(np.median(values_hu)) < _LUNG_BELOW_HU
    return LUNG_WINDOW_HU if is_lung else usual


def tile_grid(tiles: int) -> tuple[int, int]:
    """Return rows and columns for a number of tiles.

    Examples
    --------
    >>> tile_grid(11)
    (2, 6)
    """
    rows = math.ceil(tiles / 8)
    return rows, max(math.ceil(tiles / max(rows, 1)), 5)
