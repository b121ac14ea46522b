"""Joining the answers of patches to one field of logits that obeys every click.

All arrays are KJI on the model grid; logits are before the sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import IJK, BoundingBox

LOGIT_LIMIT = 20.0
"""Logits are kept in [-20, 20]: float16 holds them, and no voxel gets beyond correction."""

CLICK_LOGIT = 1.0
"""A click's own voxel has at least this logit (or its negative): a probability of 0.73."""

CLICK_SIGMA_VOXELS = 1.5
"""Width of the correction around a click that the model did not obey."""

CHANGE_GAP_VOXELS = 2
"""Parts of a correction at most so far apart hang together (voxels between, along the axes)."""


def taper_weights(patch: BoundingBox, grid_shape_kji: IJK, ramp: int) -> NDArray[np.float32]:
    """Return how much a new patch counts against what was there before.

    Parameters
    ----------
    patch : BoundingBox
        The patch on the grid.
    grid_shape_kji : tuple of int
        Shape of the grid. A patch face at or beyond its border has no ramp.
    ramp : int
        Number of voxels over which the weight falls to 0 at the other faces.

    Returns
    -------
    ndarray, float32, (D, H, W)
        1 in the interior, falling linearly towards the faces inside the grid.

    Examples
    --------
    >>> box = BoundingBox((0, 0, 0), (8, 1, 1))
    >>> taper_weights(box, (1, 1, 20), 2)[0, 0].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.25]
    """
    profiles = []
    for axis in (2, 1, 0):
        low, high = patch.start_ijk[axis], patch.stop_ijk[axis]
        depth = np.arange(high - low) + 0.5
        profile = np.ones(high - low)
        if low > 0:
            profile = np.minimum(profile, depth / ramp)
        if high < grid_shape_kji[2 - axis]:
            profile = np.minimum(profile, depth[::-1] / ramp)
        profiles.append(profile.astype(np.float32))
    z, y, x = profiles
    weights: NDArray[np.float32] = z[:, None, None] * y[None, :, None] * x[None, None, :]
    return weights


def one_sided(
    old: NDArray[np.floating], new: NDArray[np.float32], positive: bool
) -> NDArray[np.float32]:
    """Return new logits of which a positive click only adds, a negative one only takes away.

    A model that answers a click changes its mind elsewhere too. Half of that undoes what the user
    was content with: on the validation split, Dice after 10 clicks is 0.825 with this rule and
    0.804 without (head and neck, 42 structures), and no structure ends 0.05 below its best.

    Parameters
    ----------
    old : ndarray, float, (D, H, W)
        Logits before the click; NaN where nothing was known, and anything may be said.
    new : ndarray, float32, (D, H, W)
        The model's answer.
    positive : bool
        The click.

    Examples
    --------
    >>> old, new = np.array([[[np.nan, -2.0, 2.0]]]), np.array([[[-4.0, 4.0, -4.0]]], np.float32)
    >>> one_sided(old, new, True).tolist(), one_sided(old, new, False).tolist()
    ([[[-4.0, 4.0, 2.0]]], [[[-4.0, -2.0, -4.0]]])
    """
    bound = np.fmax if positive else np.fmin
    result: NDArray[np.float32] = bound(old.astype(np.float32), new)
    return result


