"""HU of a patch: windows, variation between scanners, smooth random fields."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def window(hu: Tensor, windows_hu: tuple[tuple[float, float], ...]) -> Tensor:
    """Scale HU windows of (B, D, H, W) to [0, 1], one channel each: (B, C, D, H, W).

    Examples
    --------
    >>> window(torch.tensor([[[[0.0]]]]), ((-100.0, 100.0), (-1000.0, 1000.0))).flatten().tolist()
    [0.5, 0.5]
    """
    return torch.stack([((hu - a) / (b - a)).clamp(0.0, 1.0) for a, b in windows_hu], 1)


def vary_intensity(hu: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Shift, scale, blur and add noise to (D, H, W) HU, as another scanner, kernel or dose would.

    `rng` draws the strengths; `generator` draws the noise, on the device of `hu`.
    """
    hu = hu * float(rng.normal(1.0, 0.04)) + float(rng.normal(0.0, 12.0))
    if rng.random() < 0.25:
        hu = blur(hu, float(rng.uniform(0.4, 1.0)))
    if rng.random() < 0.6:
        noise = torch.randn(hu.shape, generator=generator, device=hu.device)
        if rng.random() < 0.5:
            noise = blur(noise, 0.6) * 2.0
        hu = hu + noise * float(rng.gamma(1.5, 8.0))
    return hu


def blur(values: Tensor, sigma: float) -> Tensor:
    """Blur a (D, H, W) array with a separable Gaussian of 5 taps, sigma in voxels.

    Examples
    --------
    >>> round(float(blur(torch.ones(6, 6, 6), 1.0).mean()), 4)
    1.0
    """
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device=values.device) / sigma) ** 2)
    taps = taps / taps.sum()
    out = values[None, None]
    for shape in ((5, 1, 1), (1, 5, 1), (1, 1, 5)):
        pad = [n // 2 for n in reversed(shape) for _ in range(2)]
        out = F.conv3d(F.pad(out, pad, mode="replicate"), taps.view(1, 1, *shape))
    return out[0, 0]


def smooth_field(shape: torch.Size, knots: int, generator: torch.Generator) -> Tensor:
    """Draw a smooth random field of about unit variance with `knots` knots an axis."""
    field = torch.randn((knots, knots, knots), generator=generator, device=generator.device)
    return between_knots(field, shape) * 1.5


def between_knots(knots: Tensor, shape: torch.Size) -> Tensor:
    """Interpolate linearly between knots, the first and the last being at the faces.

    From (..., K, J, I) float32 to (..., D, H, W) of `shape`, by three products of matrices: on a
    CPU faster than ``interpolate``.

    Examples
    --------
    >>> between_knots(torch.tensor([[[0.0, 1.0]]]), torch.Size([1, 1, 3])).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    for axis, length in zip((-3, -2, -1), shape, strict=True):
        count = knots.shape[axis]
        at = torch.linspace(0.0, count - 1.0, length, device=knots.device)[:, None]
        steps = torch.arange(count, device=knots.device)
        weights = (1.0 - (at - steps).abs()).clamp_min(0.0)
        knots = (knots.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return knots.contiguous()
