"""Losses on logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
