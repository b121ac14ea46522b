"""Prompt-conditioned instance norm in rows, convolving only where the prompt says something.

Both networks use it: the official one with 128 hidden channels and separate convolutions for scale
and shift, the lite one with halves of shared convolutions. Nothing is kept between calls; what
depends on the weights alone (the constants for an empty and for a full prompt) is so cheap that it
is computed each time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from CTSAM3DLib.network.fast.prompt_plan import PromptPlan
from CTSAM3DLib.network.fast.rows import convolve_rows, multiply_rows, normalise_rows
from CTSAM3DLib.network.fast.winograd import (
    FEWEST_CHANNELS,
    FEWEST_VOXELS,
    convolve_winograd,
    winograd_kernels,
)

# What a voxel of a box costs with Winograd's algorithm, against a direct convolution (measured).
WINOGRAD_COST = 0.65
# Voxels whose scale and shift are in memory at a time, convolved in slices and voxel by voxel.
SLICE_VOXELS = 8192
GATHERED_VOXELS = 1024


class NormWeights(NamedTuple):
    """Weights of one prompt-conditioned norm."""

    # (h, 3, 3, 3, 3) and (h,): prompt to hidden channels, before a ReLU
    hidden: Tensor
    hidden_bias: Tensor
    # (C, h, 3, 3, 3) and (C,): scale, the 1 of ``1 + gamma`` being part of the bias
    gamma: Tensor
    gamma_bias: Tensor
    # (C, h, 3, 3, 3) and (C,): shift
    beta: Tensor
    beta_bias: Tensor


def modulate_rows(
    rows: Tensor, plan: PromptPlan, weights: NormWeights, slope: float, in_place: bool = False
) -> Tensor:
    """Instance norm, scale and shift under a prompt, leaky ReLU of a slope.

    From rows (D, H, W, C) to the same shape; `plan` is that of the prompt on the same grid.
    `in_place` overwrites the rows.
    """
    voxels = rows.size(0) * rows.size(1) * rows.size(2)
    if plan.whole and _box_voxels(plan.box) == voxels:
        normal = normalise_rows(rows, None, None, in_place)[0]
        _write_box(normal, normal, plan, weights, None, slope)
        return normal
    gamma, beta = _constants(weights, weights.hidden_bias)
    before = _features(rows, plan, in_place)
    normal, mean, reciprocal = normalise_rows(rows, gamma[1, 1, 1], beta[1, 1, 1], in_place)
    _write_faces(normal, before.faces, gamma, beta, mean, reciprocal)
    if plan.whole:
        normal = functional.leaky_relu(normal, slope, inplace=True)
        _write_box(normal, before.box, plan, weights, [mean, reciprocal], slope)
        return normal
    flat_out = normal.view(-1, rows.size(3))
    if plan.full.size(0) > 0:
        filled = weights.hidden_bias + weights.hidden[:, 0].sum([1, 2, 3])
        gamma, beta = _constants(weights, filled)
        part = _scaled(before.full, gamma[1, 1, 1], beta[1, 1, 1], mean, reciprocal)
        flat_out.index_copy_(0, plan.full, part)
    if plan.active.size(0) > 0:
        _write_active(flat_out, before.active, plan, weights, mean, reciprocal)
    return functional.leaky_relu(normal, slope, inplace=True)


class _Features(NamedTuple):
    """Features that other constants or a convolution scale and shift, not yet normalised."""

    faces: list[Tensor]  # The two faces across each axis
    box: Tensor  # The box of a plan that is `whole`, else nothing
    # Rows of the full and of the active voxels of another plan
    full: Tensor
    active: Tensor


def _features(rows: Tensor, plan: PromptPlan, copied: bool) -> _Features:
    """Take them from all rows, as views or as copies."""
    faces: list[Tensor] = []
    for axis in range(3):
        for at in [0, rows.size(axis) - 1]:
            face = rows.select(axis, at)
            faces.append(face.clone() if copied else face)
    flat = rows.view(-1, rows.size(3))
    if not plan.whole:
        full, active = flat.index_select(0, plan.full), flat.index_select(0, plan.active)
        return _Features(faces, flat[:0], full, active)
    box = _cut(rows, plan.box)
    return _Features(faces, box.clone() if copied else box, flat[:0], flat[:0])


def box_cost(
    weights: NormWeights,
    fewest_channels: int = FEWEST_CHANNELS,
    winograd_cost: float = WINOGRAD_COST,
) -> float:
    """Return the cost of convolving scale and shift in a box, against voxel by voxel.

    `winograd_cost` holds from `fewest_channels` hidden channels on, 1 below.
    """
    if weights.hidden.dtype != torch.float32 or weights.hidden.size(0) < fewest_channels:
        return 1.0
    return winograd_cost


def _box_voxels(box: list[int]) -> int:
    return (box[1] - box[0]) * (box[3] - box[2]) * (box[5] - box[4])


def _cut(rows: Tensor, box: list[int]) -> Tensor:
    return rows[box[0] : box[1], box[2] : box[3], box[4] : box[5]]


def _scaled(rows: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, reciprocal: Tensor) -> Tensor:
    """Normalise, scale and shift."""
    return torch.addcmul(beta, (rows - mean).mul_(reciprocal), gamma)


def _constants(weights: NormWeights, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift (3, 3, 3, C) for constant hidden channels: low border, interior, high border.

    Beyond the border the hidden channels are 0, so a voxel there loses a third of the taps.
    """
    hidden = torch.relu(hidden)
    gamma = _border_sums(torch.matmul(hidden, weights.gamma.flatten(2))) + weights.gamma_bias
    beta = _border_sums(torch.matmul(hidden, weights.beta.flatten(2))) + weights.beta_bias
    return gamma, beta


