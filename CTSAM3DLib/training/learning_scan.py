"""A CT as patches are cut from it in learning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.tuning import tuned
from CTSAM3DLib.picture.planes import AnatomicalGrid
from CTSAM3DLib.session.patches import choose_spacing_mm
from CTSAM3DLib.training.learning_cases import LearningCase

POINTS = 2000
BODY_HU = -500
MOST_VOXELS = 2_000_000
"""So many are looked at where places are chosen."""


@dataclass(frozen=True)
class LearningScan:
    """A CT as patches are cut from it: axes along R, A, S."""

    hu: Tensor  # (K, J, I) int16
    spacing_kji_mm: tuple[float, float, float]
    look_mm: float  # Voxel size at which a session looks at it
    looks_mm: tuple[float, ...]  # That at which it looks at each structure
    names: tuple[str, ...]  # Structures
    masks: tuple[Tensor, ...]  # (K, J, I) uint8 each
    points: tuple[Tensor, ...]  # (N, 3) int64 voxels of each, KJI, deep ones more often
    anywhere: tuple[Tensor, ...]  # (N, 3) int64 voxels of each, KJI, all alike
    elsewhere: Tensor  # (N, 3) int64 voxels of the body in no structure, KJI
    alike: Tensor  # (N, 3) those of them with intensities as in the structures
    sizes_mm: tuple[float, ...]  # At which a session looks at anatomies with sizes of their own

    @classmethod
    def of(cls, case: LearningCase, settings: ModelSettings, seed: int = 0) -> LearningScan:
        """Prepare a case."""
        geometry = case.volume.geometry
        hu, spacing = ras_array(case.volume.array_kji, geometry)
        hu = np.clip(hu, -1024, 3071).astype(np.int16)
        masks = [ras_array(mask, geometry)[0] for mask in case.masks.values()]
        rng = np.random.default_rng(seed)
        inside = np.zeros(hu.shape, bool)
        for mask in masks:
            inside |= mask
        body = (hu > BODY_HU) & ~inside
        own = sorted(set(tuned(settings).voxel_sizes_mm.values()))
        points = tuple(_deep_voxels(mask, rng, spacing) for mask in masks)
        elsewhere, alike = _some_voxels(body, rng), _alike(hu, body, hu[inside], rng)
        looks = [choose_spacing_mm(geometry, settings, anatomy=name) for name in ("", *case.masks)]
        return cls(
            torch.from_numpy(hu),
            spacing,
            looks[0],
            tuple(looks[1:]),
            tuple(case.masks),
            tuple(torch.from_numpy(mask.astype(np.uint8)) for mask in masks),
            points,
            tuple(_some_voxels(mask, rng) for mask in masks),
            elsewhere,
            alike,
            tuple(
                choose_spacing_mm(geometry, replace(settings, default_spacing_mm=mm)) for mm in own
            ),
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
    return _voxels(flat, mask.shape)


def _deep_voxels(
    mask: NDArray[np.bool_], rng: np.random.Generator, spacing_kji_mm: tuple[float, float, float]
) -> Tensor:
    """Draw voxels as a user clicks, deep ones more often; of a large mask every other voxel."""
    box = BoundingBox.from_mask(mask)
    part = mask[box.slices_kji]
    step = int(np.cbrt(part.size / MOST_VOXELS)) + 1
    part = part[::step, ::step, ::step]
    if not part.any():
        return _some_voxels(mask, rng)
    depth = distance_transform_edt(np.pad(part, 1), sampling=spacing_kji_mm)[1:-1, 1:-1, 1:-1]
    flat = rng.choice(np.flatnonzero(part), POINTS, p=depth[part] / depth.sum())
    return _voxels(flat, part.shape) * step + torch.tensor(box.start_ijk[::-1])


def _alike(
    hu: NDArray[np.int16],
    body: NDArray[np.bool_],
    learnt_hu: NDArray[np.int16],
    rng: np.random.Generator,
) -> Tensor:
    """Draw voxels of the body whose intensities are those of the structures, as often as there."""
    flat = np.flatnonzero(body)
    flat = flat[:: len(flat) // MOST_VOXELS + 1]
    if not (len(flat) and len(learnt_hu)):
        return _voxels(flat[:0], hu.shape)
    flat = flat[np.argsort(hu.ravel()[flat], kind="stable")]
    wanted, known = rng.choice(learnt_hu, POINTS), hu.ravel()[flat]
    first, after = (np.searchsorted(known, wanted, side) for side in ("left", "right"))
    there = after > first
    return _voxels(flat[rng.integers(first[there], after[there])], hu.shape)


def _voxels(flat: NDArray[np.intp], shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.stack(np.unravel_index(flat, shape), 1).astype(np.int64))
