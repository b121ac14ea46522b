"""Masks on the voxel grids of a segmentation: read, resample, and hand to VTK.

A *lattice* is the (4, 4) matrix from voxel indices to the own RAS frame of the segmentation. The
boxes on it may be anywhere, also at negative indices, as in the labelmaps of Slicer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from scipy import ndimage
from vtk.util.numpy_support import vtk_to_numpy

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml.frames import array_from_matrix, matrix_from_array

Lattice = NDArray[np.float64]

SAME_VOXELS_TOLERANCE = 1e-2
"""Two lattices are the same if no voxel of a box lies further off, in voxels."""

_OUTSIDE = 2
SLAB = 32  # slices
_KJI = [2, 1, 0]


def lattice_of(image: slicer.vtkOrientedImageData) -> Lattice:
    """Return the voxel index -> RAS matrix of an image."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return array_from_matrix(matrix)


def box_of(image: slicer.vtkOrientedImageData) -> BoundingBox:
    """Return the extent of an image as a half-open box; empty if it has no voxel."""
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    if i1 < i0 or j1 < j0 or k1 < k0:
        return BoundingBox.empty()
    return BoundingBox((i0, j0, k0), (i1 + 1, j1 + 1, k1 + 1))


def voxels_of(image: slicer.vtkOrientedImageData) -> NDArray[Any]:
    """Return the voxels of an image as a KJI view of shape ``box_of(image).shape_kji``."""
    scalars = image.GetPointData().GetScalars()
    shape = box_of(image).shape_kji
    if scalars is None or 0 in shape:
        return np.zeros((0, 0, 0), dtype=np.uint8)
    view: NDArray[Any] = vtk_to_numpy(scalars).reshape(shape)
    return view


def empty_image(lattice: Lattice, bbox: BoundingBox) -> slicer.vtkOrientedImageData:
    """Return an image with that geometry and no voxels, as Slicer takes for a reference."""
    image = slicer.vtkOrientedImageData()
    (i0, j0, k0), (i1, j1, k1) = bbox.start_ijk, bbox.stop_ijk
    image.SetExtent(i0, i1 - 1, j0, j1 - 1, k0, k1 - 1)
    image.SetGeometryFromImageToWorldMatrix(matrix_from_array(lattice))
    return image


def oriented_image(lattice: Lattice, mask: MaskUpdate) -> slicer.vtkOrientedImageData:
    """Return a mask as a label image of Slicer: uint8, 0 and 1, its box as the extent."""
    image = empty_image(lattice, mask.bbox)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    if not mask.bbox.is_empty:
        voxels_of(image)[...] = mask.mask_kji
    return image


