"""Cut augmented patches round voxels: random spacing, rotation, flips, all in one resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.training.resampling import linear_at, nearest_at, positions

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

    def inside(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which of (N, 3) volume voxels, KJI, are nearest to a voxel of the patch."""
        at = np.linalg.solve(self.matrix, (points - self.centre).T) + self.size / 2
        return np.asarray(((at >= -0.5) & (at < self.size - 0.5)).all(0))


def random_placement(
    rng: np.random.Generator,
    voxel_kji: NDArray[np.float64],
    spacing_kji_mm: tuple[float, float, float],
    size: int,
    spacing_range_mm: tuple[float, float],
) -> tuple[PatchPlacement, NDArray[np.float64]]:
    """Draw spacing, rotation, flips and where in the patch the voxel lies.

    Half of the patches are centred on the voxel (the first click of a session), the others hold it
    anywhere except near a face. Returns also where `voxel_kji` lies in the patch, (3,) KJI.
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


def random_bends(strengths: Tensor, generator: torch.Generator) -> Tensor:
    """Draw smooth displacements of the voxels of patches, so that few patients become many.

    Returns (B, 3, N, N, N) float32: knots over each patch, N being `BEND_KNOTS`, in voxels along
    K, J, I. `strengths` (B,) are standard deviations in voxels; values are cut at twice that.
    """
    shape = (len(strengths), 3, BEND_KNOTS, BEND_KNOTS, BEND_KNOTS)
    knots = torch.randn(shape, generator=generator, device=strengths.device)
    return knots.clamp(-2.0, 2.0) * strengths.view(-1, 1, 1, 1, 1)


def block_steps(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many voxels of a volume along each axis, KJI, a voxel of a patch spans.

    Before a patch is sampled, blocks of that many voxels are averaged.
    """
    return np.asarray(np.maximum(np.linalg.norm(matrix, axis=1), 1.0), np.int64)


def block_means(volume: Tensor, steps: NDArray[np.int64]) -> Tensor:
    """Average blocks of a (K, J, I) float32 volume, those at its end cut short."""
    return F.avg_pool3d(
        volume[None, None], [int(s) for s in steps], ceil_mode=True, count_include_pad=False
    )[0, 0]


def cut(
    volume: Tensor,
    placement: PatchPlacement,
    *,
    nearest: bool,
    fill: float,
    smooth: bool = True,
    bends: Tensor | None = None,
) -> Tensor:
    """Resample a (K, J, I) volume into a patch: (D, H, W) float32.

    `nearest` takes the nearest voxel (labels), else linear (HU). `fill` is the value outside. With
    `smooth`, linear sampling averages whole blocks first where the patch is at least twice as
    coarse. `bends` (1, 3, N, N, N) are those of `random_bends`.
    """
    size, matrix = placement.size, placement.matrix
    corners = np.stack(np.meshgrid(*[[-size / 2, size / 2 - 1]] * 3, indexing="ij"), -1)
    reach = corners.reshape(-1, 3) @ matrix.T + placement.centre
    steps = block_steps(matrix) if smooth and not nearest else np.ones(3, np.int64)
    # A whole block more on each side: a block cut short has its mean elsewhere than its middle.
    margin = steps.copy()
    if bends is not None:
        margin += np.ceil(np.abs(matrix).sum(1) * float(bends.abs().max())).astype(int)
    start = np.maximum(np.floor(reach.min(0)).astype(int) - 1 - margin, 0)
    stop = np.minimum(np.ceil(reach.max(0)).astype(int) + 2 + margin, volume.shape)
    if np.any(start >= stop):
        return torch.full((size, size, size), fill, device=volume.device)
    crop = volume[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].float()
    steps = np.minimum(steps, crop.shape)  # where only a sliver of the volume is in reach
    if steps.max() > 1:
        crop = block_means(crop, steps)
    centre = (placement.centre - start - (steps - 1) / 2) / steps
    at = positions(
        torch.tensor(matrix / steps[:, None], dtype=torch.float32, device=volume.device)[None],
        torch.tensor(centre, dtype=torch.float32, device=volume.device)[None],
        size,
        bends,
    )
    padded = F.pad(crop, [1] * 6, value=fill)
    starts = torch.zeros(1, dtype=torch.int64, device=volume.device)
    shapes = torch.tensor([crop.shape], dtype=torch.int32, device=volume.device)
    take = nearest_at if nearest else linear_at
    return take(padded.flatten(), starts, shapes, at)[0]
