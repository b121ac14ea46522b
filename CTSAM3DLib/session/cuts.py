"""Straight cuts: where a mask ends only because the model has not looked any further."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import AxisMap
from CTSAM3DLib.session.points import box_of, contained, nearest_voxels
from CTSAM3DLib.session.state import SessionState

_LEAST_CM2 = 4.0  # smaller ones are left alone


def cut_notices(state: SessionState, within: BoundingBox | None = None) -> tuple[str, ...]:
    """Return a sentence where a mask ends in a straight cut, as one of an organ found in part does.

    `within` is a box of the volume outside of which nothing is wanted.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import Geometry
    >>> geometry = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (32, 32, 64))
    >>> logits = np.full((32, 32, 32), -8.0)
    >>> logits[8:24, 8:24, 8:] = 8.0  # up to the end of what the model was asked about
    >>> state = SessionState.empty(geometry, geometry)
    >>> state = state.with_logits(BoundingBox((0, 0, 0), (32, 32, 32)), logits)
    >>> cut_notices(state)[0]
    'The mask ends in a straight cut (10 cm2): click beyond it.'
    """
    cut_cm2 = cut_mm2(state, within) / 100.0
    if cut_cm2 < _LEAST_CM2:
        return ()
    return (f"The mask ends in a straight cut ({cut_cm2:.0f} cm2): click beyond it.",)


def cut_mm2(state: SessionState, within: BoundingBox | None = None) -> float:
    """Return the area at which a mask ends at the border of what has been decoded, in mm2.

    The border of the volume is none, nor is one beyond which the mask goes on, nor one outside
    `within`, a box of the volume.
    """
    boxes = (*state.patches, *state.coarse)
    count = 0
    for axis in range(3):
        for side in (-1, 1):
            ends = [_ends(state, box, axis, side, within) for box in boxes]
            if ends:
                count += len(np.unique(np.concatenate(ends)))  # boxes may share a face
    return float(count * state.grid.spacing_mm[0] ** 2)


def _ends(
    state: SessionState, box: BoundingBox, axis: int, side: int, within: BoundingBox | None
) -> NDArray[np.intp]:
    """Return the numbers of the voxels of the grid beyond a face of a box where a mask ends, (N,).

    The voxels are unknown, those before them in the box positive.
    """
    step = [0, 0, 0]
    step[axis] = side * (box.size_ijk[axis] - 1)
    last = box.intersection(box.shifted(step))
    step[axis] = side
    beyond = last.shifted(step).clipped(state.grid.shape_kji)
    if beyond.is_empty:
        return np.zeros(0, np.intp)
    step[axis] = -side
    is_open = (state.logits.read(beyond.shifted(step)) > 0) & np.isnan(state.logits.read(beyond))
    voxels = np.argwhere(is_open)[:, ::-1] + np.array(beyond.start_ijk)
    voxels = voxels[~_in_mask(state, voxels, axis, side, within)]
    numbers: NDArray[np.intp] = np.ravel_multi_index(tuple(voxels.T), state.grid.size_ijk)
    return numbers


def _in_mask(
    state: SessionState,
    voxels: NDArray[np.intp],
    axis: int,
    side: int,
    within: BoundingBox | None,
) -> NDArray[np.bool_]:
    """Return beyond which voxels of the grid, (N, 3), at a face a mask goes on or is not wanted."""
    # The first voxels of the volume whose centre lies beyond the face: where slices are thick,
    # the next voxel of the grid may lie in one that still belongs to the box.
    scale = AxisMap.between(state.geometry, state.grid).scales[axis]
    centres = voxels.astype(np.float64)
    centres[:, axis] += side * (0.501 / abs(scale) - 0.5)
    at = nearest_voxels(state.grid.ras_from_ijk(centres), state.geometry)
    box = box_of(at)
    i, j, k = (at - np.array(box.start_ijk)).T
    inside: NDArray[np.bool_] = state.mask.read(box)[k, j, i]
    return inside if within is None else inside | ~contained([within], at)
