"""A breathing torso: the generated torso, its organs moved up and down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.phantom.torso import torso_phantom

_STILL_MM = 35.0  # what lies nearer to the back, the spine in it, does not move
_SOFT_MM = 25.0  # within this the motion comes up


def breathing_torso(
    shifts_mm: Sequence[float] = (0.0, -5.0, -10.0, -15.0, -8.0), spacing_mm: float = 3.0
) -> Iterator[tuple[Volume, dict[str, NDArray[np.bool_]]]]:
    """Yield the generated torso in several states of breathing.

    Parameters
    ----------
    shifts_mm : sequence of float
        For each frame, how far the organs have moved up (negative: down).
    spacing_mm : float
        Isotropic voxel size, see `torso_phantom`.

    Yields
    ------
    volume : Volume
        All on the same voxels.
    truth : dict of bool arrays (K, J, I)
        The moved masks.

    Examples
    --------
    >>> first, second = breathing_torso((0.0, -20.0), 8.0)
    >>> down = [np.argwhere(frame[1]["liver"])[:, 0].mean() * 8.0 for frame in (first, second)]
    >>> bool(10.0 < down[0] - down[1] < 22.0)
    True
    """
    volume, truth = torso_phantom(spacing_mm)
    share = _share(volume)
    k, j, i = (axis.astype(np.float32) for axis in np.indices(volume.array_kji.shape))
    for shift_mm in shifts_mm:
        # In a moved image a voxel shows what lay lower before, if the organs went up.
        place = (k - share * np.float32(shift_mm / spacing_mm), j, i)
        moved = ndimage.map_coordinates(volume.array_kji, place, order=1, mode="nearest")
        masks = {
            name: ndimage.map_coordinates(mask.view(np.uint8), place, order=0, mode="nearest") > 0
            for name, mask in truth.items()
        }
        yield Volume(moved.astype(volume.array_kji.dtype), volume.geometry, volume.name), masks


def _share(volume: Volume) -> NDArray[np.float32]:
    """Return how much of the motion each voxel makes, 0 to 1: none at the back and at the skin."""
    body = ndimage.binary_fill_holes(volume.array_kji > -400)
    depth = ndimage.distance_transform_edt(body, sampling=volume.geometry.spacing_mm[::-1])
    back_mm = np.arange(body.shape[1])[::-1] * volume.geometry.spacing_mm[1]
    rear = back_mm[None, :, None] - back_mm[body.any(axis=(0, 2))].min()
    share = np.clip(depth / _SOFT_MM, 0, 1) * np.clip((rear - _STILL_MM) / _SOFT_MM, 0, 1)
    return np.asarray(share, np.float32)
