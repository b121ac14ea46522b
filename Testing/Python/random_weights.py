"""Weights that make a random network answer with a spread of values, not one constant."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def with_random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill kernels He-scaled, norm scales around 1, shifts and statistics at random; eval mode."""
    generator = torch.Generator().manual_seed(seed)
    transposed = {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, nn.ConvTranspose3d)
    }
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if value.dim() > 1:
                inputs = len(value) if name in transposed else value[0].numel()
                value.copy_(noise * math.sqrt(2.0 / inputs))
            elif name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif name.endswith("adn.A.weight"):
                value.copy_(0.25 + 0.1 * noise)
            elif name.endswith("weight"):
                value.copy_(1.0 + 0.2 * noise)
            else:
                value.copy_(0.2 * noise)
    return module.eval()


def float64_weights(module: nn.Module) -> dict[str, NDArray[np.float64]]:
    """State dict as float64 arrays."""
    return {name: value.numpy().astype(np.float64) for name, value in module.state_dict().items()}
