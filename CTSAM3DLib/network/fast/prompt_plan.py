"""Where a prompt says something: the voxels of a scale for which scale and shift must be convolved.

A prompt-conditioned norm sees the prompt through two 3³ convolutions. Where the 5³ neighbourhood is
zero, or where the mask is one and no click is near, its scale and shift are constants of the
weights. Only what is left, the active voxels, has to be convolved.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Prompt values so close to 0 or 1 count as 0 or 1, which moves the logits by as little.
SNAP = 1e-6
# Below 16³ everything is convolved.
MINIMAL_VOXELS = 4096
# Gathering the neighbours of a voxel costs about 5 % more than the convolution of a voxel in a box.
GATHERED_COST = 1.05


class PromptPlan(NamedTuple):
    """What a prompt asks for at one scale."""

    prompt: Tensor  # (D + 4, H + 4, W + 4, 3): snapped, with a border of two zeros
    whole: bool  # All voxels of the box are convolved, and no others; False: the active ones only
    box: list[int]  # First and last + 1 voxel along D, H, W of a box round the active voxels
    active: Tensor  # (N,) int64, flat indices of the active voxels; ignored with `whole`
    # (M,) int64, flat indices of the voxels round which the mask is 1 and no click is near; ignored
    # with `whole`, whose box holds them
    full: Tensor


def plan_prompt(
    prompt: Tensor,
    box_cost: float = 1.0,
    minimal_voxels: int = MINIMAL_VOXELS,
    gathered_cost: float = GATHERED_COST,
) -> PromptPlan:
    """Find what must be convolved for a prompt (1, 3, D, H, W) on the grid of the features.

    `box_cost` and `gathered_cost` are those of a voxel in a box and alone, against a direct
    convolution. Volumes below `minimal_voxels` are convolved whole.
    """
    prompt = _snapped(prompt)
    size = [prompt.size(2), prompt.size(3), prompt.size(4)]
    padded = torch.constant_pad_nd(prompt[0], [2, 2, 2, 2, 2, 2], 0.0)
    rows = padded.permute(1, 2, 3, 0).contiguous()
    everything = [0, size[0], 0, size[1], 0, size[2]]
    none = torch.zeros(0, dtype=torch.int64)
    voxels = size[0] * size[1] * size[2]
    if voxels < minimal_voxels:
        return PromptPlan(rows, True, everything, none, none)
    clicked = (padded[1] > 0.0) | (padded[2] > 0.0)
    touched = _spread((padded[0] > 0.0) | clicked)
    mixed = touched & _spread((padded[0] < 1.0) | clicked)
    active = torch.nonzero(mixed.view(-1))[:, 0]
    if active.size(0) == 0:
        return PromptPlan(rows, False, everything, none, none)
    box = _even_box(_bounding_box(mixed), size)
    inside = (box[1] - box[0]) * (box[3] - box[2]) * (box[5] - box[4])
    if box_cost * inside < gathered_cost * active.size(0):
        return PromptPlan(rows, True, box, none, none)
    # A full voxel has mixed ones all round, those at the border of the volume being mixed.
    return PromptPlan(rows, False, box, active, torch.nonzero((touched & ~mixed).view(-1))[:, 0])


def _even_box(box: list[int], size: list[int]) -> list[int]:
    """Grow a box to even edges where the volume has a voxel to spare."""
    out: list[int] = []
    for axis in range(3):
        first, last = box[2 * axis], box[2 * axis + 1]
        if (last - first) % 2 == 1 and last < size[axis]:
            last += 1
        elif (last - first) % 2 == 1 and first > 0:
            first -= 1
        out.append(first)
        out.append(last)
    return out


def prompt_box(prompt: Tensor) -> tuple[Tensor, list[int]]:
    """Find the box outside of which a 3³ convolution of a prompt (1, 3, D, H, W) gives its bias.

    Returns the snapped prompt (D + 2, H + 2, W + 2, 3) with a border of zeros, and the box as in
    `PromptPlan`, all zeros for an empty prompt.
    """
    prompt = _snapped(prompt)
    marked = (prompt[0, 0] > 0.0) | (prompt[0, 1] > 0.0) | (prompt[0, 2] > 0.0)
    rows = torch.constant_pad_nd(prompt[0], [1, 1, 1, 1, 1, 1], 0.0)
    rows = rows.permute(1, 2, 3, 0).contiguous()
    if not bool(marked.any()):
        return rows, [0, 0, 0, 0, 0, 0]
    box = _bounding_box(marked)
    for axis in range(3):
        box[2 * axis] = max(box[2 * axis] - 1, 0)
        box[2 * axis + 1] = min(box[2 * axis + 1] + 1, marked.size(axis))
    return rows, box


def _snapped(prompt: Tensor, snap: float = SNAP) -> Tensor:
    """Set values next to 0 and 1 to 0 and 1; float64, meant for comparisons, stays as it is."""
    if prompt.dtype == torch.float64:
        return prompt
    prompt = torch.where(prompt < snap, torch.zeros_like(prompt), prompt)
    return torch.where(prompt > 1.0 - snap, torch.ones_like(prompt), prompt)


def _spread(marked: Tensor) -> Tensor:
    """Tell for each voxel (D, H, W) whether one in its 5³ of (D + 4, H + 4, W + 4) is marked."""
    for axis in range(3):
        count = marked.size(axis) - 4
        two = marked.narrow(axis, 0, count + 3) | marked.narrow(axis, 1, count + 3)
        four = two.narrow(axis, 0, count + 1) | two.narrow(axis, 2, count + 1)
        marked = four.narrow(axis, 0, count) | marked.narrow(axis, 4, count)
    return marked


def _bounding_box(marked: Tensor) -> list[int]:
    """First and last + 1 index along each axis of the (D, H, W) voxels set, of which there are."""
    box: list[int] = []
    plane = marked.any(0)
    for line in [marked.any(2).any(1), plane.any(1), plane.any(0)]:
        where = torch.nonzero(line)
        box.append(int(where[0]))
        box.append(int(where[-1]) + 1)
    return box
