"""A CT as patches are cut from it in learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.picture.planes import AnatomicalGrid
from CTSAM3DLib.session.patches import choose_spacing_mm
from CTSAM3DLib.training.learning_cases import LearningCase

POINTS = 2000
BODY_HU = -500


@dataclass(frozen=True)
class LearningScan:
    """A CT as patches are cut from it: axes along R, A, S."""

    hu: Tensor  # (K, J, I) int16
    spacing_kji_mm: tuple[float, float, float]
    look_mm: float  # Voxel size at which a session looks at it
    looks_mm: tuple[float, ...]  # That at which it looks at each structure
    names: tuple[str, ...]  # Structures
    masks: tuple[Tensor, ...]  # (K, J, I) uint8 each
    points: tuple[Tensor, ...]  # (N, 3) int64 voxels of each, KJI
    elsewhere: Tensor  # (N, 3) int64 voxels of the body in no structure, KJI

    @classmethod
    def of(cls, case: LearningCase, settings: ModelSettings, seed: int = 0) -> LearningScan:
        """Prepare a case."""
        geometry = case.volume.geometry
        hu, spacing = ras_array(case.volume.array_kji, geometry)
        hu = np.clip(hu, -1024, 3071).astype(np.int16)
        masks = [ras_array(mask, geometry)[0] for mask in case.masks.values()]
        rng = np.random.default_rng(seed)
        body = hu > BODY_HU
        for mask in masks:
            body &= ~mask
        looks = [choose_spacing_mm(geometry, settings, anatomy=name) for name in ("", *case.masks)]
        return cls(
            torch.from_numpy(hu),
            spacing,
            looks[0],
            tuple(looks[1:]),
            tuple(case.masks),
            tuple(torch.from_numpy(mask.astype(np.uint8)) for mask in masks),
            tuple(_some_voxels(mask, rng) for mask in masks),
            _some_voxels(body, rng),
        )


def ras_array(
    array_kji: NDArray[Any], geometry: Geometry
) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Return voxels with K, J, I along S, A, R, and their size along K, J, I in mm."""
    grid = AnatomicalGrid(geometry)
    r, a, s = grid.spacing_mm
    return np.ascontiguousarray(grid.view(array_kji).T), (s, a, r)


def _some_voxels(mask: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    flat = np.flatnonzero(mask)
    if len(flat) > POINTS:
        flat = rng.choice(flat, POINTS, replace=False)
    return torch.from_numpy(np.stack(np.unravel_index(flat, mask.shape), 1).astype(np.int64))
