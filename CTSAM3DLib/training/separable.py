"""Linear maps along the axes of volumes, as products of matrices: fast on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def along_axes(values: Tensor, matrices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Multiply each axis of (B, D, H, W) with a matrix of its own, (L, D) or (B, L, D) alike."""
    first, second, third = matrices
    count, depth, height, _ = values.shape
    values = (values.flatten(1, 2) @ third.mT).view(count, depth, height, -1)
    values = second.unsqueeze(-3) @ values
    rows, columns = values.shape[2:]
    return (first @ values.flatten(2)).view(count, -1, rows, columns)


def box_mean(values: Tensor, width: int) -> Tensor:
    """Mean of (B, D, H, W) float32 over a cube of odd `width`, zero padded."""
    half = torch.full((1,), width // 2, device=values.device)
    return along_axes(values, boxes(values.shape[1:], half))


def boxes(shape: torch.Size, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for `along_axes` that average cubes of 2 `half` + 1 voxels; `half` has B values."""
    half = half.view(-1, 1, 1)
    steps = [torch.arange(length, device=half.device) for length in shape]
    d, h, w = (((n - n[:, None]).abs() <= half) / (2.0 * half + 1.0) for n in steps)
    return d, h, w


def blur(values: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, D, H, W) float32 with a separable Gaussian of 5 taps; `sigma` (B,) in voxels.

    Beyond a face its voxels go on.
    """
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device=values.device) / sigma[:, None]) ** 2)
    taps = taps / taps.sum(1, keepdim=True)
    d, h, w = (_with_taps(taps, n) for n in values.shape[1:])
    return along_axes(values, (d, h, w))


def between_knots(knots: Tensor, shape: torch.Size, counts: Tensor | None = None) -> Tensor:
    """Interpolate linearly between knots, the first and the last being at the faces.

    From (B, K, J, I) float32 to (B, D, H, W) of `shape`. With `counts`, (B,) whole numbers, the
    first that many knots of each axis are used.
    """
    matrices = []
    for length, most in zip(shape, knots.shape[1:], strict=True):
        used = torch.full((1,), most, device=knots.device) if counts is None else counts
        at = torch.linspace(0.0, 1.0, length, device=knots.device)[:, None]
        at = at * (used[:, None, None] - 1)
        steps = torch.arange(most, device=knots.device)
        matrices.append((1.0 - (at - steps).abs()).clamp_min(0.0))
    d, h, w = matrices
    return along_axes(knots, (d, h, w))


def smooth_fields(
    shape: torch.Size, counts: Tensor, most: int, generator: torch.Generator
) -> Tensor:
    """Draw smooth random fields of about unit variance: (B, D, H, W) of a shape (D, H, W).

    `counts` (B,) is the number of knots an axis of each field, up to `most`.
    """
    size = (len(counts), most, most, most)
    knots = torch.randn(size, generator=generator, device=counts.device)
    return between_knots(knots, shape, counts) * 1.5


def _with_taps(taps: Tensor, length: int) -> Tensor:
    """Matrices (B, length, length) that apply (B, 5) taps."""
    steps = torch.arange(length, device=taps.device)
    read = (steps[:, None] + torch.arange(-2, 3, device=taps.device)).clamp(0, length - 1)
    hit = (read[:, :, None] == steps).to(taps.dtype)  # (length, 5, length)
    return torch.einsum("bt,ltm->blm", taps, hit)
