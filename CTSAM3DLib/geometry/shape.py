"""Simple shape of a mask: where it lies, how large it is and of how many parts it consists."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import IJK
from CTSAM3DLib.geometry.grid import Geometry

_DIGITS = 3


@dataclass(frozen=True)
class Shape:
    """What is measured of a mask that is not empty.

    Examples
    --------
    >>> mask = np.zeros((4, 4, 4), bool)
    >>> mask[0, 0, :2] = mask[3, 3, 3] = True
    >>> shape = Shape.of(mask, (0, 0, 0), Geometry(np.diag([2.0, 1.0, 1.0, 1.0]), mask.shape))
    >>> shape.parts, round(shape.largest_part, 2), shape.size_ras_mm
    (2, 0.67, (8.0, 4.0, 4.0))
    """

    centre_ras: tuple[float, ...]  # Mean position of the voxels, mm
    # Edges of the box along R, A and S round the centres of the voxels, plus one voxel
    size_ras_mm: tuple[float, ...]
    # Full axes of the ellipsoid with the same second moments, longest first, mm
    axes_mm: tuple[float, ...]
    parts: int  # Pieces that touch neither by face, edge nor corner
    largest_part: float  # Fraction of the voxels that the largest piece has

    @classmethod
    def of(cls, mask_kji: NDArray[np.bool_], start_ijk: IJK, geometry: Geometry) -> Shape | None:
        """Measure a mask (K, J, I) that lies at `start_ijk` of the volume; None if it is empty."""
        if not mask_kji.any():
            return None
        axes = geometry.ijk_to_ras[:3, :3]
        count, total, products = 0, np.zeros(3), np.zeros((3, 3))
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for k in np.flatnonzero(mask_kji.any(axis=(1, 2))):  # a slice at a time saves memory
            j, i = np.nonzero(mask_kji[k])
            points = np.stack([i, j, np.full(len(i), k)], axis=1) @ axes.T
            count, total = count + len(points), total + points.sum(axis=0)
            products += points.T @ points
            low = np.minimum(low, points.min(axis=0))
            high = np.maximum(high, points.max(axis=0))
        mean = total / count
        own = axes @ axes.T / 12.0  # of one voxel about its own centre
        moments = np.linalg.eigvalsh(products / count - np.outer(mean, mean) + own)
        labels, parts = ndimage.label(mask_kji, np.ones((3, 3, 3)))
        largest = np.bincount(labels.ravel())[1:].max()
        return cls(
            centre_ras=_rounded(geometry.ras_from_ijk(start_ijk) + mean),
            size_ras_mm=_rounded(high - low + np.abs(axes).sum(axis=1)),
            axes_mm=_rounded(np.sqrt(20.0 * moments[::-1])),
            parts=int(parts),
            largest_part=round(float(largest) / count, _DIGITS),
        )

    def rows(self) -> dict[str, float | int | list[float]]:
        """Return the values as JSON has them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return values with the digits that a report has."""
    return tuple(round(float(value), _DIGITS) for value in values)