def _border_sums(taps: Tensor) -> Tensor:
    """Add those of the 27 taps (C, 27) that lie inside: (3, 3, 3, C), low border to high."""
    sums = taps.view(taps.size(0), 3, 3, 3)
    for axis in range(1, 4):
        low, middle, high = sums.unbind(axis)
        right = middle + high
        sums = torch.stack([right, low + right, low + middle], axis)
    return sums.permute(1, 2, 3, 0)


def _write_faces(
    out: Tensor, faces: list[Tensor], gamma: Tensor, beta: Tensor, mean: Tensor, reciprocal: Tensor
) -> None:
    """Write the six faces, where an empty prompt has other constants than inside."""
    for axis in range(3):
        first, second = (1, 2) if axis == 0 else ((0, 2) if axis == 1 else (0, 1))
        across, along = _classes(out.size(first)), _classes(out.size(second))
        for side in range(2):
            at = 0 if side == 0 else out.size(axis) - 1
            scale = gamma.select(axis, 2 * side).index_select(0, across).index_select(1, along)
            shift = beta.select(axis, 2 * side).index_select(0, across).index_select(1, along)
            face = _scaled(faces[2 * axis + side], scale, shift, mean, reciprocal)
            out.select(axis, at).copy_(face)


def _classes(length: int) -> Tensor:
    """Index 0, 1, ... 1, 2 into the constants along an axis."""
    classes = torch.ones(length, dtype=torch.int64)
    classes[0] = 0
    classes[length - 1] = 2
    return classes


def _hidden_box(plan: PromptPlan, box: list[int], weights: NormWeights) -> Tensor:
    """Hidden channels of a box and one voxel around it; 0 outside the volume."""
    d0, d1, h0, h1, w0, w1 = box[0], box[1], box[2], box[3], box[4], box[5]
    prompt = plan.prompt[d0 : d1 + 4, h0 : h1 + 4, w0 : w1 + 4]
    hidden = _convolve_few(prompt, weights.hidden, weights.hidden_bias).relu_()
    for axis in range(3):
        if box[2 * axis] == 0:
            hidden.select(axis, 0).zero_()
        if box[2 * axis + 1] == plan.prompt.size(axis) - 4:
            hidden.select(axis, hidden.size(axis) - 1).zero_()
    return hidden