def near_the_click(
    old: NDArray[np.floating], new: NDArray[np.float32], voxel: IJK
) -> NDArray[np.float32]:
    """Return new logits that change the mask only in what hangs together with the click.

    A click is meant for one place, the first one too. On the validation split (abdomen slab, 24
    structures) Dice after 1 / 5 clicks is 0.667 / 0.843 with this rule and 0.659 / 0.830 where a
    first answer counts whole and later ones hang together across gaps of 4 voxels; head and neck
    (25 structures) gains 0.001 after 5 clicks. Without the rule for later clicks more structures
    end below their best.

    Parameters
    ----------
    old : ndarray, float, (D, H, W)
        Logits before the click; NaN where nothing was known, as everywhere at a first click.
    new : ndarray, float32, (D, H, W)
        The answer to the click.
    voxel : tuple of int
        The click, (i, j, k). If it was inside already, additions count that hang together with the
        mask there. If the model does not obey it, the whole answer counts.

    Returns
    -------
    ndarray, float32, (D, H, W)
        As `new`, with the voxels that change sides elsewhere as they were (unknown ones far
        outside). Parts of a correction hang together across gaps of `CHANGE_GAP_VOXELS`, those of
        an answer where nothing was known at the click only where they touch.

    Examples
    --------
    >>> old = np.full((1, 1, 12), -3.0)
    >>> new = np.array([[[2, 2, -1, -1, 2, -1, -1, -1, -1, -1, 2, 2]]], np.float32)
    >>> near_the_click(old, new, (0, 0, 0))[0, 0].astype(int).tolist()
    [2, 2, -1, -1, 2, -1, -1, -1, -1, -1, -3, -3]
    >>> near_the_click(np.full_like(old, np.nan), new, (0, 0, 0))[0, 0].astype(int).tolist()
    [2, 2, -1, -1, -20, -1, -1, -1, -1, -1, -20, -20]
    """
    before = np.nan_to_num(old.astype(np.float32), nan=-LOGIT_LIMIT)
    changed = (before > 0) != (new > 0)
    i, j, k = voxel
    whole = changed if changed[k, j, i] else new > 0
    if not whole[k, j, i] or (changed & ~whole).any():
        return new
    reach = 0 if np.isnan(old[k, j, i]) else CHANGE_GAP_VOXELS // 2
    box = BoundingBox.from_mask(whole).padded(reach)
    inside = box.clipped((changed.shape[0], changed.shape[1], changed.shape[2]))
    part = whole[inside.slices_kji]
    near = ndimage.binary_dilation(part, iterations=reach) if reach > 0 else part
    parts, count = ndimage.label(near)
    if count == 1:
        return new
    own = parts[k - inside.start_ijk[2], j - inside.start_ijk[1], i - inside.start_ijk[0]]
    result = new.copy()
    result[inside.slices_kji] = np.where(
        changed[inside.slices_kji] & (parts != own),
        before[inside.slices_kji],
        new[inside.slices_kji],
    )
    return result


def blended(
    old: NDArray[np.floating], new: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean of old and new logits; the new ones where there are no old ones.

    Parameters
    ----------
    old : ndarray, float, (D, H, W)
        Earlier logits; NaN where nothing was computed.
    new : ndarray, float32, (D, H, W)
        Logits of the new patch; cut to the range of `LOGIT_LIMIT`.
    weights : ndarray, float32, (D, H, W)
        Share of the new ones.

    Examples
    --------
    >>> old, new = np.array([[[np.nan, 2.0, 2.0]]]), np.array([[[-4.0, -4.0, -99.0]]])
    >>> blended(old, new, np.array([[[0.5, 0.5, 1.0]]])).tolist()
    [[[-4.0, -1.0, -20.0]]]
    """
    limited = np.clip(new, -LOGIT_LIMIT, LOGIT_LIMIT).astype(np.float32)
    before = np.where(np.isnan(old), limited, old).astype(np.float32)
    result: NDArray[np.float32] = before + weights.astype(np.float32) * (limited - before)
    return result


def obeying(logits: NDArray[np.float32], clicks: Iterable[tuple[IJK, bool]]) -> NDArray[np.float32]:
    """Return logits whose voxels at the clicks have the sign that the user asked for.

    A click that is obeyed with a logit of at least `CLICK_LOGIT` changes nothing. Otherwise a
    Gaussian bump of just the missing height is added, so that the surface moves round the click
    and nowhere else.

    Parameters
    ----------
    logits : ndarray, float32, (D, H, W)
        Not changed.
    clicks : iterable of (voxel, positive)
        Voxels (i, j, k) of the array, oldest click first. Where two clicks contradict each other
        the newer one wins.

    Examples
    --------
    >>> row = np.full((1, 1, 9), -3.0, np.float32)
    >>> [round(float(value), 1) for value in obeying(row, [((4, 0, 0), True)])[0, 0, 2:7]]
    [-1.4, 0.2, 1.0, 0.2, -1.4]
    """
    result = logits.copy()
    reach = math.ceil(4 * CLICK_SIGMA_VOXELS)
    whole = BoundingBox.from_shape((logits.shape[0], logits.shape[1], logits.shape[2]))
    for voxel, positive in clicks:
        i, j, k = voxel
        sign = 1.0 if positive else -1.0
        missing = CLICK_LOGIT - sign * float(result[k, j, i])
        if missing <= 0:
            continue
        box = BoundingBox((i, j, k), (i + 1, j + 1, k + 1)).padded(reach).intersection(whole)
        z, y, x = np.ogrid[box.slices_kji]
        squared = (z - k) ** 2 + (y - j) ** 2 + (x - i) ** 2
        bump = np.exp(squared / (-2.0 * CLICK_SIGMA_VOXELS**2))
        result[box.slices_kji] += (sign * missing * bump).astype(np.float32)
    return np.clip(result, -LOGIT_LIMIT, LOGIT_LIMIT)
