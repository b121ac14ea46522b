"""Voxel grids in the world: the one place where voxel indices and millimetres meet.

World frame inside the library: RAS, mm, float64. LPS (DICOM, ITK) appears only here and in
file readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.errors import ClickOutsideVolumeError, GeometryError
from CTSAM3DLib.geometry.affine import (
    finite_array,
    isotropic_grid,
    matched_axes,
    read_only,
    validated_affine,
)
from CTSAM3DLib.geometry.box import IJK, BoundingBox, three_ints

_LPS_SIGNS = np.array([-1.0, -1.0, 1.0])


def lps_from_ras(points_ras: ArrayLike) -> NDArray[np.float64]:
    """Return RAS points or vectors (..., 3), mm, in the LPS frame of DICOM and ITK.

    Examples
    --------
    >>> lps_from_ras((1, 2, 3)).tolist()
    [-1.0, -2.0, 3.0]
    """
    points_lps: NDArray[np.float64] = _points(points_ras) * _LPS_SIGNS
    return points_lps


def ras_from_lps(points_lps: ArrayLike) -> NDArray[np.float64]:
    """Return LPS points or vectors (..., 3), mm, in the RAS frame.

    Examples
    --------
    >>> ras_from_lps((-1, -2, 3)).tolist()
    [1.0, 2.0, 3.0]
    """
    points_ras: NDArray[np.float64] = _points(points_lps) * _LPS_SIGNS
    return points_ras


def _points(points: ArrayLike) -> NDArray[np.float64]:
    """Return points (..., 3) as float64; GeometryError for another last axis."""
    array: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 3:
        raise GeometryError(f"expected points of shape (..., 3), got {array.shape}")
    return array


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the voxels of a 3D array lie: matrix and array shape. Immutable and hashable.

    May be oblique, permuted, flipped or left-handed, and one voxel thick along any axis. Raises
    GeometryError: see `affine.validated_affine`; or not three sizes >= 1.

    Examples
    --------
    >>> geometry = Geometry(np.diag([-1.0, -1, 2, 1]), (5, 6, 7))
    >>> geometry.spacing_mm, geometry.is_left_handed
    ((1.0, 1.0, 2.0), False)
    >>> geometry.ras_from_ijk((1, 2, 3)).tolist()
    [-1.0, -2.0, 6.0]
    >>> geometry.voxel_from_ras((-1.4, -2.0, 6.9))
    (1, 2, 3)
    """

    # (4, 4): voxel indices (i, j, k, 1) to RAS mm; integer indices are voxel centres
    ijk_to_ras: NDArray[np.float64]
    shape_kji: IJK  # Of the voxel array

    def __post_init__(self) -> None:
        shape = three_ints(self.shape_kji, "the shape of a volume")
        if min(shape) < 1:
            raise GeometryError(
                f"expected a shape of at least one voxel along every axis, got {shape}"
            )
        object.__setattr__(self, "ijk_to_ras", validated_affine(self.ijk_to_ras))
        object.__setattr__(self, "shape_kji", shape)

    @classmethod
    def from_lps(
        cls,
        origin_lps: Sequence[float],
        spacing_mm: Sequence[float],
        direction_lps: ArrayLike,
        shape_kji: Sequence[int],
    ) -> Geometry:
        """Build from origin, spacing and direction as SimpleITK gives them.

        `origin_lps` is the centre of voxel (0, 0, 0), LPS mm; `spacing_mm` along i, j, k. The
        columns of `direction_lps`, nine numbers (row-major) or (3, 3), are the directions of i, j,
        k in LPS. The shape is that of the voxel array, `image.GetSize()` reversed. Raises
        GeometryError: wrong lengths, spacing not > 0, or a matrix that `Geometry` refuses.
        """
        spacing = finite_array(spacing_mm, (3,), "a spacing")
        if not (spacing > 0).all():
            raise GeometryError(
                f"expected a spacing > 0 mm along every axis, got {spacing.tolist()}"
            )
        rows = np.asarray(direction_lps, dtype=np.float64)
        direction = finite_array(
            rows.reshape(3, 3) if rows.size == 9 else rows, (3, 3), "directions"
        )
        matrix = np.eye(4)
        matrix[:3, :3] = _LPS_SIGNS[:, None] * direction * spacing
        matrix[:3, 3] = ras_from_lps(finite_array(origin_lps, (3,), "an origin"))
        return cls(matrix, three_ints(shape_kji, "the shape of a volume"))

    def lps(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Return origin (LPS mm), spacing (mm) and the 9 row-major directions for SimpleITK.

        Examples
        --------
        >>> Geometry(np.diag([1.0, 1, 2, 1]), (3, 4, 5)).lps()[2]
        (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
        """
        direction = _LPS_SIGNS[:, None] * self.directions_ras + 0.0
        origin = lps_from_ras(self.origin_ras) + 0.0
        return tuple(origin.tolist()), self.spacing_mm, tuple(direction.ravel().tolist())

    @cached_property
    def ras_to_ijk(self) -> NDArray[np.float64]:
        """Inverse matrix (4, 4), float64, read-only."""
        return read_only(np.linalg.inv(self.ijk_to_ras))

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along i, j, k."""
        i, j, k = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0).tolist()
        return i, j, k

    @property
    def origin_ras(self) -> tuple[float, float, float]:
        """Centre of voxel (0, 0, 0)."""
        r, a, s = self.ijk_to_ras[:3, 3].tolist()
        return r, a, s

    @property
    def directions_ras(self) -> NDArray[np.float64]:
        """Unit vectors of i, j, k as the columns of a (3, 3) float64 array."""
        directions: NDArray[np.float64] = self.ijk_to_ras[:3, :3] / np.asarray(self.spacing_mm)
        return directions

    @property
    def size_ijk(self) -> IJK:
        """Number of voxels along i, j, k."""
        k, j, i = self.shape_kji
        return i, j, k

    @property
    def is_left_handed(self) -> bool:
        """Whether i, j, k form a left-handed frame."""
        return bool(np.linalg.det(self.ijk_to_ras[:3, :3]) < 0)

    @property
    def extent_ras(self) -> NDArray[np.float64]:
        """Smallest and largest R, A, S of the outer voxel edges, mm: (2, 3) float64."""
        points = self.ras_from_ijk(BoundingBox.from_shape(self.shape_kji).corners_ijk)
        return np.stack([points.min(axis=0), points.max(axis=0)])

    def ras_from_ijk(self, points_ijk: ArrayLike) -> NDArray[np.float64]:
        """Return RAS mm (..., 3), float64, of continuous voxel indices (..., 3)."""
        return _points(points_ijk) @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def ijk_from_ras(self, points_ras: ArrayLike) -> NDArray[np.float64]:
        """Return continuous voxel indices (..., 3), float64, of RAS mm points (..., 3)."""
        return _points(points_ras) @ self.ras_to_ijk[:3, :3].T + self.ras_to_ijk[:3, 3]

    def voxel_from_ras(self, position_ras: ArrayLike) -> IJK:
        """Return the voxel (i, j, k) that holds a RAS mm position.

        Raises ClickOutsideVolumeError: the position lies outside [-0.5, size - 0.5) along an axis,
        or is not finite.
        """
        i, j, k = self.voxels_from_ras(_points(position_ras).reshape(1, 3))[0].tolist()
        return i, j, k

    def voxels_from_ras(self, positions_ras: ArrayLike) -> NDArray[np.intp]:
        """Return the voxels (N, 3), IJK, that hold RAS mm positions (N, 3).

        Errors are those of `voxel_from_ras`; the message names the first such position.
        """
        positions = _points(positions_ras)
        if not np.isfinite(positions).all():
            raise ClickOutsideVolumeError(
                f"expected a position inside the volume, got RAS {positions[0].tolist()} mm"
            )
        at_ijk = self.ijk_from_ras(positions)
        # floor(x + 0.5), not round: rint goes half to even and would move every second border.
        voxels = np.floor(at_ijk + 0.5)
        outside = ((voxels < 0) | (voxels >= self.size_ijk)).any(axis=1)
        if outside.any():
            lower, upper = np.round(self.extent_ras, 2).tolist()
            raise ClickOutsideVolumeError(
                f"expected a position inside the volume, RAS {lower} to {upper} mm; got RAS "
                f"{np.round(positions[outside][0], 2).tolist()} mm at IJK "
                f"{np.round(at_ijk[outside][0], 2).tolist()}, size {self.size_ijk}"
            )
        return voxels.astype(np.intp)

    def cropped(self, bbox: BoundingBox) -> Geometry:
        """Return the geometry of the voxels in a non-empty `bbox`, which may reach outside."""
        if bbox.is_empty:
            raise GeometryError(f"expected a box with voxels, got {bbox}")
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.ras_from_ijk(bbox.start_ijk)
        return Geometry(matrix, bbox.shape_kji)

    def allclose(self, other: Geometry, tolerance_mm: float = 1e-4) -> bool:
        """Whether shapes agree and every point of a voxel agrees within `tolerance_mm`."""
        if self.shape_kji != other.shape_kji:
            return False
        # The difference of two affine maps is largest at a corner.
        corners = BoundingBox.from_shape(self.shape_kji).corners_ijk
        difference = self.ras_from_ijk(corners) - other.ras_from_ijk(corners)
        return bool(np.linalg.norm(difference, axis=-1).max() <= tolerance_mm)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Geometry):
            return NotImplemented
        same_matrix = np.array_equal(self.ijk_to_ras, other.ijk_to_ras)
        return self.shape_kji == other.shape_kji and same_matrix

    def __hash__(self) -> int:
        return hash((self.shape_kji, self.ijk_to_ras.tobytes()))