def _convolve_few(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3³ convolution of a few channels with their border, as a product of gathered neighbours."""
    d, h, w, channels = rows.size(0) - 2, rows.size(1) - 2, rows.size(2) - 2, rows.size(3)
    rows = rows.contiguous()
    plane, row = rows.size(1) * rows.size(2) * channels, rows.size(2) * channels
    # Three neighbours along the last axis lie side by side.
    strides = [plane, row, channels, plane, row, 1]
    around = rows.as_strided([d, h, w, 3, 3, 3 * channels], strides)
    around = around.reshape(d * h, 1, w, 27 * channels).permute(0, 3, 1, 2)
    matrix = weight.permute(0, 2, 3, 4, 1).reshape(weight.size(0), 27 * channels, 1, 1)
    return torch.conv2d(around, matrix, bias).permute(0, 2, 3, 1).reshape(d, h, w, -1)


def _write_box(
    out: Tensor,
    features: Tensor,
    plan: PromptPlan,
    weights: NormWeights,
    statistics: list[Tensor] | None,
    slope: float,
    slice_voxels: int = SLICE_VOXELS,
    fewest_voxels: int = FEWEST_VOXELS,
) -> None:
    """Scale, shift and leaky ReLU of all voxels of the box, a few slices at a time.

    `features` are those of the box, and `statistics` their mean and reciprocal deviation when they
    are not yet normalised.
    """
    first, h0, h1, w0, w1 = plan.box[0], plan.box[2], plan.box[3], plan.box[4], plan.box[5]
    bias = torch.cat([weights.gamma_bias, weights.beta_bias])
    width = features.size(3)
    fast = box_cost(weights) < 1.0 and _box_voxels(plan.box) >= fewest_voxels
    kernels = bias
    if fast:
        kernels = winograd_kernels(torch.cat([weights.gamma, weights.beta]))
    slices = max(slice_voxels // ((h1 - h0) * (w1 - w0)) // 2 * 2, 2)
    for start in range(first, plan.box[1], slices):
        stop = min(start + slices, plan.box[1])
        hidden = _hidden_box(plan, [start, stop, h0, h1, w0, w1], weights)
        if fast and (stop - start) % 2 == 0 and (h1 - h0) % 2 == 0:
            both = convolve_winograd(hidden, kernels, bias, True)
            scale, shift = both[..., :width], both[..., width:]
        else:
            scale = convolve_rows(hidden, weights.gamma, weights.gamma_bias, True)
            shift = convolve_rows(hidden, weights.beta, weights.beta_bias, True)
        part = features[start - first : stop - first]
        if statistics is not None:
            part = (part - statistics[0]).mul_(statistics[1])
        part = functional.leaky_relu(torch.addcmul(shift, part, scale), slope, inplace=True)
        out[start:stop, h0:h1, w0:w1] = part


def _write_active(
    flat_out: Tensor,
    features: Tensor,
    plan: PromptPlan,
    weights: NormWeights,
    mean: Tensor,
    reciprocal: Tensor,
    gathered_voxels: int = GATHERED_VOXELS,
) -> None:
    """Convolve scale and shift of the active voxels only; their `features` are (N, C)."""
    hidden = _hidden_box(plan, plan.box, weights)
    count, width, channels = features.size(0), features.size(1), hidden.size(3)
    matrix = torch.cat([weights.gamma, weights.beta]).permute(0, 2, 3, 4, 1)
    matrix = matrix.reshape(2 * width, 27 * channels)
    bias = torch.cat([weights.gamma_bias, weights.beta_bias])
    # Where the 27 neighbours of a voxel are in the hidden channels of the box.
    h, w = plan.prompt.size(1) - 4, plan.prompt.size(2) - 4
    row, plane = hidden.size(2), hidden.size(1) * hidden.size(2)
    active = torch.cat([plan.active, plan.active[-1:].expand(-count % 16)])
    i, rest = active % w, torch.div(active, w, rounding_mode="floor")
    j, k = rest % h, torch.div(rest, h, rounding_mode="floor")
    corner = (k - plan.box[0]) * plane + (j - plan.box[2]) * row + (i - plan.box[4])
    steps = torch.arange(3)
    offsets = (steps * plane).view(3, 1, 1) + (steps * row).view(3, 1) + steps
    flat_hidden = hidden.view(-1, channels)
    for start in range(0, count, gathered_voxels):
        part = features[start : start + gathered_voxels]
        around = (corner[start : start + gathered_voxels, None] + offsets.view(1, 27)).view(-1)
        gathered = flat_hidden.index_select(0, around).view(-1, 27 * channels)
        both = multiply_rows(gathered, matrix, bias)[: part.size(0)]
        part = _scaled(part, both[:, :width], both[:, width:], mean, reciprocal)
        flat_out.index_copy_(0, plan.active[start : start + gathered_voxels], part)
