"""How sure a model is of a mask: which to correct first."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.models.calibration import Calibration
from CTSAM3DLib.session.state import SessionState

NEAR_MM = 10.0
"""Voxels of the model grid up to this far from the mask count."""


def uncertainty_of(state: SessionState, calibration: Calibration) -> float | None:
    """Return the error that the probabilities of a mask let expect, as 1 - Dice, 0 (sure) to 1.

    With the probabilities p of the voxels near the mask, the expected overlap of the mask with the
    structure is the sum of p inside the mask; the expected size of the structure is the sum of all
    p. The calibration scales this, by the size of the mask, to the errors that were measured. None
    when the model was not asked.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import Geometry
    >>> geometry = Geometry(np.eye(4), (4, 4, 4))
    >>> state, box = SessionState.empty(geometry, geometry), BoundingBox((0, 0, 0), (4, 4, 4))
    >>> logits = np.full((4, 4, 4), -9.0)
    >>> logits[:2] = 9.0
    >>> round(uncertainty_of(state.with_logits(box, logits), Calibration()), 3)
    0.0
    >>> round(uncertainty_of(state.with_logits(box, logits / 9), Calibration()), 3)
    0.269
    """
    box = BoundingBox.empty()
    for patch in (*state.patches, *state.coarse):
        box = box.union(patch)
    box = box.clipped(state.grid.shape_kji)
    if box.is_empty:
        return None
    tight = BoundingBox.from_mask(state.logits.read(box) > 0).shifted(box.start_ijk)
    if tight.is_empty:
        return 1.0
    reach = math.ceil(NEAR_MM / min(state.grid.spacing_mm))
    logits = state.logits.read(tight.padded(reach).intersection(box))
    positive = logits > 0
    far_mm = ndimage.distance_transform_edt(~positive, state.grid.spacing_mm[::-1])
    near = (far_mm <= NEAR_MM) & ~np.isnan(logits)
    probabilities = calibration.probabilities(logits[near]).astype(np.float64)
    overlap = float(probabilities[positive[near]].sum())
    voxels = np.count_nonzero(positive)
    expected = 1.0 - 2.0 * overlap / (voxels + float(probabilities.sum()))
    return float(calibration.error_of(expected, voxels))
