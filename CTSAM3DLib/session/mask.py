"""Between logits on the model grid and a mask on the volume's own voxels, both ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.resampling import (
    extract_patch,
    grid_bbox_of_volume_bbox,
    sample_on_volume,
)
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.session.rules import LOGIT_LIMIT

MASK_LOGIT = 4.0
"""Logit deep inside a given mask (its negative outside): a probability of 0.98."""

REACH_VOXELS = 2
"""Up to this far from a given mask the grid is known to be background; further out, unknown."""


def logits_on_volume(
    logits: BlockArray, grid: Geometry, geometry: Geometry, bbox: BoundingBox
) -> NDArray[np.float32]:
    """Return a field of logits at voxels of the volume, float32 (K, J, I), shape of `bbox`.

    `logits` are on the model grid, NaN where nothing was computed. The box must not be empty and
    lie inside the volume.

    Examples
    --------
    >>> geometry = Geometry(np.eye(4), (4, 4, 4))
    >>> unknown = BlockArray((4, 4, 4), np.float16, np.nan)
    >>> box = BoundingBox((0, 0, 0), (1, 1, 1))
    >>> float(logits_on_volume(unknown, geometry, geometry, box)[0, 0, 0])
    -20.0
    """
    values, crop = _known(logits, grid, geometry, bbox)
    return sample_on_volume(values, crop, grid, geometry, bbox, fill=-LOGIT_LIMIT)


def positive_on_volume(
    logits: BlockArray, grid: Geometry, geometry: Geometry, bbox: BoundingBox
) -> NDArray[np.bool_] | bool:
    """Return where a field of logits is above 0 at voxels of the volume; see `logits_on_volume`.

    One value for all where all have the same: there nothing has to be resampled. In a volume of 0.4
    mm voxels on a grid of 4 mm that is nearly everywhere.
    """
    values, crop = _known(logits, grid, geometry, bbox)
    inside = values > 0
    if inside.all() or not inside.any():
        return bool(inside.all())
    fine = sample_on_volume(values, crop, grid, geometry, bbox, fill=-LOGIT_LIMIT)
    return fine > 0


def logits_of_mask(
    mask: BlockArray,
    mask_bbox: BoundingBox,
    volume_geometry: Geometry,
    grid: Geometry,
    unknown: BlockArray,
    chunk_voxels: int = 128,
) -> BlockArray:
    """Return logits on the model grid whose zero level is the surface of a mask of the volume.

    Each grid voxel gets the share of mask in its surroundings, 0 to 1, as a logit from
    -`MASK_LOGIT` to `MASK_LOGIT`; so the border is as soft as resampling makes it. Details smaller
    than a grid voxel are lost. Only the surroundings of the mask are looked at, which lies in
    `mask_bbox`. The result is `unknown`, which is NaN everywhere, with logits in and up to
    `REACH_VOXELS` around the mask. At once `chunk_voxels`^3 grid voxels are computed: few blocks to
    join, and at most some 100 MB in a fine volume.

    Examples
    --------
    >>> geometry = Geometry(np.eye(4), (1, 1, 9))
    >>> box = BoundingBox((0, 0, 0), (3, 1, 1))
    >>> mask = BlockArray(geometry.shape_kji, bool).written(box, np.ones((1, 1, 3), bool))
    >>> unknown = BlockArray(geometry.shape_kji, np.float16, np.nan)
    >>> logits_of_mask(mask, box, geometry, geometry, unknown).dense().tolist()
    [[[4.0, 4.0, 4.0, -4.0, -4.0, nan, nan, nan, nan]]]
    """
    # One voxel more on each side: up to its centre the share of the mask falls.
    reached = grid_bbox_of_volume_bbox(mask_bbox.padded(1), grid, volume_geometry)
    logits = unknown
    for chunk in reached.padded(REACH_VOXELS).clipped(grid.shape_kji).parts(chunk_voxels):
        padded = chunk.padded(REACH_VOXELS)
        share = _share_inside(mask, volume_geometry, grid, padded)
        # Not above 0: rounding would decide.
        near = ndimage.maximum_filter((share > 1e-3).view(np.uint8), 2 * REACH_VOXELS + 1) > 0
        values = np.where(near, MASK_LOGIT * (2.0 * share - 1.0), np.nan)
        logits = logits.written(chunk, values[chunk.relative_to(padded).slices_kji])
    return logits


def _known(
    logits: BlockArray, grid: Geometry, geometry: Geometry, bbox: BoundingBox
) -> tuple[NDArray[np.floating], BoundingBox]:
    """Return the logits that a box of the volume depends on, and their box of the grid."""
    crop = grid_bbox_of_volume_bbox(bbox, grid, geometry).padded(1).clipped(grid.shape_kji)
    return np.nan_to_num(logits.read(crop), nan=-LOGIT_LIMIT), crop


def _share_inside(
    mask: BlockArray, volume_geometry: Geometry, grid: Geometry, bbox_on_grid: BoundingBox
) -> NDArray[np.float32]:
    """Return how much of a mask lies at each voxel of a box of the grid, 0 to 1."""
    # The voxels that hold the grid's, and their neighbours, towards whose centres values change.
    box = grid_bbox_of_volume_bbox(bbox_on_grid, volume_geometry, grid).padded(1)
    box = box.clipped(volume_geometry.shape_kji)
    if box.is_empty:
        return np.zeros(bbox_on_grid.shape_kji, np.float32)
    voxels = Volume(mask.read(box).view(np.uint8), volume_geometry.cropped(box))
    return extract_patch(voxels, grid, bbox_on_grid, fill_hu=0.0)