def model_grid(geometry: Geometry, spacing_mm: float) -> Geometry:
    """Return the isotropic grid of voxels of `spacing_mm` on which a model reads a volume.

    Its axes are the axes of the volume, reordered and flipped so that i, j, k run nearest to R, A,
    S; it is always right-handed. It covers the voxels of the volume edge to edge and has the same
    centre, so the same scene stored in another axis order gives the same grid. Raises
    GeometryError: spacing not finite or not > 0.

    Examples
    --------
    >>> volume = Geometry(np.diag([-1.0, -1, 2, 1]), (5, 6, 7))
    >>> model_grid(volume, 2.0).size_ijk
    (4, 3, 5)
    """
    matrix, (i, j, k) = isotropic_grid(geometry.ijk_to_ras, geometry.size_ijk, spacing_mm)
    return Geometry(matrix, (k, j, i))


@dataclass(frozen=True)
class AxisMap:
    """Separable map from grid indices to volume indices: reorder, flip, scale, shift.

    Along grid axis g: volume index on axis `volume_axes[g]` = `scales[g]` * grid index +
    `offsets[g]`. Axes are numbered 0 i, 1 j, 2 k; indices are continuous, centres at integers.
    """

    volume_axes: IJK
    scales: tuple[float, float, float]
    offsets: tuple[float, float, float]

    @classmethod
    def between(cls, volume_geometry: Geometry, grid: Geometry) -> AxisMap:
        """Return the map for two grids with the same axes; GeometryError if they are not."""
        matched = matched_axes(volume_geometry.ijk_to_ras, grid.ijk_to_ras)
        axes, scales, offsets = matched[0], matched[1].tolist(), matched[2].tolist()
        return cls(axes, (scales[0], scales[1], scales[2]), (offsets[0], offsets[1], offsets[2]))
