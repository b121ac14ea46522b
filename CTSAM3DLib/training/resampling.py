"""Values of volumes at any positions, for a whole batch of patches at once.

Volumes lie one behind the other in one flat array, each with one voxel more on every side that
holds the value outside. So a batch from many volumes is one gather, and no position needs a test.
"""

from __future__ import annotations

import torch
from torch import Tensor

from CTSAM3DLib.training.separable import between_knots


def positions(
    matrices: Tensor, centres: Tensor, size: int, bends: Tensor | None = None
) -> list[Tensor]:
    """Compute where the voxels of patches lie: for each axis K, J, I volume voxels, (B, S, S, S).

    `matrices` (B, 3, 3) and `centres` (B, 3) float32 are those of
    `CTSAM3DLib.training.sampling.PatchPlacement`, `size` is S. `bends` (B, 3, N, N, N) moves the
    voxels of the patch: knots over it, in patch voxels K, J, I.
    """
    steps = torch.arange(size, device=matrices.device, dtype=torch.float32) - size / 2
    moves = None
    if bends is not None:
        moved = torch.bmm(matrices, bends.flatten(2)).view_as(bends)
        shape = torch.Size([size] * 3)
        moves = between_knots(moved.flatten(0, 1), shape).view(-1, 3, *shape)
    out = []
    for axis in range(3):
        a, b, c = matrices[:, axis, :, None].unbind(1)
        plane = (centres[:, axis, None] + a * steps)[:, :, None] + (b * steps)[:, None]
        at = plane[..., None] + (c * steps)[:, None, None]
        out.append(at if moves is None else at + moves[:, axis])
    return out


def nearest_at(flat: Tensor, starts: Tensor, shapes: Tensor, at: list[Tensor]) -> Tensor:
    """Take the nearest voxel of each volume: (B, D, H, W) of the type of `flat`.

    `starts` (B,) int64 is where each padded volume begins in `flat`, `shapes` (B, 3) int32 its
    shape KJI without padding, `at` the positions, K, J, I.
    """
    whole = [
        (p + 1.5).floor_().clamp_(min=0.0).minimum(_last(shapes, axis)).int()
        for axis, p in enumerate(at)
    ]
    index = _flat_index(whole, starts, shapes)
    return flat.index_select(0, index.flatten()).view(index.shape)


def linear_at(flat: Tensor, starts: Tensor, shapes: Tensor, at: list[Tensor]) -> Tensor:
    """Interpolate linearly in each volume, see `nearest_at`: (B, D, H, W) float32."""
    whole, part = [], []
    for axis, p in enumerate(at):
        last = _last(shapes, axis)
        inside = (p + 1.0).clamp_(min=0.0).minimum(last)
        low = inside.floor().minimum(last - 1.0)
        part.append(inside.sub_(low))
        whole.append(low.int())
    index = _flat_index(whole, starts, shapes)
    row = (shapes[:, 2] + 2).long().view(-1, 1, 1, 1)
    plane = row * (shapes[:, 1] + 2).view(-1, 1, 1, 1)
    k, j, i = part

    def between(first: Tensor) -> Tensor:
        low = flat.index_select(0, first.flatten()).float()
        high = flat[1:].index_select(0, first.flatten()).float()
        return torch.lerp(low.view(first.shape), high.view(first.shape), i)

    def in_plane(first: Tensor) -> Tensor:
        return torch.lerp(between(first), between(first + row), j)

    return torch.lerp(in_plane(index), in_plane(index + plane), k)


def _last(shapes: Tensor, axis: int) -> Tensor:
    """Index of the last padded voxel along an axis, to be compared with (B, D, H, W)."""
    return (shapes[:, axis] + 1).float().view(-1, 1, 1, 1)


def _flat_index(whole: list[Tensor], starts: Tensor, shapes: Tensor) -> Tensor:
    k, j, i = whole
    height, width = ((shapes[:, axis] + 2).int().view(-1, 1, 1, 1) for axis in (1, 2))
    # A volume has fewer than 2^31 voxels, all of them together may have more.
    return ((k * height + j) * width + i).long() + starts.view(-1, 1, 1, 1)
