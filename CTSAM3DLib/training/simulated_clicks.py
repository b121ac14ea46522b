"""Simulated clicks for whole batches, in tensors alone: nothing is read back from a GPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from CTSAM3DLib.network.prompt_maps import CLICK_RADIUS, CLICK_SIGMA, KERNEL_FLOOR
from CTSAM3DLib.training.separable import box_mean
from CTSAM3DLib.training.synthesis import highest_around


def interior_scores(masks: Tensor) -> Tensor:
    """Score how deep inside (B, D, H, W) bool regions voxels lie: float32 in [0, 2], 0 outside.

    It is the local fill at two scales.
    """
    values = masks.float()
    return (box_mean(values, 5) + box_mean(values, 13)) * values


def first_clicks(targets: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a voxel of each (B, D, H, W) bool target, interior voxels more often.

    Returns (B, 3) float32, KJI. `generator` is on the device of the targets. Of a target without
    voxels any voxel is drawn.
    """
    weights = interior_scores(targets).square_().add_(targets, alpha=1e-6).flatten(1)
    # Sums of rows and then within one row: precise in float32, and cheap on every device.
    rows = weights.view(len(weights), -1, targets.shape[-1])
    row, rest = _drawn(rows.sum(-1), _random(targets, generator).double())
    within = rows.gather(1, row.view(-1, 1, 1).expand(-1, 1, rows.shape[-1]))[:, 0]
    column, _ = _drawn(within, rest)
    return _unravel(row * targets.shape[-1] + column, targets.shape[1:])


def next_clicks(
    target: Tensor, mask: Tensor, jitter: Tensor, *, anywhere: bool = False
) -> tuple[Tensor, Tensor]:
    """Correct the largest error of each sample: near its middle, jittered.

    With `anywhere`, any wrong voxel is as likely.

    `target` and `mask` are (B, D, H, W) bool, `jitter` (B, D, H, W) random numbers from 0 to 1.
    Returns (B, 3) float32 voxels, KJI, and (B,) int64: 1 positive where target was missed, 0
    negative, -1 when there is no error.
    """
    missed, excess = target & ~mask, mask & ~target
    if anywhere:
        score = (missed | excess).float()
    else:
        score = torch.maximum(interior_scores(missed), interior_scores(excess))
    index = (score * (0.75 + 0.25 * jitter)).flatten(1).argmax(1)
    is_missed = missed.flatten(1).gather(1, index[:, None])[:, 0].long()
    is_excess = excess.flatten(1).gather(1, index[:, None])[:, 0].long()
    return _unravel(index, target.shape[1:]), 2 * is_missed + is_excess - 1


def render_each(points: Tensor, labels: Tensor, shape: torch.Size) -> Tensor:
    """Render one click of each sample as `render_clicks` does, on any device.

    `points` are (B, 3) float32 voxels, KJI; `labels` (B,) int64: 1 positive, 0 negative, others
    leave the maps empty. Returns (B, 2, D, H, W): positive and negative map.
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


def partial_masks(targets: Tensor, generator: torch.Generator) -> Tensor:
    """Draw partly right previous masks: a half space of each target, eroded or grown.

    A neighbouring patch or an edited segment gives such a mask. `targets` are (B, D, H, W) bool,
    the result is their probability, float32.
    """
    normals = torch.randn((len(targets), 3), generator=generator, device=targets.device)
    normals = normals / normals.norm(dim=1, keepdim=True)
    field = torch.zeros(targets.shape, device=targets.device)
    for axis, length in enumerate(targets.shape[1:]):
        steps = torch.arange(length, device=targets.device, dtype=torch.float32)
        shape = [-1, *(length if n == axis else 1 for n in range(3))]
        field = field + (normals[:, axis, None] * steps).view(shape)
    ordered = torch.where(targets, field, torch.inf).flatten(1).sort(1).values
    share = 0.2 + 0.7 * _random(targets, generator)
    last = (share * targets.flatten(1).sum(1)).long().sub(1).clamp_min(0)
    known = (targets & (field <= ordered.gather(1, last[:, None])[:, :, None, None])).float()
    padded = F.pad(known, [1] * 6)
    choice = _random(targets, generator).view(-1, 1, 1, 1)
    # Beyond a face nothing is grown and nothing is eroded.
    eroded = -highest_around(F.pad(-known, [1] * 6, value=-1.0))
    known = torch.where(
        choice < 0.3, highest_around(padded), torch.where(choice < 0.6, eroded, known)
    )
    soft = box_mean(known, 3)
    return soft.clamp(0.02, 0.98) * (soft > 1e-4)


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    """One number from 0 to 1 for each sample: (B,)."""
    return torch.rand(len(like), generator=generator, device=like.device)


def _drawn(weights: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Draw an index of each row of (B, N) weights by a share of their sum, (B,) from 0 to 1.

    Returns also where between its two bounds the share lies, as a share for a further draw.
    """
    total = torch.cumsum(weights.double(), 1)
    wanted = (share * total[:, -1])[:, None]
    index = torch.searchsorted(total, wanted, right=True).clamp_max(weights.shape[1] - 1)
    own = weights.gather(1, index).double().clamp_min(1e-30)
    rest = 1.0 - (total.gather(1, index) - wanted) / own
    return index[:, 0], rest[:, 0].clamp(0.0, 1.0 - 1e-9)


def _unravel(index: Tensor, shape: torch.Size) -> Tensor:
    """Voxels (B, 3) float32 of flat indices (B,)."""
    plane, row = shape[1] * shape[2], shape[2]
    j = torch.div(index % plane, row, rounding_mode="floor")
    k = torch.div(index, plane, rounding_mode="floor")
    return torch.stack([k, j, index % row], 1).float()
