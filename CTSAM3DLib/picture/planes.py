"""Slices of a volume as a radiologist sees them.

Oblique volumes are not resampled: slices run along the volume's own axes, each taken for the
anatomical direction it is nearest to, with its own spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.geometry.affine import nearest_axes
from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.grid import Geometry

_STRAIGHT_MM = 0.5


@dataclass(frozen=True)
class Plane:
    """How one anatomical plane is drawn."""

    name: str  # For people
    # Anatomical axes (0 R, 1 A, 2 S): the one that the plane cuts, the one that runs from right to
    # left in the picture, and the one that runs upwards
    normal: int
    across: int
    up: int
    letters: str  # Left, right, upper and lower edge of the picture


PLANES = (
    Plane("axial", 2, 0, 1, "RLAP"),
    Plane("coronal", 1, 0, 2, "RLSI"),
    Plane("sagittal", 0, 1, 2, "APSI"),
)


@dataclass(frozen=True, eq=False)
class AnatomicalGrid:
    """A volume's voxels counted along R, A and S."""

    geometry: Geometry

    @cached_property
    def _axes(self) -> tuple[IJK, NDArray[Any]]:
        return nearest_axes(self.geometry.directions_ras)

    @property
    def size(self) -> IJK:
        """Number of voxels along R, A, S."""
        r, a, s = (self.geometry.size_ijk[axis] for axis in self._axes[0])
        return r, a, s

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxels along R, A, S."""
        r, a, s = (self.geometry.spacing_mm[axis] for axis in self._axes[0])
        return r, a, s

    @cached_property
    def first_ras(self) -> NDArray[np.float64]:
        """Place (3,), RAS mm, of the voxel that is first along R, A and S."""
        axes, signs = self._axes
        first = np.zeros(3)
        for axis, sign in zip(axes, signs, strict=True):
            first[axis] = 0 if sign > 0 else self.geometry.size_ijk[axis] - 1
        return self.geometry.ras_from_ijk(first)

    @cached_property
    def is_straight(self) -> bool:
        """Whether each index stands for one place in mm: the axes run along R, A and S."""
        last = np.array(self.geometry.size_ijk) - 1
        corners = np.array(list(product((0, 1), repeat=3))) * last
        places = self.first_ras + self.indices(corners) * self.spacing_mm
        return bool(np.abs(places - self.geometry.ras_from_ijk(corners)).max() < _STRAIGHT_MM)

    def view(self, array_kji: NDArray[Any]) -> NDArray[Any]:
        """Return a view with the axes R, A, S of the volume's array or of a crop of it."""
        axes, signs = self._axes
        ordered = array_kji.transpose([2 - axis for axis in axes])
        return ordered[tuple(slice(None, None, int(sign)) for sign in signs)]

    def indices(self, points_ijk: ArrayLike) -> NDArray[np.float64]:
        """Return voxel indices (..., 3) along i, j, k as indices along R, A, S."""
        axes, signs = self._axes
        ordered = np.asarray(points_ijk, dtype=np.float64)[..., list(axes)]
        return np.where(signs < 0, np.asarray(self.size) - 1 - ordered, ordered)

    def box(self, bbox: BoundingBox) -> NDArray[np.int64]:
        """Return first and last voxel (2, 3) along R, A, S of a box with voxels."""
        corners = self.indices(np.array([bbox.start_ijk, bbox.stop_ijk]) - [[0], [1]])
        return np.sort(corners, axis=0).astype(np.int64)

    def extent_mm(self, plane: Plane) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top of a plane's picture, in mm, voxel edges."""
        wide, high = self.spacing_mm[plane.across], self.spacing_mm[plane.up]
        columns, rows = self.size[plane.across], self.size[plane.up]
        return -(columns - 0.5) * wide, 0.5 * wide, -0.5 * high, (rows - 0.5) * high

    def cut(self, array_kji: NDArray[Any], plane: Plane, index: int) -> NDArray[Any]:
        """Return a slice of a (K, J, I) array: rows upwards, columns from left to right.

        `index` is along the plane's normal, counted from R, A or S = lowest.
        """
        ordered = self.view(array_kji).transpose(plane.normal, plane.up, plane.across)
        return ordered[index, :, ::-1]

    def positions_mm(self, plane: Plane, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the places (..., 2) of indices along R, A, S in a plane's picture, in mm."""
        across = -indices[..., plane.across] * self.spacing_mm[plane.across]
        return np.stack([across, indices[..., plane.up] * self.spacing_mm[plane.up]], axis=-1)