def layer_of(
    segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str
) -> slicer.vtkOrientedImageData | None:
    """Return the stored labelmap of a segment, shared with other segments; None if it has none."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    return segment.GetRepresentation(name)


def stored_mask(
    segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str
) -> tuple[Lattice | None, MaskUpdate]:
    """Return the lattice of a segment, None if it is empty, and its voxels, tight."""
    lattice, bbox = stored_box(segmentation_node, segment_id)
    return lattice, MaskUpdate(stored_part(segmentation_node, segment_id, bbox), bbox)


def stored_box(
    segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str
) -> tuple[Lattice | None, BoundingBox]:
    """Return lattice and tight box of a segment without a copy of its voxels.

    The layer that holds them may be as large as the volume: it is looked at in slabs.
    """
    layer = layer_of(segmentation_node, segment_id)
    found = BoundingBox.empty()
    if layer is None:
        return None, found
    label = segmentation_node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    voxels, start_ijk = voxels_of(layer), box_of(layer).start_ijk
    for k in range(0, voxels.shape[0], SLAB):
        slab = BoundingBox.from_mask(voxels[k : k + SLAB] == label)
        found = found.union(slab.shifted((0, 0, k)))
    return (None, found) if found.is_empty else (lattice_of(layer), found.shifted(start_ijk))


def stored_part(
    segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str, bbox: BoundingBox
) -> NDArray[np.bool_]:
    """Return the voxels of a segment in a box of its own lattice; False where nothing is stored."""
    content = np.zeros(bbox.shape_kji, dtype=bool)
    layer = layer_of(segmentation_node, segment_id)
    common = BoundingBox.empty() if layer is None else box_of(layer).intersection(bbox)
    if layer is not None and not common.is_empty:
        label = segmentation_node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
        source = voxels_of(layer)[common.relative_to(box_of(layer)).slices_kji]
        np.equal(source, label, out=content[common.relative_to(bbox).slices_kji])
    return content


def tight(mask: MaskUpdate) -> MaskUpdate:
    """Return the mask without the empty margin of its box.

    Examples
    --------
    >>> voxels = np.zeros((3, 3, 3), dtype=bool)
    >>> voxels[1, 1, 2] = True
    >>> tight(MaskUpdate(voxels, BoundingBox((5, 5, 5), (8, 8, 8)))).bbox
    BoundingBox(start_ijk=(7, 6, 6), stop_ijk=(8, 7, 7))
    """
    inner = BoundingBox.from_mask(mask.mask_kji)
    if inner.is_empty:
        return MaskUpdate.nothing()
    return MaskUpdate(mask.mask_kji[inner.slices_kji], inner.shifted(mask.bbox.start_ijk))


def same_lattice(first: Lattice, second: Lattice, bbox: BoundingBox) -> bool:
    """Whether voxels of equal index lie at the same place, all over a box."""
    shift = np.linalg.solve(first, second) - np.eye(4)
    corners = bbox.corners_ijk @ shift[:3, :3].T + shift[:3, 3]
    return bool(np.abs(corners).max() <= SAME_VOXELS_TOLERANCE)


def resampled(
    mask: MaskUpdate, source: Lattice, target: Lattice
) -> tuple[MaskUpdate, NDArray[np.bool_]]:
    """Return a mask of a `source` lattice on a `target` one, and the centres inside its box.

    Each voxel takes the value at its centre, False outside the box of the mask. Both lattices map
    to one common frame.

    Examples
    --------
    >>> mask = MaskUpdate(np.ones((1, 1, 2), dtype=bool), BoundingBox((4, 4, 4), (6, 5, 5)))
    >>> half = np.diag([0.5, 0.5, 0.5, 1.0])
    >>> half[:3, 3] = -0.25
    >>> int(resampled(mask, np.eye(4), half)[0].mask_kji.sum())
    16
    """
    if mask.bbox.is_empty:
        return MaskUpdate.nothing(), np.zeros((0, 0, 0), dtype=bool)
    to_source = np.linalg.solve(source, target)
    bbox = box_between(mask.bbox, source, target)
    first = to_source[:3, :3] @ bbox.start_ijk + to_source[:3, 3] - mask.bbox.start_ijk
    values = ndimage.affine_transform(
        mask.mask_kji.astype(np.uint8),
        to_source[:3, :3][np.ix_(_KJI, _KJI)],
        offset=first[_KJI],
        output_shape=bbox.shape_kji,
        order=0,
        mode="grid-constant",  # "constant" would cut the outer half of the border voxels off
        cval=_OUTSIDE,
    )
    return MaskUpdate(values == 1, bbox), values != _OUTSIDE


def box_between(bbox: BoundingBox, source: Lattice, target: Lattice) -> BoundingBox:
    """Return the box on a `target` lattice that holds all of one on a `source` lattice."""
    to_target = np.linalg.solve(target, source)
    corners = bbox.corners_ijk @ to_target[:3, :3].T + to_target[:3, 3]
    start = np.floor(corners.min(axis=0)).astype(int)
    stop = np.ceil(corners.max(axis=0)).astype(int) + 1
    return BoundingBox(tuple(start.tolist()), tuple(stop.tolist()))
