"""A mask that was not made here (painted, imported) as logits that a model can go on from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.resampling import extract_patch, grid_bbox_of_volume_bbox
from CTSAM3DLib.geometry.volume import Volume

MASK_LOGIT = 4.0
"""Logit deep inside a given mask (its negative outside): a probability of 0.98."""

REACH_VOXELS = 2
"""Up to this far from a given mask the grid is known to be background; further out, unknown."""

# 128^3 grid voxels at once: few blocks to join, and at most some 100 MB in a fine volume.
CHUNK = 128


def logits_of_mask(
    mask: BlockArray,
    mask_bbox: BoundingBox,
    volume_geometry: Geometry,
    grid: Geometry,
    unknown: BlockArray,
) -> BlockArray:
    """Return logits on the model grid whose zero level is the surface of a mask.

    Each grid voxel gets the share of mask in its surroundings, 0 to 1, as a logit from
    -`MASK_LOGIT` to `MASK_LOGIT`; so the border is as soft as resampling makes it. Details
    smaller than a grid voxel are lost. Only the surroundings of the mask are looked at.

    Parameters
    ----------
    mask : BlockArray
        bool on the volume's own grid.
    mask_bbox : BoundingBox
        Box of the volume that holds all of the mask.
    volume_geometry, grid : Geometry
        The volume and its model grid.
    unknown : BlockArray
        NaN everywhere, on the model grid.

    Returns
    -------
    BlockArray
        `unknown` with logits in and up to `REACH_VOXELS` around the mask.

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
    for chunk in reached.padded(REACH_VOXELS).clipped(grid.shape_kji).parts(CHUNK):
        padded = chunk.padded(REACH_VOXELS)
        share = _share_inside(mask, volume_geometry, grid, padded)
        # Not above 0: rounding would decide.
        near = ndimage.maximum_filter((share > 1e-3).view(np.uint8), 2 * REACH_VOXELS + 1) > 0
        values = np.where(near, MASK_LOGIT * (2.0 * share - 1.0), np.nan)
        logits = logits.written(chunk, values[chunk.relative_to(padded).slices_kji])
    return logits


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
