"""Simulated clicks in tensors alone, so that they cost next to nothing on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from CTSAM3DLib.network.prompt_maps import CLICK_RADIUS, CLICK_SIGMA, KERNEL_FLOOR


def interior_score(mask: Tensor) -> Tensor:
    """Score how deep inside a (D, H, W) bool region each voxel lies: float32 in [0, 2], 0 outside.

    It is the local fill at two scales.

    Examples
    --------
    >>> mask = torch.zeros(16, 16, 16, dtype=torch.bool)
    >>> mask[2:9, 2:9, 2:9] = True
    >>> score = interior_score(mask)
    >>> bool(score[5, 5, 5] > score[2, 2, 2]), float(score[15, 15, 15])
    (True, 0.0)
    """
    return interior_scores(mask[None])[0]


def interior_scores(masks: Tensor) -> Tensor:
    """Score each sample of (B, D, H, W) bool by itself, see `interior_score`."""
    values = masks.float()[:, None]
    return ((box_mean(values, 5) + box_mean(values, 13)) * values)[:, 0]


def box_mean(values: Tensor, width: int) -> Tensor:
    """Mean of (B, C, D, H, W) over a cube of odd `width`, zero padded.

    It uses cumulative sums, since pooling is slow on a CPU.

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
    """Draw a voxel of a (D, H, W) bool target that is not empty, interior voxels more often.

    Returns (3,) float32, KJI, in main memory. `generator` is on the device of `target`.
    """
    weight = interior_score(target).flatten().square() + 1e-6 * target.flatten().float()
    # What torch.multinomial does, at a tenth of its cost on a CPU.
    total = torch.cumsum(weight.double(), 0)
    share = torch.rand(1, generator=generator, device=target.device, dtype=torch.float64)
    index = torch.searchsorted(total, share * total[-1], right=True)
    return _unravel(index.clamp_max(target.numel() - 1), target.shape)[0].cpu()


def correcting_click(
    target: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Correct the largest error of one sample, see `next_clicks`.

    `target` and `mask` are (D, H, W) bool. Returns a (3,) float32 voxel, KJI, in main memory, and 1
    positive, 0 negative, -1 when there is no error.

    Examples
    --------
    >>> target = torch.zeros(16, 16, 16, dtype=torch.bool)
    >>> target[4:12, 4:12, 4:12] = True
    >>> point, label = correcting_click(target, torch.zeros_like(target), torch.Generator())
    >>> label, bool(target[tuple(point.long())])
    (1, True)
    """
    points, labels = next_clicks(target[None], mask[None], generator)
    return points[0].cpu(), int(labels[0])


def next_clicks(target: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Correct the largest error of each sample: near its middle, jittered.

    `target` and `mask` are (B, D, H, W) bool. Returns (B, 3) float32 voxels, KJI, and (B,) int64: 1
    positive where target was missed, 0 negative, -1 when there is no error. Nothing is read back
    from a GPU.

    Examples
    --------
    >>> target = torch.zeros(2, 16, 16, 16, dtype=torch.bool)
    >>> target[:, 4:12, 4:12, 4:12] = True
    >>> mask = torch.stack([target[0], torch.ones_like(target[0])])
    >>> next_clicks(target, mask, torch.Generator())[1].tolist()
    [-1, 0]
    """
    missed, excess = target & ~mask, mask & ~target
    score = torch.maximum(interior_scores(missed), interior_scores(excess))
    jitter = torch.rand(score.shape, generator=generator, device=score.device)
    index = (score * (0.75 + 0.25 * jitter)).flatten(1).argmax(1)
    is_missed = missed.flatten(1).gather(1, index[:, None])[:, 0].long()
    is_excess = excess.flatten(1).gather(1, index[:, None])[:, 0].long()
    return _unravel(index, target.shape[1:]), 2 * is_missed + is_excess - 1


def render_each(points: Tensor, labels: Tensor, shape: torch.Size) -> Tensor:
    """Render one click of each sample as `render_clicks` does, on any device.

    `points` are (B, 3) float32 voxels, KJI; `labels` (B,) int64: 1 positive, 0 negative, others
    leave the maps empty. Returns (B, 2, D, H, W): positive and negative map.

    Examples
    --------
    >>> from CTSAM3DLib.network.prompt_maps import render_clicks
    >>> point, label = torch.tensor([[4.0, 2.0, 9.0]]), torch.tensor([1])
    >>> plain = render_clicks(point, label, 12, 12, 12, False)
    >>> bool(torch.allclose(render_each(point, label, plain.shape[1:])[0], plain, atol=1e-6))
    True
    """
    centres = torch.floor(points + 0.5)
    maps = torch.stack([labels == 1, labels == 0], 1).to(points.dtype)[:, :, None, None, None]
    for axis, length in enumerate(shape):
        steps = torch.arange(length, device=points.device, dtype=points.dtype)
        distance = steps - centres[:, axis, None]
        taps = torch.exp(distance.square() / (-2.0 * CLICK_SIGMA**2))
        taps = taps * (distance.abs() <= CLICK_RADIUS)
        maps = maps * taps.view(len(points), 1, *[length if n == axis else 1 for n in range(3)])
    return torch.where(maps < KERNEL_FLOOR, torch.zeros_like(maps), maps)


def partial_mask(target: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a partly right previous mask: a half space of the target, eroded or grown.

    A neighbouring patch or an edited segment gives such a mask.

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
    """Voxels (B, 3) float32 of flat indices (B,)."""
    plane, row = shape[1] * shape[2], shape[2]
    j = torch.div(index % plane, row, rounding_mode="floor")
    k = torch.div(index, plane, rounding_mode="floor")
    return torch.stack([k, j, index % row], 1).float()
