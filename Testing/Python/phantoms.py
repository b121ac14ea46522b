"""Volumes with balls, shells and tubes whose size is known in closed form, on any voxel grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume

BACKGROUND_HU = -100.0
OBJECT_HU = 100.0

SignedDistance = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Points (..., 3) in RAS mm to signed distance in mm, negative inside."""


@dataclass(frozen=True)
class Phantom:
    """A volume, the voxels whose centres lie inside the object, and its exact size."""

    volume: Volume
    mask_kji: NDArray[np.bool_]
    size_mm3: float


def ball(centre_ras: Sequence[float], radius_mm: float) -> tuple[SignedDistance, float]:
    """Return the distance to a ball and its volume in mm3."""
    centre = np.asarray(centre_ras, float)
    size = 4.0 / 3.0 * math.pi * radius_mm**3
    return lambda points: np.linalg.norm(points - centre, axis=-1) - radius_mm, size


def shell(
    centre_ras: Sequence[float], inner_mm: float, outer_mm: float
) -> tuple[SignedDistance, float]:
    """Return the distance to a hollow ball and its volume in mm3."""
    outside, outer_size = ball(centre_ras, outer_mm)
    inside, inner_size = ball(centre_ras, inner_mm)
    return lambda points: np.maximum(outside(points), -inside(points)), outer_size - inner_size


def tube(
    start_ras: Sequence[float], stop_ras: Sequence[float], radius_mm: float
) -> tuple[SignedDistance, float]:
    """Return the distance to a straight tube with flat ends and its volume in mm3."""
    start, stop = np.asarray(start_ras, float), np.asarray(stop_ras, float)
    length = float(np.linalg.norm(stop - start))
    axis = (stop - start) / length

    def distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
        along = (points - start) @ axis
        across = np.linalg.norm(points - start - along[..., None] * axis, axis=-1)
        return np.maximum(across - radius_mm, np.maximum(-along, along - length))

    return distance, math.pi * radius_mm**2 * length


def phantom(geometry: Geometry, shape: tuple[SignedDistance, float]) -> Phantom:
    """Draw a shape on a voxel grid; its border is blurred over one voxel, as in a real image."""
    distance, size_mm3 = shape
    k, j, i = np.indices(geometry.shape_kji)
    signed = distance(geometry.ras_from_ijk(np.stack([i, j, k], axis=-1).astype(float)))
    share = np.clip(0.5 - signed / max(geometry.spacing_mm), 0.0, 1.0)
    hu = BACKGROUND_HU + (OBJECT_HU - BACKGROUND_HU) * share
    return Phantom(Volume(hu.astype(np.float32), geometry, "phantom"), signed < 0, size_mm3)


def empty_volume(geometry: Geometry, hu: float = BACKGROUND_HU) -> Volume:
    """Return a volume without content."""
    return Volume(np.full(geometry.shape_kji, hu, np.float32), geometry, "empty")


def centred_geometry(
    size_mm: Sequence[float],
    spacing_mm: Sequence[float],
    directions_ras: NDArray[np.float64] | None = None,
) -> Geometry:
    """Return a voxel grid whose middle lies at RAS 0; sizes along i, j, k."""
    spacing = np.asarray(spacing_mm, float)
    counts = np.maximum(np.rint(np.asarray(size_mm) / spacing).astype(int), 1)
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if directions_ras is None else directions_ras) * spacing
    matrix[:3, 3] = -matrix[:3, :3] @ ((counts - 1) / 2)
    return Geometry(matrix, (int(counts[2]), int(counts[1]), int(counts[0])))


def rotation(axis: Sequence[float], degrees: float) -> NDArray[np.float64]:
    """Return the matrix of a rotation about an axis (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


OBLIQUE = rotation((1.0, 2.0, 3.0), 25.0)
FLIPPED_I = np.diag([-1.0, 1.0, 1.0])
CORONAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

ORIENTATIONS: dict[str, NDArray[np.float64]] = {
    "axial": np.eye(3),
    "lps": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": FLIPPED_I,
    "coronal": CORONAL,
    "oblique": OBLIQUE,
    "oblique left-handed coronal": OBLIQUE @ CORONAL @ FLIPPED_I,
}
"""Directions of i, j, k as columns."""
