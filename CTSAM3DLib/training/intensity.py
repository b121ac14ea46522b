"""HU of patches: windows, and variation between scanners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.training.separable import blur


def window(hu: Tensor, windows_hu: tuple[tuple[float, float], ...]) -> Tensor:
    """Scale HU windows of (B, D, H, W) to [0, 1], one channel each: (B, C, D, H, W)."""
    return torch.stack([((hu - a) / (b - a)).clamp(0.0, 1.0) for a, b in windows_hu], 1)


def vary_intensity(hu: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Shift, scale, blur and add noise to (B, D, H, W) HU, as other scanners, kernels, doses would.

    `rng` draws which are blurred and noisy; `generator`, on the device of `hu`, all the rest.
    """
    count = len(hu)
    gain, offset = 1.0 + 0.04 * normal(hu, generator), 12.0 * normal(hu, generator)
    hu = hu * gain + offset

    def blurred(part: Tensor) -> Tensor:
        return blur(part, uniform(part, 0.4, 1.0, generator).flatten())

    def rough(part: Tensor) -> Tensor:
        noise = torch.randn(part.shape, generator=generator, device=part.device)
        grainy = rng.random(len(part)) < 0.5
        noise = changed(noise, grainy, lambda n: 2.0 * blur(n, torch.full_like(n[:, 0, 0, 0], 0.6)))
        # A gamma distribution of shape 1.5: an exponential and half a squared normal one.
        gamma = 0.5 * normal(part, generator) ** 2 - torch.log1p(-uniform(part, 0, 1, generator))
        return part + 8.0 * gamma * noise

    hu = changed(hu, rng.random(count) < 0.25, blurred)
    return changed(hu, rng.random(count) < 0.6, rough)


def changed(
    values: Tensor, chosen: NDArray[np.bool_], change: Callable[[Tensor], Tensor]
) -> Tensor:
    """Apply a function to the chosen samples of (B, ...), the others staying as they are.

    The choice is made in main memory, so nothing is read back from a GPU.
    """
    if not chosen.any():
        return values
    if chosen.all():
        return change(values)
    index = upload(np.flatnonzero(chosen), values.device)
    return values.index_copy(0, index, change(values.index_select(0, index)))


def upload(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy an array to a device without waiting for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def uniform(like: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw one number between two bounds for each sample of (B, ...): (B, 1, 1, 1) float32."""
    drawn = torch.rand((len(like), 1, 1, 1), generator=generator, device=like.device)
    return low + (high - low) * drawn


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one number of the standard normal distribution for each sample of (B, ...)."""
    return torch.randn((len(like), 1, 1, 1), generator=generator, device=like.device)
