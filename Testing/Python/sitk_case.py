"""Voxel grids as images of SimpleITK, the oracle of where voxels lie."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from CTSAM3DLib.geometry.grid import Geometry

FLIP = np.array([-1, -1, 1])  # LPS to RAS, written out here independently of the library


def sitk_image(geometry: Geometry) -> sitk.Image:
    """An image of one byte a voxel with origin, spacing and direction from the bare matrix."""
    matrix = np.asarray(geometry.ijk_to_ras)
    spacing = np.sqrt((matrix[:3, :3] ** 2).sum(axis=0))
    k, j, i = geometry.shape_kji
    image = sitk.Image([i, j, k], sitk.sitkUInt8)
    image.SetOrigin((matrix[:3, 3] * FLIP).tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((FLIP[:, None] * matrix[:3, :3] / spacing).ravel().tolist())
    return image


def corners_ijk(geometry: Geometry, margin: float = 0.5) -> NDArray[np.float64]:
    """The eight corners of the voxel box (8, 3), as continuous indices."""
    ends = [(-margin, size - 1 + margin) for size in geometry.size_ijk]
    return np.array(np.meshgrid(*ends)).reshape(3, 8).T
