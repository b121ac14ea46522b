"""What happens to the HU of a patch: scanner-like variation, and CT made from labels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def window(hu: Tensor, windows_hu: tuple[tuple[float, float], ...]) -> Tensor:
    """Scale HU windows to [0, 1], one channel each.

    Parameters
    ----------
    hu : Tensor
        (B, D, H, W) HU.
    windows_hu : tuple of (low, high)
        The windows.

    Returns
    -------
    Tensor
        (B, C, D, H, W).

    Examples
    --------
    >>> window(torch.tensor([[[[0.0]]]]), ((-100.0, 100.0), (-1000.0, 1000.0))).flatten().tolist()
    [0.5, 0.5]
    """
    return torch.stack([((hu - a) / (b - a)).clamp(0.0, 1.0) for a, b in windows_hu], 1)


def vary_intensity(hu: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Shift, scale, blur and add noise, as another scanner, kernel or dose would.

    Parameters
    ----------
    hu : Tensor
        (D, H, W) HU.
    rng : numpy Generator
        Draws the strengths.
    generator : torch Generator
        Draws the noise, on the device of `hu`.

    Returns
    -------
    Tensor
        (D, H, W) HU.
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


def synthesise(
    labels: Tensor, class_hu: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> Tensor:
    """Make a CT patch from a label patch.

    Parameters
    ----------
    labels : Tensor
        (D, H, W) label values 0-255; 0 is unlabelled and becomes a random mosaic of air, fat and
        muscle.
    class_hu : Tensor
        (256,) typical HU of each value.
    rng : numpy Generator
        Draws HU of each class and all strengths.
    generator : torch Generator
        Draws textures.

    Returns
    -------
    Tensor
        (D, H, W) HU.
    """
    device = labels.device
    spread = torch.where(class_hu.abs() > 200, 110.0, 35.0)
    table = class_hu + spread * torch.randn(256, generator=generator, device=device)
    if rng.random() < 0.3:  # a contrast phase: everything soft is lifted by its own amount
        lift = torch.rand(256, generator=generator, device=device) * 140.0
        table = table + torch.where(class_hu.abs() < 100, lift, torch.zeros_like(lift))
    index = labels.to(torch.int64)
    hu = table[index]
    mosaic = smooth_field(labels.shape, int(rng.integers(5, 12)), generator)
    fat, air = float(rng.normal(0.1, 0.4)), float(rng.normal(1.7, 0.3))
    ground = torch.where(mosaic > fat, -100.0, 50.0)
    ground = torch.where(mosaic > air, -950.0, ground) + 12.0 * smooth_field(
        labels.shape, 12, generator
    )
    hu = torch.where(index == 0, ground, hu)
    texture = smooth_field(labels.shape, int(rng.integers(8, 20)), generator)
    hu = hu + texture * float(rng.uniform(2.0, 15.0))
    return blur(hu, float(rng.uniform(0.5, 1.0)))


def smooth_field(shape: torch.Size, knots: int, generator: torch.Generator) -> Tensor:
    """Draw a smooth random field of about unit variance with `knots` knots an axis."""
    field = torch.randn((knots, knots, knots), generator=generator, device=generator.device)
    return between_knots(field, shape) * 1.5


def between_knots(knots: Tensor, shape: torch.Size) -> Tensor:
    """Interpolate linearly between knots, the first and the last being at the faces.

    Three products of matrices: on a CPU several times faster than ``interpolate``.

    Parameters
    ----------
    knots : Tensor
        (..., K, J, I) float32.
    shape : torch.Size
        (D, H, W) of the result.

    Returns
    -------
    Tensor
        (..., D, H, W).

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
