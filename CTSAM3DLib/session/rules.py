"""What one more prompt may change of a field of logits.

All arrays are KJI on the model grid; logits are before the sigmoid.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import BoundingBox

LOGIT_LIMIT = 20.0
"""Logits are kept in [-20, 20]: float16 holds them, and no voxel gets beyond correction."""

PROMPT_LOGIT = 1.0
"""The voxels of a prompt have at least this logit (or its negative): a probability of 0.73."""

_SIGMA_VOXELS = 1.5  # width of the correction around a prompt that the model did not obey
_GAP_VOXELS = 2  # parts of a correction at most so far apart along the axes are connected


def allowed_change(
    before: NDArray[np.floating],
    answer: NDArray[np.float32],
    points_kji: NDArray[np.intp],
    labels: NDArray[np.bool_],
    positive: bool,
    own_kji: NDArray[np.intp] | None = None,
) -> NDArray[np.float32]:
    """Return as much of a model's answer as the newest prompt may change.

    A positive prompt only adds and a negative one only takes away; the voxels of all prompts get
    the sign of their prompt; and the mask changes only in what is connected to the newest prompt.
    Without the first rule a model undoes what the user was content with; what the rules gain is
    measured in Testing/Benchmarks/results.

    `before` (D, H, W) has the logits before the newest prompt, NaN where nothing was known and
    anything may be said; `answer`, which stays as it is, the model's answer to it. In the result,
    voxels that would change sides elsewhere are as before, unknown ones far outside. `points_kji`
    (N, 3) are the voxels of all prompts, oldest first, with their signs; where two contradict each
    other the newer one wins. `positive` is the newest prompt, wherever it is, and `own_kji` (M, 3)
    its voxels, if the change must be connected to one of them. Parts are connected across gaps of
    two voxels; where nothing was known at the prompt, only if they touch. If the prompt was inside
    already, additions count that are connected to the mask there.

    Examples
    --------
    >>> old = np.full((1, 1, 12), -3.0)
    >>> new = np.array([[[2, 2, -1, -1, 2, -1, -1, -1, -1, -5, 2, 2]]], np.float32)
    >>> click, yes = np.array([[0, 0, 0]]), np.array([True])
    >>> allowed_change(old, new, click, yes, True, click)[0, 0].astype(int).tolist()
    [2, 2, -1, -1, 2, -1, -1, -1, -1, -3, -3, -3]
    >>> unknown = np.full_like(old, np.nan)
    >>> allowed_change(unknown, new, click, yes, True, click)[0, 0].astype(int).tolist()
    [2, 2, -1, -1, -20, -1, -1, -1, -1, -5, -20, -20]
    """
    limited = _one_directional(before, answer, positive)
    obeyed = _with_prompts_obeyed(limited, points_kji, labels)
    # Once more: where an older prompt had to be restored, its surroundings were moved too.
    result = _one_directional(before, obeyed, positive)
    return result if own_kji is None else _connected_to_prompt(before, result, own_kji)


def _one_directional(
    old: NDArray[np.floating], new: NDArray[np.float32], positive: bool
) -> NDArray[np.float32]:
    """Return new logits, nowhere lower than the old ones, or nowhere higher."""
    bound = np.fmax if positive else np.fmin
    return bound(old.astype(np.float32), new)


def _connected_to_prompt(
    old: NDArray[np.floating], new: NDArray[np.float32], own_kji: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return new logits that change the mask only in what is connected to an obeyed prompt."""
    own = tuple(own_kji.T)
    before = np.nan_to_num(old.astype(np.float32), nan=-LOGIT_LIMIT)
    changed = (before > 0) != (new > 0)
    whole = changed if changed[own].any() else new > 0
    if not whole[own].any() or (changed & ~whole).any():
        return new
    reach = 0 if np.isnan(old[own]).all() else _GAP_VOXELS // 2
    box = BoundingBox.from_mask(whole).padded(reach)
    inside = box.clipped((changed.shape[0], changed.shape[1], changed.shape[2]))
    part = whole[inside.slices_kji]
    near = ndimage.binary_dilation(part, iterations=reach) if reach > 0 else part
    parts, count = ndimage.label(near)
    if count == 1:
        return new
    seeds = own_kji[whole[own]] - np.array(inside.start_ijk[::-1])
    wanted = np.zeros(count + 1, bool)
    wanted[parts[tuple(seeds.T)]] = True
    result = new.copy()
    result[inside.slices_kji] = np.where(
        changed[inside.slices_kji] & ~wanted[parts],
        before[inside.slices_kji],
        new[inside.slices_kji],
    )
    return result


def _with_prompts_obeyed(
    logits: NDArray[np.float32], points_kji: NDArray[np.intp], labels: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return logits with the wanted sign at the points, by a Gaussian round each without it."""
    result = logits.copy()
    reach = math.ceil(4 * _SIGMA_VOXELS)
    whole = BoundingBox.from_shape((logits.shape[0], logits.shape[1], logits.shape[2]))
    for (k, j, i), positive in zip(points_kji.tolist(), labels.tolist(), strict=True):
        sign = 1.0 if positive else -1.0
        missing = PROMPT_LOGIT - sign * float(result[k, j, i])
        if missing <= 0:
            continue
        box = BoundingBox((i, j, k), (i + 1, j + 1, k + 1)).padded(reach).intersection(whole)
        z, y, x = np.ogrid[box.slices_kji]
        squared = (z - k) ** 2 + (y - j) ** 2 + (x - i) ** 2
        bump = np.exp(squared / (-2.0 * _SIGMA_VOXELS**2))
        result[box.slices_kji] += (sign * missing * bump).astype(np.float32)
    return np.clip(result, -LOGIT_LIMIT, LOGIT_LIMIT)
