"""Cut an augmented patch round a voxel: random spacing, rotation, flips, all in one resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.training.intensity import between_knots

AIR_HU = -1024.0
# Knots of a random bend along an axis: bumps of some 13 voxels in a patch of 64.
BEND_KNOTS = 6


@dataclass(frozen=True)
class PatchPlacement:
    """Affine map of patch voxels to volume voxels: ``matrix @ (patch - middle) + centre``."""

    size: int  # Edge of the patch in voxels
    centre: NDArray[np.float64]  # (3,) float64, volume voxel (KJI) at the middle of the patch
    matrix: NDArray[np.float64]  # (3, 3) float64, patch voxel step -> volume voxel step
    spacing_mm: float  # Nominal spacing of the patch


def random_placement(
    rng: np.random.Generator,
    voxel_kji: NDArray[np.float64],
    spacing_kji_mm: tuple[float, float, float],
    size: int,
    spacing_range_mm: tuple[float, float],
) -> tuple[PatchPlacement, NDArray[np.float64]]:
    """Draw spacing, rotation, flips and where in the patch the voxel lies.

    Half of the patches are centred on the voxel (the first click of a session), the others hold it
    anywhere except near a face.

    Returns
    -------
    PatchPlacement
        The placement.
    ndarray
        (3,) float64, where `voxel_kji` lies in the patch (KJI).
    """
    native = float(np.exp(np.mean(np.log(spacing_kji_mm))))
    low = min(max(spacing_range_mm[0], 0.6 * native), spacing_range_mm[1])
    nominal = math.exp(rng.uniform(math.log(low), math.log(spacing_range_mm[1])))
    scale = nominal * np.exp(rng.normal(0.0, 0.04, 3))
    rotation = _rotation(rng.normal(0.0, 0.12, 3)) if rng.random() < 0.6 else np.eye(3)
    flips = np.where(rng.random(3) < (0.1, 0.1, 0.5), -1.0, 1.0)
    step_mm = rotation @ np.diag(scale * flips)
    matrix = np.diag(1.0 / np.asarray(spacing_kji_mm)) @ step_mm
    reach = 0.0 if rng.random() < 0.5 else size / 2 - size / 8
    inside = rng.uniform(-reach, reach, 3) if reach else np.zeros(3)
    # An even patch has its middle voxel at size / 2, as in a session.
    middle = size / 2
    centre = np.asarray(voxel_kji, np.float64) - matrix @ inside
    return PatchPlacement(size, centre, matrix, nominal), inside + middle


def _rotation(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        out = turn @ out
    return out


def random_bend(size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Draw a smooth displacement of the voxels of a patch, so that few patients become many.

    Returns (3, size, size, size) float32, voxels along K, J, I, on the device of `generator`.
    `strength` is the standard deviation in voxels at the knots, of which an axis has `BEND_KNOTS`;
    drawn values are cut at twice that.

    Examples
    --------
    >>> bend = random_bend(16, 2.0, torch.Generator().manual_seed(0))
    >>> bend.shape, bool(bend.abs().max() <= 4.0)
    (torch.Size([3, 16, 16, 16]), True)
    """
    shape = (3, BEND_KNOTS, BEND_KNOTS, BEND_KNOTS)
    knots = torch.randn(shape, generator=generator, device=generator.device)
    return between_knots(knots.clamp(-2.0, 2.0) * strength, torch.Size([size] * 3))


def cut(
    volume: Tensor,
    placement: PatchPlacement,
    *,
    nearest: bool,
    fill: float,
    smooth: bool = True,
    bend: Tensor | None = None,
) -> Tensor:
    """Resample a (K, J, I) volume into a patch: (D, H, W) float32.

    `nearest` takes the nearest voxel (labels), else linear (HU). `fill` is the value outside. With
    `smooth`, linear sampling averages whole blocks first where the patch is at least twice as
    coarse. `bend` is (3, size, size, size) in patch voxels, KJI, see `random_bend`.

    Examples
    --------
    >>> volume = torch.arange(8.0 ** 3).view(8, 8, 8)
    >>> placement = PatchPlacement(4, np.array([4.0, 4.0, 4.0]), np.eye(3), 1.0)
    >>> bool(torch.equal(cut(volume, placement, nearest=True, fill=0.0), volume[2:6, 2:6, 2:6]))
    True
    """
    size, matrix = placement.size, placement.matrix
    corners = np.stack(np.meshgrid(*[[-size / 2, size / 2 - 1]] * 3, indexing="ij"), -1)
    more = 0.0 if bend is None else float(bend.abs().max())
    corners = corners + np.sign(corners) * more
    reach = corners.reshape(-1, 3) @ matrix.T + placement.centre
    steps = np.ones(3, int)
    if smooth and not nearest:
        steps = np.maximum(np.linalg.norm(matrix, axis=1).astype(int), 1)
    # A whole block more on each side: a block cut short has its mean elsewhere than its middle.
    start = np.maximum(np.floor(reach.min(0)).astype(int) - 1 - steps, 0)
    stop = np.minimum(np.ceil(reach.max(0)).astype(int) + 2 + steps, volume.shape)
    out_shape = (size, size, size)
    if np.any(start >= stop):
        return torch.full(out_shape, fill, device=volume.device)
    crop = volume[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    crop = (crop.float() - fill)[None, None]
    steps = np.minimum(steps, crop.shape[2:])  # where only a sliver of the volume is in reach
    if steps.max() > 1:
        crop = F.avg_pool3d(crop, steps.tolist(), ceil_mode=True, count_include_pad=False)
    offset = (placement.centre - start - (steps - 1) / 2) / steps
    linear = matrix / steps[:, None]
    grid = _grid(linear, offset, size, crop.shape[2:], volume.device, bend)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(crop, grid, mode, "zeros", align_corners=False)[0, 0] + fill


def _grid(
    linear: NDArray[np.float64],
    offset: NDArray[np.float64],
    size: int,
    shape: torch.Size,
    device: torch.device,
    bend: Tensor | None,
) -> Tensor:
    """Build the sampling grid of `grid_sample`: last axis x, y, z, voxel v at (2 v + 1) / n - 1."""
    steps = torch.arange(size, device=device, dtype=torch.float32) - size / 2
    axes = []
    for axis in (2, 1, 0):
        a, b, c = (float(v) for v in linear[axis])
        position = (
            a * steps.view(-1, 1, 1) + b * steps.view(1, -1, 1) + c * steps + float(offset[axis])
        )
        if bend is not None:
            position = position + a * bend[0] + b * bend[1] + c * bend[2]
        axes.append((2.0 * position + 1.0) / shape[axis] - 1.0)
    return torch.stack(axes, -1)[None]
