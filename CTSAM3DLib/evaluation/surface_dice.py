"""Normalised surface Dice: how much of the surfaces of two masks agrees.

Surfaces are made of *surface elements*: every 2x2x2 neighbourhood of voxel centres that holds both
inside and outside voxels carries one element at its centre. Its area is the length of the mean
gradient of the inside indicator in that neighbourhood times the cell volume, which is exact for
planes along the axes and along the face and space diagonals. Elements sit on the lattice, so
distances can be short by up to half a voxel. Voxels beyond the array count as outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.overlap import checked_pair
from CTSAM3DLib.geometry.region import checked_spacing_kji

_RELATIVE_SLACK = 1e-6  # distances equal to the tolerance up to rounding count as within it


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces, element by element."""

    # Distance of each element of one surface to the nearest element of the other; infinite when
    # the other surface has no element
    a_to_b_mm: NDArray[np.float64]
    b_to_a_mm: NDArray[np.float64]
    # Area of each element, in the same order
    areas_a_mm2: NDArray[np.float64]
    areas_b_mm2: NDArray[np.float64]


def nsd(
    a_kji: NDArray[Any], b_kji: NDArray[Any], spacing_mm: Sequence[float], tolerance_mm: float = 2.0
) -> float:
    """Normalised surface Dice: share of both surfaces within a tolerance of the other, 0 to 1.

    The definition of Nikolov et al. (arXiv 1809.04430, section "Performance metrics"), with the
    surface elements of this module; 1.0 when both masks are empty, 0.0 when exactly one is. The
    masks are 3D and of one shape; `spacing_mm` is along i, j, k; the tolerance is inclusive. Raises
    GeometryError when shapes differ, are not 3D, or a spacing or the tolerance is not valid.
    """
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise GeometryError(f"expected a finite tolerance >= 0 mm, got {tolerance_mm!r}")
    distances = surface_distances(a_kji, b_kji, spacing_mm)
    total = float(distances.areas_a_mm2.sum() + distances.areas_b_mm2.sum())
    if total == 0.0:
        return 1.0
    reach = tolerance_mm * (1 + _RELATIVE_SLACK) + _RELATIVE_SLACK * min(spacing_mm)
    agreeing = distances.areas_a_mm2[distances.a_to_b_mm <= reach].sum()
    agreeing += distances.areas_b_mm2[distances.b_to_a_mm <= reach].sum()
    return min(1.0, float(agreeing) / total)


def surface_distances(
    a_kji: NDArray[Any], b_kji: NDArray[Any], spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Distances between the surface elements of two 3D masks of one shape; see `nsd`.

    The surface of an empty mask has empty arrays; distances to it are infinite.
    """
    a, b = checked_pair(a_kji, b_kji)
    if a.ndim != 3:
        raise GeometryError(f"expected 3D masks, got {a.ndim} dimensions")
    spacing_kji = checked_spacing_kji(spacing_mm)
    points_a, areas_a = _surface_elements(a, spacing_kji)
    points_b, areas_b = _surface_elements(b, spacing_kji)
    return SurfaceDistances(
        _nearest(points_a, points_b), _nearest(points_b, points_a), areas_a, areas_b
    )


def _surface_elements(
    mask_kji: NDArray[np.bool_], spacing_kji: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions in mm (N, 3) and areas in mm2 (N,) of the elements of one mask's surface."""
    boxes = ndimage.find_objects(mask_kji.astype(np.uint8))
    if not boxes:
        return np.zeros((0, 3)), np.zeros(0)
    inside = np.pad(mask_kji[boxes[0]], 1).astype(np.int8)
    start_kji = np.array([axis.start for axis in boxes[0]])
    count = _corner_sums(inside, (0, 1, 2))
    corners = np.argwhere((count > 0) & (count < 8))
    squared = np.zeros(len(corners))
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        steps = _corner_sums(np.diff(inside, axis=axis), others)[tuple(corners.T)]
        squared += (steps / (4.0 * spacing_kji[axis])) ** 2
    positions_mm = (corners + start_kji - 0.5) * spacing_kji
    return positions_mm, np.sqrt(squared) * float(np.prod(spacing_kji))


def _corner_sums(values: NDArray[np.int8], axes: tuple[int, ...]) -> NDArray[np.int8]:
    """Sum of each pair of neighbours along each of the axes (at most 8 in all: int8 suffices)."""
    for axis in axes:
        low = [slice(None)] * values.ndim
        high = [slice(None)] * values.ndim
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        values = values[tuple(low)] + values[tuple(high)]
    return values


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(others) == 0 or len(points) == 0:
        return np.full(len(points), np.inf)
    distances, _ = cKDTree(others).query(points)
    return np.asarray(distances, dtype=np.float64)
