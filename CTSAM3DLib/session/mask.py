"""From logits on the model grid to the mask on the volume's own voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.resampling import (
    grid_bbox_of_volume_bbox,
    sample_on_volume,
    volume_bbox_of_grid_bbox,
)
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.rules import LOGIT_LIMIT
from CTSAM3DLib.session.state import MASK_BLOCK, SessionState

_PART = 2 * MASK_BLOCK
"""Voxels along the edge of what is resampled at once: 20 MB; 64 take 1.3 times as long."""


def grid_voxel(click: Click, grid: Geometry) -> IJK:
    """Return the voxel of the model grid that holds a click of the volume.

    Parameters
    ----------
    click : Click
        Inside the volume.
    grid : Geometry
        Model grid, which covers the volume.

    Examples
    --------
    >>> grid_voxel(Click((3.2, 0.0, 1.0)), Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (9, 9, 9)))
    (2, 0, 1)
    """
    # Rounding may push a click on the volume's very edge past the grid by 1e-16: hence the clip.
    nearest = np.floor(grid.ijk_from_ras(click.position_ras) + 0.5).astype(int)
    i, j, k = np.clip(nearest, 0, np.array(grid.size_ijk) - 1).tolist()
    return i, j, k


def logits_on_volume(
    logits: BlockArray, grid: Geometry, geometry: Geometry, bbox: BoundingBox
) -> NDArray[np.float32]:
    """Return a field of logits at voxels of the volume, -20 where nothing is known.

    Parameters
    ----------
    logits : BlockArray
        On the model grid, NaN where nothing was computed.
    grid, geometry : Geometry
        The model grid and the volume it covers.
    bbox : BoundingBox
        Voxels of the volume; not empty, inside the volume.

    Returns
    -------
    ndarray, float32, (K, J, I)
        Logits before the sigmoid, of `bbox.shape_kji`.

    Examples
    --------
    >>> geometry = Geometry(np.eye(4), (4, 4, 4))
    >>> state = SessionState.empty(geometry, geometry)
    >>> box = BoundingBox((0, 0, 0), (1, 1, 1))
    >>> float(logits_on_volume(state.logits, geometry, geometry, box)[0, 0, 0])
    -20.0
    """
    crop = grid_bbox_of_volume_bbox(bbox, grid, geometry).padded(1).clipped(grid.shape_kji)
    values = np.nan_to_num(logits.read(crop), nan=-LOGIT_LIMIT)
    return sample_on_volume(values, crop, grid, geometry, bbox, fill=-LOGIT_LIMIT)


def mask_after(
    encoder: PatchEncoder,
    state: SessionState,
    logits: BlockArray,
    patches: Sequence[BoundingBox],
    patch: BoundingBox,
) -> BlockArray:
    """Return the mask on the volume's voxels after the logits in a patch have changed.

    Voxels whose centre lies in no patch that was decoded, and in no box that was looked at with
    larger voxels, stay as they are: nothing is there, or a mask that was given. A look with
    larger voxels adds to a given mask and takes nothing away.

    Parameters
    ----------
    encoder : PatchEncoder
        For volume and model grid.
    state : SessionState
        Before the change, yet with all clicks and coarse boxes.
    logits : BlockArray
        After the change, on the model grid.
    patches : sequence of BoundingBox
        All that were decoded, this one included.
    patch : BoundingBox
        The patch, or other box of the grid, whose logits have changed.

    Returns
    -------
    BlockArray
        bool on the volume's own grid; each click is obeyed by its own voxel.
    """
    box = _box_to_resample(encoder, state, logits, patch)
    decoded_boxes, coarse_boxes = (
        [volume_bbox_of_grid_bbox(one, encoder.grid, encoder.volume.geometry) for one in boxes]
        for boxes in (patches, state.coarse)
    )
    mask = state.mask
    for part in box.parts(_PART):
        positive = _positive(logits, encoder, part)
        if positive is False and state.mask.occupied_box(part).is_empty:
            continue
        decoded = _inside_any(decoded_boxes, part)
        seen = decoded | _inside_any(coarse_boxes, part)
        kept = state.given.mask.read(part) & ~decoded
        mask = mask.written(part, np.where(seen, positive | kept, state.mask.read(part)))
    for click, (i, j, k) in _with_voxels(encoder, state):
        voxel = BoundingBox((i, j, k), (i + 1, j + 1, k + 1))
        at = grid_voxel(click, encoder.grid)
        inside = [one.contains((i, j, k)) for one in (*decoded_boxes, *coarse_boxes)]
        inside += [one.contains(at) for one in (*patches, *state.coarse)]
        if box.contains((i, j, k)) and any(inside):
            mask = mask.written(voxel, np.full((1, 1, 1), click.positive))
    return mask


def _positive(
    logits: BlockArray, encoder: PatchEncoder, part: BoundingBox
) -> NDArray[np.bool_] | bool:
    """Return where the logits are positive, resampled only where they change their sign.

    In a volume of 0.4 mm voxels on a grid of 4 mm that is a small share of all voxels.
    """
    grid, geometry = encoder.grid, encoder.volume.geometry
    crop = grid_bbox_of_volume_bbox(part, grid, geometry).padded(1).clipped(grid.shape_kji)
    values = np.nan_to_num(logits.read(crop), nan=-LOGIT_LIMIT)
    inside = values > 0
    if inside.all() or not inside.any():
        return bool(inside.all())
    fine = sample_on_volume(values, crop, grid, geometry, part, fill=-LOGIT_LIMIT)
    positive: NDArray[np.bool_] = fine > 0
    return positive


def _box_to_resample(
    encoder: PatchEncoder, state: SessionState, logits: BlockArray, patch: BoundingBox
) -> BoundingBox:
    """Return the voxels of the volume whose mask a change of the logits in a patch may change.

    A voxel is positive only where a grid voxel next to it is; so only the surroundings of grid
    voxels that are or were positive count, most often a small part of the patch. So do voxels
    of a given mask, which may be smaller than a grid voxel, and the clicks.
    """
    geometry = encoder.volume.geometry
    region = patch.padded(1)
    positive = (state.logits.read(region) > 0) | (logits.read(region) > 0)
    changed = BoundingBox.from_mask(positive).shifted(region.start_ijk)
    box = volume_bbox_of_grid_bbox(changed.padded(1), encoder.grid, geometry)
    whole = volume_bbox_of_grid_bbox(patch, encoder.grid, geometry)
    box = box.union(state.mask.occupied_box(whole))
    for click, (i, j, k) in _with_voxels(encoder, state):
        if patch.contains(grid_voxel(click, encoder.grid)):
            box = box.union(BoundingBox((i, j, k), (i + 1, j + 1, k + 1)))
    return box


def _inside_any(boxes: Sequence[BoundingBox], part: BoundingBox) -> NDArray[np.bool_]:
    """Return which voxels of a part of the volume lie in one of the boxes."""
    inside = np.zeros(part.shape_kji, bool)
    for box in boxes:
        common = box.intersection(part)
        if not common.is_empty:
            inside[common.relative_to(part).slices_kji] = True
    return inside


def _with_voxels(encoder: PatchEncoder, state: SessionState) -> Iterator[tuple[Click, IJK]]:
    """Yield the clicks and the voxels of the volume that hold them, oldest first."""
    for click in state.clicks:
        yield click, encoder.volume.geometry.voxel_from_ras(click.position_ras)
