"""Negative prompts deep in the mask: what they lie in is a structure of its own, and goes.

A model that is told of a leak takes a ball from it. Asked the opposite question, with the signs of
all prompts turned round, it shows what the leak belongs to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SHALLOW, _DEEP = 0.3, 0.55
"""A prompt as deep as that, relative to the deepest voxel of the mask, tells of a wrong border, or
of a wrong part. What it gains by depth is in Testing/Benchmarks/results/opposite.md."""

_MOST_NEARNESS = 2.0


def share_of_part(mask: NDArray[np.bool_], own_kji: NDArray[np.intp]) -> float:
    """Return how far a negative prompt is about a part of a mask, not about its border: 0 to 1.

    `mask` (D, H, W) is the mask before the prompt, whose voxels are `own_kji` (N, 3). 0 for a mask
    without a border in sight.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 11), bool)
    >>> mask[:, :, 1:10] = True
    >>> [share_of_part(mask, np.array([[2, 2, i]])) for i in (0, 1, 5)]
    [0.0, 0.0, 1.0]
    """
    if not mask[tuple(own_kji.T)].any() or mask.all():
        return 0.0
    depth = ndimage.distance_transform_edt(mask)
    relative = depth[tuple(own_kji.T)].max() / depth.max()
    return float(np.clip((relative - _SHALLOW) / (_DEEP - _SHALLOW), 0.0, 1.0))


def less_the_opposite(
    logits: NDArray[np.float32],
    opposite: NDArray[np.float32],
    points_kji: NDArray[np.intp],
    labels: NDArray[np.bool_],
    weight: float,
) -> NDArray[np.float32]:
    """Return an answer less what the answer to the opposite question claims.

    A claim is a positive logit. It counts `weight` times half way between the positive and the
    negative prompts, up to twice that near these, and not at all near those. All are (D, H, W);
    `points_kji` (N, 3) are the voxels of all prompts, `labels` (N,) tell whether they are positive;
    there are some of both kinds.

    Examples
    --------
    >>> answer = np.array([[[3, 3, 3, 3, 3]]], np.float32)
    >>> claimed = np.array([[[-3, 2, 2, 2, 2]]], np.float32)
    >>> points, labels = np.array([[0, 0, 0], [0, 0, 4]]), np.array([True, False])
    >>> less_the_opposite(answer, claimed, points, labels, 1.0)[0, 0].tolist()
    [3.0, 2.0, 1.0, 0.0, -1.0]
    """
    positive, negative = (_distance(logits.shape, points_kji[labels == one]) for one in (1, 0))
    near = np.minimum(2.0 * positive / np.maximum(positive + negative, 1e-3), _MOST_NEARNESS)
    result: NDArray[np.float32] = logits - (weight * near * np.maximum(opposite, 0)).astype("f4")
    return result


def _distance(shape: tuple[int, ...], points_kji: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far each voxel is from the nearest of some points."""
    elsewhere = np.ones(shape, bool)
    elsewhere[tuple(points_kji.T)] = False
    return ndimage.distance_transform_edt(elsewhere)
