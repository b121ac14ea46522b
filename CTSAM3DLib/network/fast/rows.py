"""Voxel rows: feature volumes as (D, H, W, C), for decoding one prompt on a CPU without gradients.

With the channels of a voxel side by side, instance norms, scales and shifts run along memory,
transposed convolutions become products with a matrix, and a box of voxels is a slice.

Everything here scripts, and calls operators only that PyTorch 2.2 has.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._jit_internal import is_scripting

from CTSAM3DLib.network.fast.winograd import convolve_winograd, winograd_applies, winograd_kernels

# At batch 1, PyTorch hands a convolution to oneDNN only when B * C * D * H is larger than this.
ONEDNN_ELEMENTS = 20480


def rows_apply(features: Tensor, training: bool) -> bool:
    """Tell whether to decode in rows: evaluation, no gradients, batch 1, CPU, not float16."""
    if training or torch.is_grad_enabled() or features.size(0) != 1:
        return False
    # Compiled away in a scripted file: the argument of is_autocast_enabled is newer than 2.2.
    if not is_scripting():  # noqa: SIM102 (TorchScript leaves out only this form)
        if torch.is_autocast_enabled("cpu"):
            return False
    return features.device.type == "cpu" and features.dtype != torch.float16


def arrange_weights(module: torch.nn.Module) -> torch.nn.Module:
    """Store convolution weights in the order in which convolutions of rows read them, in place.

    Otherwise each call copies them into that order first. The module may be a scripted one; it is
    returned. Results stay the same up to the order of sums.

    Examples
    --------
    >>> conv = arrange_weights(torch.nn.Conv3d(8, 4, 3))
    >>> conv.weight.is_contiguous(memory_format=torch.channels_last_3d)
    True
    """
    module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return module


def bias_of(bias: Tensor | None) -> Tensor:
    """Return the bias of a layer that has one (TorchScript types it as optional).

    Raises ValueError: the layer has none.
    """
    if bias is None:
        raise ValueError("expected a layer with a bias, got one without")
    return bias


def to_rows(features: Tensor) -> Tensor:
    """(1, C, D, H, W) -> contiguous (D, H, W, C); no copy when the strides are right already."""
    return features[0].permute(1, 2, 3, 0).contiguous()


def to_maps(rows: Tensor) -> Tensor:
    """(D, H, W, C) -> (1, C, D, H, W) without copying."""
    return rows[None].permute(0, 4, 1, 2, 3)


def pad_rows(rows: Tensor, width: int) -> Tensor:
    """Add `width` voxels of zeros on all six sides."""
    return torch.constant_pad_nd(rows, [0, 0, width, width, width, width, width, width], 0.0)


def convolve_rows(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padded: bool,
    stride: int = 1,
    small: int = ONEDNN_ELEMENTS,
    in_place: bool = False,
) -> Tensor:
    """3³ convolution of rows (D, H, W, C_in) with weights (C_out, C_in, 3, 3, 3) and bias (C_out,).

    Many float32 channels go through `convolve_winograd`. Volumes of at most `small` elements of
    C_in x D x H go in two halves, as a batch of 2: at batch 1 PyTorch would take a convolution
    without oneDNN, which is slower. That is exact and needs no operator of its own.

    With `padded` the rows hold a border of one voxel already; else the border is zero. Returns (D,
    H, W, C_out), two voxels shorter along each axis when `padded`, divided by the stride and
    rounded up. `in_place` allows to overwrite the rows.
    """
    if stride == 1 and winograd_applies(rows, weight, padded):
        over = in_place and not padded and weight.size(0) == weight.size(1)
        return convolve_winograd(rows, winograd_kernels(weight), bias, padded, over)
    steps = [stride, stride, stride]
    if rows.size(3) * rows.size(0) * rows.size(1) > small:
        width = 0 if padded else 1
        return to_rows(torch.conv3d(to_maps(rows), weight, bias, steps, [width, width, width]))
    if not padded:
        rows = pad_rows(rows, 1)
    depth = (rows.size(0) - 3) // stride + 1
    half = (depth + 1) // 2
    reach = stride * (half - 1) + 3
    second = stride * (depth - half)
    pair = torch.stack([rows[:reach], rows[second : second + reach]]).permute(0, 4, 1, 2, 3)
    halves = torch.conv3d(pair, weight, bias, steps).permute(0, 2, 3, 4, 1)
    return torch.cat([halves[0], halves[1, 2 * half - depth :]])


def multiply_rows(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Product of rows (M, C_in) with a matrix (C_out, C_in), plus a bias (C_out,): (M, C_out).

    It is a 1x1 convolution, which is faster than matmul on AMD. The rows are contiguous.
    """
    # From 16 items on, oneDNN takes a 1x1 convolution with one thread, too.
    count = rows.size(0)
    items = 16 if count % 16 == 0 else count
    image = rows.view(items, 1, count // items, rows.size(1)).permute(0, 3, 1, 2)
    product = torch.conv2d(image, weight[:, :, None, None], bias)
    return product.permute(0, 2, 3, 1).reshape(count, weight.size(0))


def channel_statistics(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) of each channel of rows (D, H, W, C).

    PyTorch sums channels-last data one row after the other, which loses three digits over 64³
    voxels. Seen as up to 4096 channels, the sums are short; the parts are then put together.
    """
    channels = rows.size(3)
    count = rows.numel() // channels
    parts = 1
    while count % (2 * parts) == 0 and 2 * parts * channels <= 4096 and count >= 128 * parts:
        parts *= 2
    maps = rows.view(1, count // parts, 1, 1, parts * channels).permute(0, 4, 1, 2, 3)
    means, variances = torch.batch_norm_update_stats(maps, None, None, 0.0)
    means = means.view(parts, channels)
    mean = means.mean(0)
    return mean, (variances.view(parts, channels) + (means - mean).square()).mean(0)


def normalise_rows(
    rows: Tensor, scale: Tensor | None, shift: Tensor | None, in_place: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Instance norm of rows (D, H, W, C), scaled and shifted by numbers (C,), both or neither.

    Returns the normalised rows, the mean (C,) and the reciprocal deviation (C,). `in_place`
    overwrites the rows, since new memory takes longer than the calculation.
    """
    mean, variance = channel_statistics(rows)
    reciprocal = torch.rsqrt(variance + 1e-5)
    if in_place:
        factor = reciprocal if scale is None else reciprocal * scale
        offset = -mean * factor if shift is None else torch.addcmul(shift, mean, factor, value=-1)
        return torch.addcmul(offset, rows, factor, out=rows), mean, reciprocal
    normal = torch.batch_norm(to_maps(rows), scale, shift, mean, variance, False, 0.0, 1e-5, False)
    return to_rows(normal), mean, reciprocal
