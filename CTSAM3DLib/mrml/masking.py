"""The segment editor's settings: masks, overwrite mode, and errors that it would keep silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from CTSAM3DLib.errors import NodeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.mrml.frames import linear_matrix_between, matrix_from_array, name_of
from CTSAM3DLib.mrml.labelmaps import Lattice, empty_image, voxels_of
from CTSAM3DLib.mrml.segments import SegmentTarget


def has_masks(editor_node: slicer.vtkMRMLSegmentEditorNode) -> bool:
    """Whether editing is limited to a part of the image, by segments or by intensity."""
    everywhere = slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
    return bool(
        editor_node.GetMaskMode() != everywhere or editor_node.GetSourceVolumeIntensityMask()
    )


def check_editor(target: SegmentTarget) -> None:
    """Raise NodeError if the editor cannot write the target with its present settings.

    Slicer's own code would leave the segment as it is and say nothing. Raises NodeError: no editor
    node, one for another segmentation, or a mask whose segment, source volume or display node is
    missing.
    """
    editor_node = target.editor_logic.GetSegmentEditorNode()
    segmentation_node: Any = target.segmentation_node
    edited: Any = None if editor_node is None else editor_node.GetSegmentationNode()
    if edited is not segmentation_node:
        got = "none" if edited is None else name_of(edited)
        raise NodeError(f"expected a segment editor of {name_of(segmentation_node)}, got {got}")
    if editor_node.GetSourceVolumeIntensityMask() and editor_node.GetSourceVolumeNode() is None:
        raise NodeError(
            "expected a source volume of the segment editor for its intensity mask, got none"
        )
    mode = editor_node.GetMaskMode()
    visible = (
        slicer.vtkMRMLSegmentationNode.EditAllowedInsideVisibleSegments,
        slicer.vtkMRMLSegmentationNode.EditAllowedOutsideVisibleSegments,
    )
    if mode in visible and segmentation_node.GetDisplayNode() is None:
        raise NodeError(
            f"expected {name_of(segmentation_node)} to have a display node, since the mask of the "
            "segment editor refers to visible segments, got none"
        )
    if mode == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
        mask_id = editor_node.GetMaskSegmentID()
        if not mask_id or segmentation_node.GetSegmentation().GetSegment(mask_id) is None:
            raise NodeError(
                f"expected a segment as the mask of the segment editor, got {mask_id!r}"
            )


def overwritten_segments(target: SegmentTarget) -> list[str]:
    """Return the ids of the segments that give way to the target by the overwrite mode."""
    node = slicer.vtkMRMLSegmentEditorNode
    mode = target.editor_logic.GetSegmentEditorNode().GetOverwriteMode()
    segmentation_node = target.segmentation_node
    others = [
        segment_id
        for segment_id in segmentation_node.GetSegmentation().GetSegmentIDs()
        if segment_id != target.segment_id
    ]
    if mode == node.OverwriteNone or not target.overwrites:
        return []
    if mode == node.OverwriteAllSegments:
        return others
    display_node = segmentation_node.GetDisplayNode()
    if display_node is None:
        return []
    return [one for one in others if display_node.GetSegmentVisibility(one)]


@contextmanager
def editing(target: SegmentTarget) -> Iterator[None]:
    """Select the target's segment and its way of overwriting, and raise what the logic reports.

    Both are as before after the block. Raises NodeError: at the end of the block, if the logic has
    reported an error: the segment may be unchanged.
    """
    logic = target.editor_logic
    editor_node = logic.GetSegmentEditorNode()
    reports = _Reports()
    verbose, selected = logic.GetVerbose(), editor_node.GetSelectedSegmentID()
    overwrite_mode = editor_node.GetOverwriteMode()
    observer = logic.AddObserver(vtk.vtkCommand.ErrorEvent, reports)
    was_modifying = editor_node.StartModify()
    try:
        logic.SetVerbose(True)
        editor_node.SetSelectedSegmentID(target.segment_id)  # masks leave out this segment
        if not target.overwrites:
            editor_node.SetOverwriteMode(editor_node.OverwriteNone)
        yield
    finally:
        editor_node.SetSelectedSegmentID(selected)
        editor_node.SetOverwriteMode(overwrite_mode)
        editor_node.EndModify(was_modifying)
        logic.SetVerbose(verbose)
        logic.RemoveObserver(observer)
    if reports.texts:
        raise NodeError(
            f"expected Slicer to write segment {target.segment_id!r} of "
            f"{name_of(target.segmentation_node)}, got: {'; '.join(reports.texts)}"
        )


@contextmanager
def masks_off(editor_node: slicer.vtkMRMLSegmentEditorNode) -> Iterator[None]:
    """Let editing go everywhere during the block.

    Passing `bypassMasking` is not enough: the intensity mask would still apply, and removing
    with the mask "inside a segment" would add the removed voxels to that segment.
    """
    mode, intensity = editor_node.GetMaskMode(), editor_node.GetSourceVolumeIntensityMask()
    was_modifying = editor_node.StartModify()
    try:
        editor_node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        editor_node.SetSourceVolumeIntensityMask(False)
        yield
    finally:
        editor_node.SetMaskMode(mode)
        editor_node.SetSourceVolumeIntensityMask(intensity)
        editor_node.EndModify(was_modifying)


def editable_voxels(
    target: SegmentTarget, lattice: Lattice, bbox: BoundingBox
) -> NDArray[np.bool_]:
    """Return which voxels in a box of a lattice of the segmentation the editor's masks leave free.

    The target has been checked by `check_editor`; the result has the shape ``bbox.shape_kji``.
    Raises NodeError: Slicer cannot make the mask, or a non-linear transform lies before the source
    volume.
    """
    editor_node = target.editor_logic.GetSegmentEditorNode()
    mask = slicer.vtkOrientedImageData()
    made = target.segmentation_node.GenerateEditMask(
        mask,
        editor_node.GetMaskMode(),
        empty_image(lattice, bbox),
        target.segment_id,
        editor_node.GetMaskSegmentID() or "",
    )
    if not made:
        raise NodeError(f"expected an edit mask of {name_of(target.segmentation_node)}, got none")
    free = np.array(voxels_of(mask) == 0)
    if editor_node.GetSourceVolumeIntensityMask():
        free &= _inside_intensity_range(target, lattice, bbox)
    return free


def _inside_intensity_range(
    target: SegmentTarget, lattice: Lattice, bbox: BoundingBox
) -> NDArray[np.bool_]:
    """Return where the source volume, interpolated as Slicer does, lies in the editable range."""
    editor_node = target.editor_logic.GetSegmentEditorNode()
    source = editor_node.GetSourceVolumeNode()
    image = slicer.vtkOrientedImageData()
    vtk.vtkImageData.ShallowCopy(image, source.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    source.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    move = vtk.vtkTransform()
    move.SetMatrix(matrix_from_array(linear_matrix_between(source, target.segmentation_node)))
    aligned = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, empty_image(lattice, bbox), aligned, True, False, move
    )
    low, high = editor_node.GetSourceVolumeIntensityMaskRange()
    values = voxels_of(aligned)
    return np.asarray((values >= low) & (values <= high))


class _Reports:
    """Observer that keeps the texts of errors."""

    CallDataType = vtk.VTK_STRING  # makes VTK pass the text

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, caller: Any, event: str, text: str) -> None:  # noqa: ARG002
        # Where the segmentation stands in the subject hierarchy is not about its voxels.
        if "ubject hierarchy" not in text:
            self.texts.append(text.strip().splitlines()[-1])
