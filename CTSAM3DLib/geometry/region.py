"""The occupied part of a large mask, to work on it alone; and checks of masks and voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.box import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class MaskPart:
    """The box of a mask that holds all its inside voxels, and its place in the whole.

    Examples
    --------
    >>> mask = np.zeros((5, 6, 7), dtype=bool)
    >>> mask[2, 3, 4:6] = True
    >>> part = MaskPart.of(mask, margin_kji=(0, 0, 3))
    >>> part.bbox
    BoundingBox(start_ijk=(1, 3, 2), stop_ijk=(7, 4, 3))
    >>> part.local([(2, 3, 4), (0, 0, 0)]).tolist()
    [[0, 0, 3]]
    >>> bool((part.whole(part.mask_kji) == mask).all())
    True
    """

    mask_kji: NDArray[np.bool_]  # (K, J, I): content of the box, a view of the whole mask
    bbox: BoundingBox  # Place in the whole mask
    shape_kji: tuple[int, int, int]  # Shape of the whole mask

    @classmethod
    def of(cls, mask_kji: NDArray[np.bool_], margin_kji: ArrayLike = (0, 0, 0)) -> MaskPart:
        """Return the tight box of a (K, J, I) mask, grown in the array; empty for an empty mask.

        `margin_kji` voxels are added on both sides along k, j, i; fractions are rounded up. Raises
        GeometryError: not a 3D bool mask.
        """
        k, j, i = checked_mask(mask_kji).shape
        tight = BoundingBox.from_mask(mask_kji)
        if tight.is_empty:
            return cls(mask_kji[tight.slices_kji], tight, (k, j, i))
        grow = np.ceil(np.asarray(margin_kji, dtype=np.float64)).astype(int)[::-1]
        start = (np.array(tight.start_ijk) - grow).tolist()
        stop = (np.array(tight.stop_ijk) + grow).tolist()
        box = BoundingBox(start, stop).clipped((k, j, i))
        return cls(mask_kji[box.slices_kji], box, (k, j, i))

    def local(self, voxels_kji: ArrayLike) -> NDArray[np.intp]:
        """Return those of some voxels KJI, (N, 3), in the part, counted from its first voxel.

        intp, in the same order. Raises GeometryError as `checked_voxels`.
        """
        start = np.array(self.bbox.start_ijk[::-1], dtype=np.intp)
        local = checked_voxels(voxels_kji, self.shape_kji) - start
        inside = ((local >= 0) & (local < self.bbox.shape_kji)).all(axis=1)
        return np.asarray(local[inside])

    def whole(self, content_kji: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a new whole mask with `content_kji` in this box and nothing elsewhere."""
        mask = np.zeros(self.shape_kji, dtype=np.bool_)
        mask[self.bbox.slices_kji] = content_kji
        return mask


def checked_mask(mask_kji: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask as it is; GeometryError unless it is a 3D bool array."""
    kind = getattr(mask_kji, "dtype", type(mask_kji).__name__)
    shape = np.shape(mask_kji)
    if kind != np.bool_ or len(shape) != 3:
        raise GeometryError(f"expected a 3D bool mask, got {kind} of shape {shape}")
    return mask_kji


def checked_spacing_kji(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return a voxel spacing along i, j, k in the order of the array, k, j, i.

    Raises GeometryError: not three finite numbers > 0.

    Examples
    --------
    >>> checked_spacing_kji((0.7, 0.8, 5)).tolist()
    [5.0, 0.8, 0.7]
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if spacing.shape != (3,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise GeometryError(f"expected 3 finite spacings > 0 mm, got {spacing_mm!r}")
    return spacing[::-1]


def checked_voxels(voxels_kji: ArrayLike, shape_kji: Sequence[int]) -> NDArray[np.intp]:
    """Return voxels as an (N, 3) array; no voxels give (0, 3).

    Raises GeometryError: not (N, 3) integers, or a voxel outside an array of shape `shape_kji`.
    """
    voxels = np.asarray(voxels_kji)
    if voxels.size == 0:
        return np.zeros((0, 3), dtype=np.intp)
    if voxels.dtype.kind not in "iu" or voxels.ndim != 2 or voxels.shape[1] != 3:
        raise GeometryError(
            f"expected voxels as (N, 3) integers, got {voxels.dtype} of shape {voxels.shape}"
        )
    outside = ((voxels < 0) | (voxels >= tuple(shape_kji))).any(axis=1)
    if outside.any():
        first = tuple(voxels[outside][0].tolist())
        raise GeometryError(f"expected voxels KJI inside {tuple(shape_kji)}, got {first}")
    return voxels.astype(np.intp)
