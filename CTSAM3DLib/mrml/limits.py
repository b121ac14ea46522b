"""A box of Markups as the limit of the work on a volume."""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray

from CTSAM3DLib.errors import NodeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.mrml.frames import (
    array_from_matrix,
    geometry_from_node,
    linear_matrix_between,
    name_of,
)


def voxels_inside_roi(
    roi_node: slicer.vtkMRMLMarkupsROINode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    bbox: BoundingBox,
) -> NDArray[np.bool_]:
    """Tell which voxels of a box of the volume, (K, J, I), have their centre inside a ROI.

    The ROI may be turned against the volume; the parent transforms of both count. Raises NodeError:
    it has no size yet, or a non-linear transform lies between both nodes; VolumeError: the volume
    has no voxels.

    Examples
    --------
    >>> import vtk
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> volume, roi = slicer.vtkMRMLScalarVolumeNode(), slicer.vtkMRMLMarkupsROINode()
    >>> volume.SetAndObserveImageData(image)
    >>> roi.SetCenter(2, 2, 2)
    >>> roi.SetSize(2, 4, 2)
    >>> int(voxels_inside_roi(roi, volume, BoundingBox.from_shape((5, 6, 7))).sum())
    45
    """
    matrix, half_mm = _to_roi(roi_node, volume_node)
    steps = [
        np.arange(a, b, dtype=np.float64)
        for a, b in zip(bbox.start_ijk, bbox.stop_ijk, strict=True)
    ]
    inside = np.ones(bbox.shape_kji, dtype=bool)
    for row, reach in zip(matrix[:3], half_mm, strict=True):
        i, j, k = (factor * step for factor, step in zip(row, steps, strict=False))
        across = row[3] + k[:, None, None] + j[None, :, None] + i[None, None, :]
        inside &= np.abs(across) <= reach + 1e-6
    return inside


def box_of_roi(
    roi_node: slicer.vtkMRMLMarkupsROINode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> BoundingBox:
    """Return the box of the volume round a ROI, see `voxels_inside_roi`; also for errors.

    Examples
    --------
    >>> import vtk
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> volume, roi = slicer.vtkMRMLScalarVolumeNode(), slicer.vtkMRMLMarkupsROINode()
    >>> volume.SetAndObserveImageData(image)
    >>> roi.SetCenter(2, 2, 2)
    >>> roi.SetSize(2, 4, 20)
    >>> box_of_roi(roi, volume)
    BoundingBox(start_ijk=(1, 0, 0), stop_ijk=(4, 5, 5))
    """
    matrix, half_mm = _to_roi(roi_node, volume_node)
    corners = np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3), axis=-1).reshape(-1, 3) * half_mm
    corners_ijk = np.linalg.solve(matrix[:3, :3], (corners - matrix[:3, 3]).T).T
    i, j, k = np.ceil(corners_ijk.min(axis=0) - 1e-6).astype(int).tolist()
    i1, j1, k1 = np.floor(corners_ijk.max(axis=0) + 1.0 + 1e-6).astype(int).tolist()
    return BoundingBox((i, j, k), (i1, j1, k1)).clipped(geometry_from_node(volume_node).shape_kji)


def _to_roi(
    roi_node: slicer.vtkMRMLMarkupsROINode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix from voxels of a volume to the axes of a ROI, and half its size in mm."""
    half_mm = np.array(roi_node.GetSize()) / 2
    if not (half_mm > 0).all():
        raise NodeError(
            f"expected {name_of(roi_node)} to have a size, got {(2 * half_mm).tolist()} mm"
        )
    to_roi = np.linalg.inv(array_from_matrix(roi_node.GetObjectToNodeMatrix()))
    ijk_to_ras = geometry_from_node(volume_node).ijk_to_ras
    return to_roi @ linear_matrix_between(volume_node, roi_node) @ ijk_to_ras, half_mm
