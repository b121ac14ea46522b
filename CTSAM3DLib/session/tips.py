"""Where a structure may go on: its tips, and whether two answers for a tip agree.

At a tip the model is asked twice: once as always, with all prompts and the known mask, and once
with the tip as the only positive point. What both add counts, as far as it is more than a border
that moved. The second answer does not know the mask: that it finds it again shows that the tip
belongs to the same structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.overlap import dice

_DEPTH_SHARE = 0.5  # a tip is so deep in the mask, as a share of its greatest depth there


@dataclass(frozen=True)
class TipRules:
    """When the answers for a tip count.

    The numbers are in Testing/Benchmarks/results/growing.md.
    """

    border_voxels: int = 3  # What is added up to here from the mask may be its border alone
    least_share: float = 0.01  # At least so much is added beyond that, as a share of the mask
    most_share: float = 0.5  # At most so much: more is a structure of its own
    agreement: float = 0.15  # Least Dice of what both answers add beyond the border
    found_again: float = 0.75  # The answer for the tip alone holds so much of the mask around it
    # or this much, where the mean logit of what the answer with all prompts adds is so high
    found_again_if_sure: float = 0.4
    sure_logit: float = 2.5
    # What both add has this mean logit; and the answer for the tip alone holds so much of the mask
    # in the whole patch, or both add nearly the same. Both must hold where answers to prompts knew
    # all but this share of it and left it out; elsewhere one must, unless it is small.
    surer_logit: float = 3.0
    found_in_patch: float = 0.45
    nearly_same: float = 0.7
    unseen: float = 0.05
    small_share: float = 0.12
    nearest_fraction: int = 8  # Tips are at least 1/8 of the patch's edge from points asked before
    refusals: int = 3  # So many tips one after the other that add nothing are the end
    most_tips: int = 31  # At most so many are asked


@dataclass(frozen=True, eq=False)
class Tip:
    """What two answers have added at a tip."""

    voxel_kji: IJK  # Where the model was asked, on its grid
    box: BoundingBox  # The patch that it was shown
    logits: NDArray[np.float16]  # (D, H, W): of the box; NaN where nothing is added


def deep_voxels(mask: NDArray[np.bool_], patch: BoundingBox) -> NDArray[np.intp]:
    """Return the voxels of the grid, k, j, i, that are deep inside the mask of a patch, (N, 3)."""
    if not mask.any():
        return np.zeros((0, 3), np.intp)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    deep = np.argwhere(depth >= max(1.0, _DEPTH_SHARE * float(depth.max())))
    on_grid: NDArray[np.intp] = deep + np.array(patch.start_ijk[::-1])
    return on_grid


def farthest(voxels: NDArray[np.intp], asked: Sequence[Sequence[int]], least: float) -> IJK | None:
    """Return the voxel that is farthest from all points asked before; None if it is too near."""
    if not len(voxels):
        return None
    distances = [np.linalg.norm(voxels - np.array(point), axis=1) for point in asked]
    nearest = np.min(distances, axis=0)
    at = int(nearest.argmax())
    k, j, i = (int(one) for one in voxels[at])
    return (k, j, i) if nearest[at] >= least else None


def beyond_border(
    known: NDArray[np.bool_], answer: NDArray[np.float32], rules: TipRules
) -> NDArray[np.bool_]:
    """Return what an answer adds to a known mask beyond its border, bool (D, H, W)."""
    size = 2 * rules.border_voxels + 1
    near = ndimage.maximum_filter(known.view(np.uint8), size) > 0
    return (answer > 0) & ~near


def both_say(
    known: NDArray[np.floating],
    told: NDArray[np.float32],
    blind: NDArray[np.float32],
    voxels: int,
    rules: TipRules,
) -> NDArray[np.float32] | None:
    """Return logits with what two answers for a tip add; None if they do not agree.

    `known` (D, H, W) has the logits before, NaN where nothing was known; the tip is near the
    middle. `told` is the answer with all prompts and the known logits, `blind` that with the tip
    alone. The whole mask has `voxels`. Voxels that neither answer adds keep what was known, also
    NaN.
    """
    inside = known > 0
    by_told, by_blind = (beyond_border(inside, one, rules) for one in (told, blind))
    core = by_told & by_blind
    share = int(core.sum()) / max(voxels, 1)
    if not rules.least_share <= share <= rules.most_share:
        return None
    agreement, sure = dice(by_told, by_blind), float(told[core].mean())
    wanted = rules.found_again_if_sure if sure >= rules.sure_logit else rules.found_again
    middle = tuple(slice(size // 4, size - size // 4) for size in inside.shape)
    around = middle if inside[middle].any() else (slice(None),) * 3
    if agreement < rules.agreement or _held(inside[around], blind[around]) < wanted:
        return None
    is_found = agreement >= rules.nearly_same or _held(inside, blind) >= rules.found_in_patch
    is_sure = sure >= rules.surer_logit
    is_seen = np.isnan(known[core]).mean() < rules.unseen
    enough = (is_found and is_sure) if is_seen else (is_found or is_sure)
    if not enough and (is_seen or share > rules.small_share):
        return None
    both = np.minimum(told, blind)
    near = ndimage.maximum_filter(core.view(np.uint8), 2 * rules.border_voxels + 3) > 0
    parts, _ = ndimage.label((both > 0) & near | inside)
    touching = np.isin(parts, np.unique(parts[inside]))  # the rest is loose
    return np.where((both > 0) & near & touching & ~inside, both, known).astype(np.float32)


def _held(mask: NDArray[np.bool_], answer: NDArray[np.float32]) -> float:
    """Return which share of a mask an answer holds."""
    return int((mask & (answer > 0)).sum()) / max(int(mask.sum()), 1)
