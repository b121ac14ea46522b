"""Smooth shapes on a voxel grid in gently warped patient coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.grid import Geometry

Mask = NDArray[np.bool_]
Point = Sequence[float] | NDArray[Any]
Field = NDArray[np.floating[Any]]

_WARP_MM = 2.2  # amplitude of one wave; three waves an axis
_WARP_REACH_MM = 3 * _WARP_MM
_SIZE_RAS_MM = (384.0, 288.0, 320.0)


class Canvas:
    """A grid of labels; shapes are in mm, RAS, with the origin in the middle of the grid.

    The coordinates are bent by a few long sine waves, whose phases `rng` draws, so no organ is an
    exact ellipsoid. `spacing_mm` is the isotropic voxel size. Raises GeometryError when the spacing
    is not between 0.5 and 10 mm.
    """

    def __init__(self, spacing_mm: float, rng: np.random.Generator) -> None:
        if not 0.5 <= spacing_mm <= 10:
            raise GeometryError(f"expected a phantom spacing of 0.5 to 10 mm, got {spacing_mm!r}")
        size_ijk = [round(length / spacing_mm) for length in _SIZE_RAS_MM]
        self.spacing_mm = float(spacing_mm)
        self.shape_kji = (size_ijk[2], size_ijk[1], size_ijk[0])
        self.labels = np.zeros(self.shape_kji, dtype=np.uint8)
        half = [(n - 1) / 2 * spacing_mm for n in size_ijk]
        # As from a scanner: columns run to the left, rows to the back, slices upwards.
        steps = (-spacing_mm, -spacing_mm, spacing_mm)
        origin = (half[0], half[1], -half[2])
        matrix = np.diag([*steps, 1.0])
        matrix[:3, 3] = origin
        self.geometry = Geometry(matrix, self.shape_kji)
        self.axes_ras = tuple(
            (start + step * np.arange(n)).astype(np.float32)
            for start, step, n in zip(origin, steps, size_ijk, strict=True)
        )
        self.x, self.y, self.z = self._warped(rng)

    def _warped(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        """Return warped R, A, S coordinates, each (K, J, I) float32."""
        x, y, z = self.axes_ras
        plain = (x[None, None, :], y[None, :, None], z[:, None, None])
        warped = []
        for axis in range(3):
            first, second = plain[(axis + 1) % 3], plain[(axis + 2) % 3]
            total = np.broadcast_to(plain[axis], self.shape_kji).astype(np.float32)
            for length_mm in (170.0, 110.0, 70.0):
                phase = rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
                wave = np.float32(2 * np.pi / length_mm)
                total += (
                    np.float32(_WARP_MM)
                    * np.sin(wave * first + phase[0])
                    * np.cos(wave * second + phase[1])
                )
            warped.append(total)
        return tuple(warped)

    def box(self, low_ras: Point, high_ras: Point) -> tuple[slice, slice, slice]:
        """Return KJI slices that surely hold all voxels between two warped corners."""
        slices = []
        for axis, low, high in zip(self.axes_ras, low_ras, high_ras, strict=True):
            near = (axis >= low - _WARP_REACH_MM) & (axis <= high + _WARP_REACH_MM)
            found = np.flatnonzero(near)
            slices.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0))
        return slices[2], slices[1], slices[0]

    def ellipsoid(
        self, center: Point, radii: Point, exponent: float = 2.0, turn_deg: float = 0.0
    ) -> Mask:
        """Return a superquadric, turned about the S axis; exponent 2 is an ellipsoid."""
        reach = np.full(3, max(radii))
        where = self.box(np.subtract(center, reach), np.add(center, reach))
        dx, dy = self.x[where] - center[0], self.y[where] - center[1]
        if turn_deg:
            cosine, sine = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
            dx, dy = cosine * dx + sine * dy, cosine * dy - sine * dx
        parts = (dx / radii[0], dy / radii[1], (self.z[where] - center[2]) / radii[2])
        if exponent == 2.0:
            level = sum(part * part for part in parts)
        else:
            level = sum(np.abs(part) ** exponent for part in parts)
        mask = np.zeros(self.shape_kji, dtype=bool)
        mask[where] = level <= 1
        return mask

    def tube(self, points: Sequence[Point], radii: Sequence[float]) -> Mask:
        """Return a chain of round cones through the points."""
        mask = np.zeros(self.shape_kji, dtype=bool)
        for k in range(len(points) - 1):
            a = np.asarray(points[k], dtype=np.float32)
            b = np.asarray(points[k + 1], dtype=np.float32)
            largest = max(radii[k], radii[k + 1])
            where = self.box(np.minimum(a, b) - largest, np.maximum(a, b) + largest)
            mask[where] |= self._cone(where, a, b, radii[k], radii[k + 1])
        return mask

    def _cone(
        self,
        where: tuple[slice, slice, slice],
        a: NDArray[np.float32],
        b: NDArray[np.float32],
        radius_a: float,
        radius_b: float,
    ) -> Mask:
        axis = b - a
        offsets = (self.x[where] - a[0], self.y[where] - a[1], self.z[where] - a[2])
        along = sum(o * c for o, c in zip(offsets, axis, strict=True)) / max(axis @ axis, 1e-6)
        along = np.clip(along, 0, 1)
        squared = sum((o - along * c) ** 2 for o, c in zip(offsets, axis, strict=True))
        inside: Mask = squared <= (radius_a + along * (radius_b - radius_a)) ** 2
        return inside

    def paint(self, mask: Mask, label: int) -> None:
        """Give all voxels of a mask one label."""
        self.labels[mask] = label
