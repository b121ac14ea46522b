"""What goes into a session and what comes out: a CT volume, and a change of its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError, VolumeError
from CTSAM3DLib.geometry.affine import finite_array, read_only
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume: voxels in HU and where they lie. Compared by identity.

    The array is neither copied nor converted: the volume holds a read-only view, so the caller must
    not change the voxels while it is in use. Raises VolumeError: not an array of numbers, not 3D,
    empty, complex, a mask, with masked, NaN or infinite voxels, or `geometry` is none of their
    shape.

    Examples
    --------
    >>> volume = Volume.from_array(np.zeros((4, 5, 6), dtype=np.int16), (0.7, 0.7, 1.5))
    >>> volume.geometry.size_ijk
    (6, 5, 4)
    >>> Volume.from_array(np.zeros((4, 5, 6, 3)), (1, 1, 1))
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.VolumeError: expected a 3D scalar volume, got shape (4, 5, 6, 3)
    """

    array_kji: NDArray[Any]  # (K, J, I), integer or real floating dtype, HU
    geometry: Geometry  # Place of the voxels; its shape is that of the array
    name: str = ""  # For messages and file names

    def __post_init__(self) -> None:
        array = _checked_voxels(self.array_kji)
        if not isinstance(self.geometry, Geometry):
            raise VolumeError(f"expected a Geometry, got {type(self.geometry).__name__}")
        if array.shape != self.geometry.shape_kji:
            raise VolumeError(
                f"expected voxels of shape {self.geometry.shape_kji}, got {array.shape}"
            )
        object.__setattr__(self, "array_kji", read_only(array))

    @classmethod
    def from_array(
        cls,
        array_kji: NDArray[Any],
        spacing_mm: Sequence[float],
        origin_ras: Sequence[float] = (0.0, 0.0, 0.0),
        name: str = "",
    ) -> Volume:
        """Build a volume whose i, j, k run along R, A, S.

        `spacing_mm` is along i, j, k: in the order of points, not of the array; `origin_ras` the
        centre of voxel (0, 0, 0), mm. Raises VolumeError: see `Volume`; GeometryError: spacing or
        origin are not three finite numbers, or a spacing is not > 0.
        """
        voxels = _checked_voxels(array_kji)
        spacing = finite_array(spacing_mm, (3,), "a spacing")
        if not (spacing > 0).all():
            raise GeometryError(
                f"expected a spacing > 0 mm along every axis, got {spacing.tolist()}"
            )
        matrix = np.diag([*spacing, 1.0])
        matrix[:3, 3] = finite_array(origin_ras, (3,), "an origin")
        return cls(
            voxels, Geometry(matrix, (voxels.shape[0], voxels.shape[1], voxels.shape[2])), name
        )


def _checked_voxels(array: object) -> NDArray[Any]:
    """Return `array` if it can be the voxels of a volume; VolumeError otherwise."""
    if not isinstance(array, np.ndarray):
        raise VolumeError(f"expected voxels as a numpy array, got {type(array).__name__}")
    if np.ma.is_masked(array):
        count = int(np.ma.getmaskarray(array).sum())
        raise VolumeError(
            f"expected a value in every voxel, got {count} that are masked; "
            "give these voxels a HU, -1024 for air: array.filled(-1024)"
        )
    if array.dtype.kind not in "iuf":
        hint = " (a mask, not HU)" if array.dtype.kind == "b" else ""
        raise VolumeError(f"expected integer or real voxels, got dtype {array.dtype}{hint}")
    if array.ndim != 3:
        raise VolumeError(f"expected a 3D scalar volume, got shape {array.shape}")
    if array.size == 0:
        raise VolumeError(f"expected a volume with voxels, got shape {array.shape}")
    if array.dtype.kind == "f":
        _check_finite(array)
    return array


def _check_finite(array: NDArray[Any]) -> None:
    """Raise VolumeError if a voxel is NaN or infinite."""
    # A sum carries every NaN and infinity and needs no temporary mask; it may overflow by
    # itself, so only then are the voxels checked one by one.
    with np.errstate(invalid="ignore", over="ignore"):
        total = array.sum(dtype=np.result_type(array.dtype, np.float32))
    if np.isfinite(total):
        return
    bad = ~np.isfinite(array)
    if bad.any():
        k, j, i = np.argwhere(bad)[0].tolist()
        raise VolumeError(
            f"expected finite voxels, got {int(bad.sum())} NaN or infinite, "
            f"the first at IJK {(i, j, k)}; give these voxels a HU, -1024 for air"
        )


@dataclass(frozen=True, eq=False)
class MaskUpdate:
    """The part of a segment's mask that a step changed, with its new content.

    Raises VolumeError: not bool, or not the shape of the box.

    Examples
    --------
    >>> update = MaskUpdate(np.ones((1, 2, 3), dtype=bool), BoundingBox((4, 4, 4), (7, 6, 5)))
    >>> mask = np.zeros((9, 9, 9), dtype=bool)
    >>> mask[update.bbox.slices_kji] = update.mask_kji
    >>> int(mask.sum())
    6
    """

    mask_kji: NDArray[np.bool_]  # New content of the whole box, (K, J, I); a read-only view
    bbox: BoundingBox  # Place in the volume; empty when nothing changed

    def __post_init__(self) -> None:
        kind = getattr(self.mask_kji, "dtype", type(self.mask_kji).__name__)
        if kind != np.bool_:
            raise VolumeError(f"expected a bool mask, got {kind}")
        if self.mask_kji.shape != self.bbox.shape_kji:
            raise VolumeError(
                f"expected a mask of shape {self.bbox.shape_kji}, got {self.mask_kji.shape}"
            )
        object.__setattr__(self, "mask_kji", read_only(self.mask_kji))

    @classmethod
    def nothing(cls) -> MaskUpdate:
        """Return the empty mask."""
        return cls(np.zeros((0, 0, 0), np.bool_), BoundingBox.empty())

    def content(self, bbox: BoundingBox) -> NDArray[np.bool_]:
        """Return what is in another box, as a new array: False outside the mask's own box."""
        content = np.zeros(bbox.shape_kji, np.bool_)
        common = self.bbox.intersection(bbox)
        if not common.is_empty:
            source = self.mask_kji[common.relative_to(self.bbox).slices_kji]
            content[common.relative_to(bbox).slices_kji] = source
        return content
