"""Upscaling by two and the mask head on rows, without a feature volume at full resolution.

A transposed convolution with kernel and stride 2 is a matrix that turns each coarse voxel into 8
fine ones. A 3³ convolution to one channel after it sees, from one coarse voxel, 8 fine voxels, and
reaches 4³ fine voxels of the mask: again a matrix, to 64 numbers, which are then added up where
they overlap ("folded").
"""

from __future__ import annotations

import torch
from torch import Tensor

from CTSAM3DLib.network.fast.rows import multiply_rows

# Coarse voxels treated at a time: their fine channels stay in the cache.
SLICE_ROWS = 4096


def upscale_matrix(weight: Tensor) -> Tensor:
    """Weights (C_in, C_out, 2, 2, 2) of a transposed convolution as a matrix (8 C_out, C_in).

    Rows go over the fine voxel within the coarse one (D, H, W), then over C_out.
    """
    return weight.permute(2, 3, 4, 1, 0).reshape(8 * weight.size(1), weight.size(0))


def fold_matrix(kernel: Tensor) -> Tensor:
    """One output channel (C, 3, 3, 3) of a 3³ convolution as a matrix (64, 8 C).

    It maps the 8 fine voxels of a coarse voxel, channels innermost, to what they add to the 4³ fine
    voxels from one before to one after them.
    """
    flipped = kernel.flip([1, 2, 3]).permute(1, 2, 3, 0)
    matrix = torch.zeros(
        (4, 4, 4, 2, 2, 2, kernel.size(0)), dtype=kernel.dtype, device=kernel.device
    )
    for a in range(2):
        for b in range(2):
            for c in range(2):
                matrix[a : a + 3, b : b + 3, c : c + 3, a, b, c] = flipped
    return matrix.view(64, 8 * kernel.size(0))


def fold(parts: Tensor) -> Tensor:
    """Add up what coarse voxels give to the fine grid.

    From (D, H, W, 64) of `fold_matrix` to (2D, 2H, 2W); what falls outside is dropped.
    """
    d, h, w = parts.size(0), parts.size(1), parts.size(2)
    parts = _fold_axis(parts.view(d, h, w, 4, 16), 0, 3)  # d, h, w, 2, 16
    parts = _fold_axis(parts.view(d, h, w, 2, 4, 4), 1, 4)  # d, h, w, 2, 2, 4
    parts = _fold_axis(parts, 2, 5)  # d, h, w, 2, 2, 2
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(2 * d, 2 * h, 2 * w)


def _fold_axis(parts: Tensor, axis: int, offsets: int) -> Tensor:
    """Fold the four offsets of one axis into the two fine voxels of each coarse one."""
    before, even, odd, after = parts.unbind(offsets)
    count = parts.size(axis) - 1
    fine = torch.stack([even, odd], offsets)
    fine.select(offsets, 0).narrow(axis, 1, count).add_(after.narrow(axis, 0, count))
    fine.select(offsets, 1).narrow(axis, 0, count).add_(before.narrow(axis, 1, count))
    return fine


def _finish(fine: Tensor, norm_weight: Tensor, norm_bias: Tensor) -> Tensor:
    """Layer norm over the channels and exact GELU, in place of a copy."""
    fine = torch.layer_norm(fine, [fine.size(-1)], norm_weight, norm_bias, 1e-6)
    finished: Tensor = torch.ops.aten.gelu_(fine)
    return finished


def upscale_rows(
    rows: Tensor, weights: list[Tensor], skip: Tensor | None, slice_rows: int = SLICE_ROWS
) -> Tensor:
    """Transposed convolution, channel norm and GELU where there are such weights, then a skip.

    From rows (D, H, W, C_in) to (2D, 2H, 2W, C_out + S), about `slice_rows` coarse voxels at a
    time. The weights are those of the transposed convolution (C_in, C_out, 2, 2, 2), its bias, and
    weight and bias of the norm. `skip` are (1, S, 2D, 2H, 2W) features.
    """
    d, h, w = rows.size(0), rows.size(1), rows.size(2)
    width = weights[0].size(1)
    extra = 0 if skip is None else skip.size(1)
    shape = [2 * d, 2 * h, 2 * w, width + extra]
    out = torch.empty(shape, dtype=rows.dtype, device=rows.device)
    if skip is not None:
        out[..., width:] = skip[0].permute(1, 2, 3, 0)
    target = out.view(d, 2, h, 2, w, 2, width + extra)[..., :width].permute(0, 2, 4, 1, 3, 5, 6)
    matrix, bias = upscale_matrix(weights[0]), weights[1].repeat(8)
    step = max(slice_rows // (h * w), 1)
    for start in range(0, d, step):
        part = rows[start : start + step]
        fine = multiply_rows(part.reshape(-1, rows.size(3)), matrix, bias).view(-1, width)
        if len(weights) > 2:
            fine = _finish(fine, weights[2], weights[3])
        target[start : start + step] = fine.view(-1, h, w, 2, 2, 2, width)
    return out


def fused_tail(
    rows: Tensor,
    weights: list[Tensor],
    kernel: Tensor,
    bias: Tensor,
    slice_rows: int = SLICE_ROWS,
) -> Tensor:
    """Last upscaling and mask head, slab by slab.

    From rows (D, H, W, C_in) to (1, 1, 2D, 2H, 2W) logits. Weights as in `upscale_rows`; `kernel`
    (C_out, 3, 3, 3) and `bias` (1,) are those of the mask channel.
    """
    d, h, w = rows.size(0), rows.size(1), rows.size(2)
    width = weights[0].size(1)
    matrix, repeated, head = upscale_matrix(weights[0]), weights[1].repeat(8), fold_matrix(kernel)
    parts = torch.empty([d, h, w, 64], dtype=rows.dtype, device=rows.device)
    step = max(slice_rows // (h * w), 1)
    for start in range(0, d, step):
        part = rows[start : start + step]
        fine = multiply_rows(part.reshape(-1, rows.size(3)), matrix, repeated)
        fine = _finish(fine.view(-1, width), weights[2], weights[3])
        added = multiply_rows(fine.view(-1, 8 * width), head, None)
        parts[start : start + step] = added.view(-1, h, w, 64)
    return (fold(parts) + bias)[None, None]


def head_rows(rows: Tensor, kernel: Tensor, bias: Tensor, slices: int = 4) -> Tensor:
    """3³ convolution of rows to one channel: 8 voxels to a matrix row, faster than a convolution.

    From (D, H, W, C), sizes even, to (1, 1, D, H, W), `slices` pairs of slices at a time. `kernel`
    is (C, 3, 3, 3), `bias` (1,).
    """
    d, h, w, width = rows.size(0) // 2, rows.size(1) // 2, rows.size(2) // 2, rows.size(3)
    blocks = rows.view(d, 2, h, 2, w, 2, width).permute(0, 2, 4, 1, 3, 5, 6)
    head = fold_matrix(kernel)
    parts = torch.empty([d, h, w, 64], dtype=rows.dtype, device=rows.device)
    for start in range(0, d, slices):
        block = blocks[start : start + slices].reshape(-1, 8 * width)
        parts[start : start + slices] = multiply_rows(block, head, None).view(-1, h, w, 64)
    return (fold(parts) + bias)[None, None]
