"""Losses on logits, and the precision in which they are computed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

HALVINGS = 4
SMALLEST_CPU_SIDE = 3


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice plus binary cross entropy of (B, 1, D, H, W), mean over the batch; a scalar."""
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    probability = torch.sigmoid(logits).flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(1)
    dice = (2.0 * overlap + 1.0) / (probability.sum(1) + truth.sum(1) + 1.0)
    return entropy + (1.0 - dice).mean()


def dice_of(logits: Tensor, target: Tensor) -> Tensor:
    """Hard Dice of each sample, threshold 0 on logits; (B,)."""
    mask = (logits > 0).flatten(1).float()
    truth = target.flatten(1)
    return 2.0 * (mask * truth).sum(1) / (mask.sum(1) + truth.sum(1)).clamp_min(1.0)


def mixed_precision(patches: Tensor) -> torch.autocast:
    """Return the autocast context for a step on patches (B, C, D, H, W).

    A CPU without bfloat16 instructions is 10 to 50 times slower in bfloat16 than in float32, so
    there it is switched off. On other CPUs it is off where the coarsest map has a side below 3
    voxels: oneDNN of PyTorch 2.13 returns uninitialised memory in bfloat16 gradients of 3x3x3
    convolutions.
    """
    device = patches.device.type
    deep_enough = min(patches.shape[2:]) >> HALVINGS >= SMALLEST_CPU_SIDE
    useful = device != "cpu" or (deep_enough and cpu_has_bfloat16())
    return torch.autocast(device, torch.bfloat16, enabled=useful)


def cpu_has_bfloat16() -> bool:
    """Tell whether the processor multiplies in bfloat16; PyTorch before 2.9 does not know."""
    can: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
