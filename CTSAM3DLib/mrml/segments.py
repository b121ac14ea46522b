"""Segmentation nodes: preparing them, adding segments and reading them on a volume."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray

from CTSAM3DLib.errors import NodeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml.frames import geometry_from_node, linear_matrix_between, name_of
from CTSAM3DLib.mrml.labelmaps import (
    SLAB,
    box_between,
    box_of,
    lattice_of,
    layer_of,
    resampled,
    same_lattice,
    stored_box,
    stored_mask,
    stored_part,
    tight,
)
from CTSAM3DLib.mrml.tags import describe_segment, segment_of


@dataclass(frozen=True)
class SegmentTarget:
    """A segment and all that is needed to write it."""

    segmentation_node: slicer.vtkMRMLSegmentationNode
    segment_id: str
    volume_node: slicer.vtkMRMLScalarVolumeNode  # The clicked volume: masks come on its voxels
    # With a segment editor node, whose masks are honoured
    editor_logic: slicer.vtkSlicerSegmentEditorLogic
    # Other segments lose voxels as the overwrite mode of the editor node says; else they keep all
    # of them, overlaps included, and the mode stays as it is
    overwrites: bool = True


def prepare_segmentation(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Put a new segmentation in the place of a volume: same parent transform, same voxels.

    To be called before the first segment is added. Raises NodeError: the segmentation has segments:
    their voxels would move or be resampled; VolumeError: the volume has no voxels.

    Examples
    --------
    >>> import vtk
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> volume, segmentation = slicer.vtkMRMLScalarVolumeNode(), slicer.vtkMRMLSegmentationNode()
    >>> volume.SetAndObserveImageData(image)
    >>> prepare_segmentation(segmentation, volume)
    >>> segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")[-12:]
    '0;6;0;5;0;4;'
    """
    geometry_from_node(volume_node)
    count = segmentation_node.GetSegmentation().GetNumberOfSegments()
    if count:
        raise NodeError(f"expected {name_of(segmentation_node)} without segments, got {count}")
    segmentation_node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)


def add_segment(segmentation_node: slicer.vtkMRMLSegmentationNode, name: str) -> str:
    """Add an empty segment for a structure, and return its id.

    Known anatomies ("liver", "kidney_left") get their label, colour and codes. Raises NodeError:
    Slicer refuses to add the segment.

    Examples
    --------
    >>> slicer.vtkSlicerSegmentationsModuleLogic().SetMRMLScene(slicer.vtkMRMLScene())
    >>> node = slicer.vtkMRMLSegmentationNode()
    >>> segment = node.GetSegmentation().GetSegment(add_segment(node, "kidney_left"))
    >>> segment.GetName(), segment.GetTerminology().split("~")[2]
    ('Left kidney', 'SCT^64033007^Kidney')
    """
    segment_id = segmentation_node.GetSegmentation().AddEmptySegment(name)
    if not segment_id:
        raise NodeError(
            f"expected {name_of(segmentation_node)} to take a segment {name!r}, got a refusal"
        )
    describe_segment(segmentation_node, segment_id, name)
    return str(segment_id)


def read_segment(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> MaskUpdate:
    """Return a segment on the voxels of a volume: a tight box inside it.

    Each voxel takes the value at its centre. Exact where both share their voxels, whatever linear
    transforms they are under. Raises NodeError: there is no such segment, it is not stored as a
    binary labelmap, or a non-linear transform lies between segmentation and volume; VolumeError:
    the volume has no voxels.
    """
    segment_of(segmentation_node, segment_id)
    check_binary_labelmap(segmentation_node)
    geometry = geometry_from_node(volume_node)
    to_segmentation = linear_matrix_between(volume_node, segmentation_node)
    lattice, mask = stored_mask(segmentation_node, segment_id)
    if lattice is None:
        return MaskUpdate.nothing()
    wanted = to_segmentation @ geometry.ijk_to_ras
    # Mostly both share their voxels; resampling a large segment takes seconds.
    same = same_lattice(lattice, wanted, mask.bbox)
    moved = mask if same else resampled(mask, lattice, wanted)[0]
    inside = moved.bbox.intersection(BoundingBox.from_shape(geometry.shape_kji))
    return tight(MaskUpdate(moved.content(inside), inside))


def read_segment_in(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    bbox: BoundingBox,
) -> NDArray[np.bool_]:
    """Return a segment, as `read_segment`, in a box of a volume; nothing else is looked at."""
    segment_of(segmentation_node, segment_id)
    check_binary_labelmap(segmentation_node)
    geometry = geometry_from_node(volume_node)
    to_segmentation = linear_matrix_between(volume_node, segmentation_node)
    layer = layer_of(segmentation_node, segment_id)
    if layer is None or bbox.is_empty:
        return np.zeros(bbox.shape_kji, dtype=bool)
    lattice, wanted = lattice_of(layer), to_segmentation @ geometry.ijk_to_ras
    stored = bbox
    if not same_lattice(lattice, wanted, bbox):
        stored = box_between(bbox, wanted, lattice).padded(1).intersection(box_of(layer))
    mask = MaskUpdate(stored_part(segmentation_node, segment_id, stored), stored)
    return (mask if stored == bbox else resampled(mask, lattice, wanted)[0]).content(bbox)


def mask_digest(segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> str:
    """Return a text that is equal for equal voxels of a segment: to see whether somebody drew.

    Raises NodeError: there is no such segment.
    """
    segment_of(segmentation_node, segment_id)
    lattice, bbox = stored_box(segmentation_node, segment_id)
    if lattice is None:
        return "empty"
    (i0, j0, k0), (i1, j1, k1) = bbox.start_ijk, bbox.stop_ijk
    voxels = 0
    for k in range(k0, k1, SLAB):
        slab = BoundingBox((i0, j0, k), (i1, j1, min(k + SLAB, k1)))
        part = stored_part(segmentation_node, segment_id, slab)
        voxels = zlib.crc32(np.packbits(part).tobytes(), voxels)
    return f"{np.round(lattice[:3], 4).tolist()} {bbox} {voxels:08x}"


def check_binary_labelmap(segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
    """Raise NodeError unless the segments are stored as binary labelmaps, which can be edited."""
    if not isinstance(segmentation_node, slicer.vtkMRMLSegmentationNode):
        got = type(segmentation_node).__name__
        raise NodeError(f"expected a vtkMRMLSegmentationNode, got {got}")
    source = segmentation_node.GetSegmentation().GetSourceRepresentationName()
    wanted = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if source != wanted:
        raise NodeError(
            f"expected {name_of(segmentation_node)} to be stored as {wanted!r}, got {source!r}: "
            "convert it first (SetSourceRepresentationToBinaryLabelMap of the segment editor "
            "logic); that is not free of loss, so ask the user"
        )
