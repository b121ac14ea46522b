"""Simulated clicks in tensors alone, so that they cost next to nothing on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def interior_score(mask: Tensor) -> Tensor:
    """Score how deep inside a region each voxel lies: local fill at two scales, 0 outside.

    Parameters
    ----------
    mask : Tensor
        (D, H, W) bool.

    Returns
    -------
    Tensor
        (D, H, W) float32 in [0, 2].

    Examples
    --------
    >>> mask = torch.zeros(16, 16, 16, dtype=torch.bool)
    >>> mask[2:9, 2:9, 2:9] = True
    >>> score = interior_score(mask)
    >>> bool(score[5, 5, 5] > score[2, 2, 2]), float(score[15, 15, 15])
    (True, 0.0)
    """
    values = mask.float()[None, None]
    return ((box_mean(values, 5) + box_mean(values, 13)) * values)[0, 0]


def box_mean(values: Tensor, width: int) -> Tensor:
    """Mean over a cube, zero padded; cumulative sums, since CPU pooling costs ten times as much.

    Parameters
    ----------
    values : Tensor
        (B, C, D, H, W) float32.
    width : int
        Odd edge of the cube in voxels.

    Returns
    -------
    Tensor
        (B, C, D, H, W).

    Examples
    --------
    >>> round(float(box_mean(torch.ones(1, 1, 5, 5, 5), 3)[0, 0, 2, 2, 2]), 4)
    1.0
    """
    half = width // 2
    for axis in (2, 3, 4):
        pad = [0, 0] * (4 - axis) + [half + 1, half]
        total = torch.cumsum(F.pad(values, pad), axis)
        length = values.shape[axis]
        values = (total.narrow(axis, width, length) - total.narrow(axis, 0, length)) / width
    return values


def first_click(target: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a voxel of the target, interior voxels more often.

    Parameters
    ----------
    target : Tensor
        (D, H, W) bool, not empty.
    generator : torch Generator
        On the device of `target`.

    Returns
    -------
    Tensor
        (3,) float32 voxel, KJI.
    """
    weight = interior_score(target).flatten().square() + 1e-6 * target.flatten().float()
    index = torch.multinomial(weight, 1, generator=generator)[0]
    return _unravel(index, target.shape)


def next_click(target: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
    """Correct the largest error: near its middle, jittered; label 1 where target was missed.

    Parameters
    ----------
    target, mask : Tensor
        (D, H, W) bool: the truth and the present result.
    generator : torch Generator
        On their device.

    Returns
    -------
    Tensor
        (3,) float32 voxel, KJI.
    int
        1 positive, 0 negative; -1 when there is no error to correct.

    Examples
    --------
    >>> target = torch.zeros(16, 16, 16, dtype=torch.bool)
    >>> target[4:12, 4:12, 4:12] = True
    >>> point, label = next_click(target, torch.zeros_like(target), torch.Generator())
    >>> label, bool(target[tuple(point.long())])
    (1, True)
    """
    missed, excess = target & ~mask, mask & ~target
    score = torch.maximum(interior_score(missed), interior_score(excess))
    jitter = torch.rand(score.shape, generator=generator, device=score.device)
    index = (score * (0.75 + 0.25 * jitter)).flatten().argmax()
    point = _unravel(index, target.shape)
    k, j, i = (int(v) for v in point)
    if bool(missed[k, j, i]):
        return point, 1
    return point, 0 if bool(excess[k, j, i]) else -1


def partial_mask(target: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a partly right previous mask: a half space of the target, eroded or grown.

    This is what a neighbouring patch or an edited segment hands over.

    Returns
    -------
    Tensor
        (D, H, W) float32 probability.
    """
    device = target.device
    normal = torch.randn(3, generator=generator, device=device)
    normal = normal / normal.norm()
    steps = [torch.arange(n, device=device, dtype=torch.float32) for n in target.shape]
    field = (normal[0] * steps[0].view(-1, 1, 1) + normal[1] * steps[1].view(1, -1, 1)) + normal[
        2
    ] * steps[2]
    inside = field[target]
    quantile = 0.2 + 0.7 * float(torch.rand(1, generator=generator, device=device))
    cut_at = inside.kthvalue(max(1, int(quantile * inside.numel()))).values
    known = (target & (field <= cut_at)).float()[None, None]
    choice = float(torch.rand(1, generator=generator, device=device))
    if choice < 0.3:
        known = F.max_pool3d(known, 3, 1, 1)
    elif choice < 0.6:
        known = -F.max_pool3d(-known, 3, 1, 1)
    soft = F.avg_pool3d(known, 3, 1, 1)
    return soft[0, 0].clamp(0.02, 0.98) * (soft[0, 0] > 0)


def _unravel(index: Tensor, shape: torch.Size) -> Tensor:
    value = int(index)
    plane = shape[1] * shape[2]
    return torch.tensor(
        [value // plane, value % plane // shape[2], value % shape[2]], dtype=torch.float32
    )
