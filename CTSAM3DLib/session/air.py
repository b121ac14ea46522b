"""Whether prompts lie in the air round the body: a hint to show, not a reason to refuse."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Prompt

_AIR_HU = -900.0  # on the mean; a lung has more, but for some emphysema
_TISSUE_HU = -500.0
_DIRECTIONS = 16
_LEAST_FREE = 4  # directions; an open nose or mouth has fewer
_WORDS = {"click": "point", "scribble": "stroke", "lasso": "lasso"}


def air_notices(volume: Volume, prompts: Iterable[Prompt]) -> tuple[str, ...]:
    """Return a sentence for each positive click, stroke or lasso in the air round the body.

    Lungs, airways and gas in the bowel do not count: from there the edge of an axial slice is not
    reached through air in four of 16 directions. Of strokes and lassos the anchor is looked at.

    Examples
    --------
    >>> from CTSAM3DLib.prompts import Click
    >>> ct = np.full((9, 40, 40), -1000.0)
    >>> ct[:, 10:30, 10:30] = 40
    >>> ct[:, 18:22, 18:22] = -1000  # gas
    >>> volume = Volume.from_array(ct, (1, 1, 1))
    >>> air_notices(volume, [Click((20, 12, 4)), Click((20, 20, 4))])
    ()
    >>> air_notices(volume, [Click((5, 20, 4))])[0]
    'The point lies in air outside the body (-1000 HU): take it back, click inside the structure.'
    """
    found = []
    for prompt in prompts:
        if prompt.positive and prompt.bounds is None:
            voxel_ijk = volume.geometry.voxel_from_ras(prompt.anchor_ras)
            if _is_outside_body(volume, voxel_ijk):
                found.append(
                    f"The {_WORDS[prompt.kind]} lies in air outside the body "
                    f"({volume.array_kji[voxel_ijk[::-1]]:g} HU): take it back, click inside the "
                    "structure."
                )
    return tuple(found)


def _is_outside_body(volume: Volume, voxel_ijk: tuple[int, int, int]) -> bool:
    """Tell whether the edge of the axial slice is reached through air from a voxel in air."""
    around = tuple(slice(max(0, at - 1), at + 2) for at in voxel_ijk[::-1])
    if volume.array_kji[around].mean() > _AIR_HU:
        return False
    free = 0
    for number in range(_DIRECTIONS):
        values_hu = _ray_hu(volume, voxel_ijk, 2 * np.pi * number / _DIRECTIONS)
        free += bool(values_hu.max() < _TISSUE_HU and values_hu.mean() < _AIR_HU)
    return free >= _LEAST_FREE


def _ray_hu(volume: Volume, voxel_ijk: tuple[int, int, int], angle: float) -> NDArray[np.float64]:
    """Return the values from a voxel to the edge of its slice, that is the most axial one."""
    across = int(np.abs(volume.geometry.directions_ras[2]).argmax())
    direction_ijk = np.insert([np.cos(angle), np.sin(angle)], across, 0.0)
    size_ijk = volume.geometry.size_ijk
    steps = np.arange(sum(size_ijk))[:, None]
    way_ijk = np.rint(np.array(voxel_ijk) + steps * direction_ijk).astype(np.intp)
    inside = ((way_ijk >= 0) & (way_ijk < size_ijk)).all(axis=1)
    i, j, k = way_ijk[inside].T
    values_hu: NDArray[np.float64] = volume.array_kji[k, j, i].astype(np.float64)
    return values_hu
