"""Straight cuts: where a mask ends only because the model has not looked any further."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import AxisMap
from CTSAM3DLib.session.points import box_of, nearest_voxels
from CTSAM3DLib.session.state import SessionState

_LEAST_CM2 = 4.0  # smaller ones are left alone


def cut_notices(state: SessionState) -> tuple[str, ...]:
    """Return a sentence where a mask ends in a straight cut, as one of an organ found in part does.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import Geometry
    >>> geometry = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (32, 32, 64))
    >>> logits = np.full((32, 32, 32), -8.0)
    >>> logits[8:24, 8:24, 8:] = 8.0  # up to the end of what the model was asked about
    >>> state = SessionState.empty(geometry, geometry)
    >>> state = state.with_logits(BoundingBox((0, 0, 0), (32, 32, 32)), logits)
    >>> cut_notices(state)[0]
    'The mask ends in a straight cut (10 cm2) where the model has not looked: click beyond it.'
    """
    cut_cm2 = cut_mm2(state) / 100.0
    if cut_cm2 < _LEAST_CM2:
        return ()
    return (
        f"The mask ends in a straight cut ({cut_cm2:.0f} cm2) where the model has not looked: "
        "click beyond it.",
    )


def cut_mm2(state: SessionState) -> float:
    """Return the area at which a mask ends at the border of what has been decoded, in mm2.

    The border of the volume is none, nor is one beyond which the mask goes on.
    """
    whole = BoundingBox.from_shape(state.grid.shape_kji)
    count = 0
    for axis in range(3):
        for side in (-1, 1):
            beyond = [
                _open_voxels(state, box, axis, side, whole)
                for box in (*state.patches, *state.coarse)
            ]
            if beyond:
                voxels = np.unique(np.concatenate(beyond), axis=0)  # boxes may share a face
                count += len(voxels) - _in_mask(state, voxels, axis, side)
    return float(count * state.grid.spacing_mm[0] ** 2)


def _open_voxels(
    state: SessionState, box: BoundingBox, axis: int, side: int, whole: BoundingBox
) -> NDArray[np.intp]:
    """Return the unknown voxels of the grid next to positive ones at a face of a box, (N, 3)."""
    step = [0, 0, 0]
    step[axis] = side * (box.size_ijk[axis] - 1)
    last = box.intersection(box.shifted(step))
    step[axis] = side
    beyond = last.shifted(step).intersection(whole)
    if beyond.is_empty:
        return np.zeros((0, 3), np.intp)
    step[axis] = -side
    is_open = (state.logits.read(beyond.shifted(step)) > 0) & np.isnan(state.logits.read(beyond))
    voxels: NDArray[np.intp] = np.argwhere(is_open)[:, ::-1] + np.array(beyond.start_ijk)
    return voxels


def _in_mask(state: SessionState, voxels: NDArray[np.intp], axis: int, side: int) -> int:
    """Return beyond how many voxels of the grid, (N, 3), at a face the mask goes on."""
    # The first voxels of the volume whose centre lies beyond the face: where slices are thick,
    # the next voxel of the grid may lie in one that still belongs to the box.
    scale = AxisMap.between(state.geometry, state.grid).scales[axis]
    centres = voxels.astype(np.float64)
    centres[:, axis] += side * (0.501 / abs(scale) - 0.5)
    at = nearest_voxels(state.grid.ras_from_ijk(centres), state.geometry)
    box = box_of(at)
    i, j, k = (at - np.array(box.start_ijk)).T
    return int(np.count_nonzero(state.mask.read(box)[k, j, i]))
