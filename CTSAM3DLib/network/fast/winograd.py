"""3³ convolution of rows with 2.25 times fewer products: Winograd's F(2, 3) along two axes.

Two neighbouring outputs of a convolution with three taps need four products instead of six, once
the inputs and the taps are added up the right way (Lavin and Gray, arXiv 1509.09308, formula for
F(2, 3)). Used along the first two axes, 16 convolutions of three taps along the third axis give 2 x
2 outputs. The factors are 1 and 1/2, so that float32 loses less than one digit: results differ from
the direct convolution by about as much as two direct ones with another order of sums do.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below, adding up costs more than the products saved: for each voxel, and once for the kernels.
FEWEST_CHANNELS = 96
FEWEST_VOXELS = 2048
# Elements of one of the 16 inputs treated at a time: they stay in the cache.
SLAB_ELEMENTS = 524288


def winograd_applies(
    rows: Tensor,
    weight: Tensor,
    padded: bool,
    fewest_channels: int = FEWEST_CHANNELS,
    fewest_voxels: int = FEWEST_VOXELS,
) -> bool:
    """Tell whether `convolve_winograd` takes these rows and is worth it.

    Rows, weight and `padded` as in `convolve_rows`; the limits say what is worth it.
    """
    border = 2 if padded else 0
    d, h, w = rows.size(0) - border, rows.size(1) - border, rows.size(2) - border
    if rows.dtype != torch.float32 or d % 2 != 0 or h % 2 != 0 or d * h * w < fewest_voxels:
        return False
    return min(weight.size(0), weight.size(1)) >= fewest_channels


def winograd_kernels(weight: Tensor) -> Tensor:
    """Add up the taps of (C_out, C_in, 3, 3, 3) along the first two axes.

    Returns (16, C_out, C_in, 1, 3): kernels along the third axis, for `convolve_winograd`.
    """
    half = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]
    one = torch.tensor(half, dtype=weight.dtype, device=weight.device)
    taps = weight.permute(2, 3, 0, 4, 1).reshape(9, -1)
    kernels = torch.matmul(torch.kron(one, one), taps)
    # Input channels innermost, as convolutions of rows want them.
    return kernels.view(16, weight.size(0), 1, 3, weight.size(1)).permute(0, 1, 4, 2, 3)


def convolve_winograd(
    rows: Tensor,
    kernels: Tensor,
    bias: Tensor | None,
    padded: bool,
    in_place: bool = False,
    slab_elements: int = SLAB_ELEMENTS,
) -> Tensor:
    """3³ convolution of rows (D, H, W, C_in), D and H even, with kernels of `winograd_kernels`.

    Bias, `padded` and the result are as in `convolve_rows`. `in_place` overwrites the rows, which
    have as many channels as the result and no border. About `slab_elements` are treated at a time.
    """
    border = 1 if padded else 0
    d, h, w = rows.size(0) - 2 * border, rows.size(1) - 2 * border, rows.size(2) - 2 * border
    width = kernels.size(1)
    out = rows
    if not in_place:
        out = torch.empty([d, h, w, width], dtype=rows.dtype, device=rows.device)
    before = rows[0]
    tiles = out.view(d // 2, 2, h // 2, 2, w, width)
    step = max(slab_elements // (h // 2 * w * rows.size(3)), 1)
    for start in range(0, d // 2, step):
        count = min(step, d // 2 - start)
        slab = _slab(rows, 2 * start - 1 + border, 2 * (start + count) + 1 + border, 1 - border)
        if in_place:
            if start > 0:  # the slice before has its result already
                slab[0, 1 : h + 1, 1 : w + 1] = before
            before = rows[2 * (start + count) - 1].clone()
        products: list[list[Tensor]] = []
        for i, part in enumerate(_inputs(slab, 0)):
            only = bias if i == 1 else None
            products.append(_along_second(part, kernels[4 * i : 4 * i + 4], only))
        for side in range(2):
            along = [product[side] for product in products]
            _outputs(along, tiles[start : start + count, :, :, side])
    return out


def _slab(rows: Tensor, first: int, last: int, width: int) -> Tensor:
    """Cut slices `first` to before `last`; zeros outside, and `width` of them round each slice."""
    before, after = max(-first, 0), max(last - rows.size(0), 0)
    slab = rows[first + before : last - after]
    return torch.constant_pad_nd(slab, [0, 0, width, width, width, width, before, after], 0.0)


def _along_second(slab: Tensor, kernels: Tensor, bias: Tensor | None) -> list[Tensor]:
    """Convolve (N, H + 2, W + 2, C) along two axes: even and odd (N, H / 2, W, O)."""
    products: list[Tensor] = []
    for j, tile in enumerate(_inputs(slab, 1)):
        maps = torch.conv2d(tile.permute(0, 3, 1, 2), kernels[j], bias if j == 1 else None)
        products.append(maps.permute(0, 2, 3, 1))
    even = (products[0] + products[1]).add_(products[2])
    odd = (products[1] - products[2]).sub_(products[3])
    return [even, odd]


def _inputs(rows: Tensor, axis: int) -> list[Tensor]:
    """Add up four neighbours along an axis of even length, two steps apart."""
    count = rows.size(axis) // 2 - 1
    pairs = rows.unflatten(axis, [count + 1, 2])
    even, odd = pairs.select(axis + 1, 0), pairs.select(axis + 1, 1)
    first, third = even.narrow(axis, 0, count), even.narrow(axis, 1, count)
    second, fourth = odd.narrow(axis, 0, count), odd.narrow(axis, 1, count)
    return [first - third, second + third, third - second, second - fourth]


def _outputs(products: list[Tensor], out: Tensor) -> None:
    """Add up four products into the even and the odd outputs (N, 2, ...)."""
    even, odd = out.select(1, 0), out.select(1, 1)
    torch.add(products[0], products[1], out=even).add_(products[2])
    torch.sub(products[1], products[2], out=odd).sub_(products[3])
