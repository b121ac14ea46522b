"""Writing a mask into a segment, exactly, with Slicer's masks, overwrite mode and undo."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import slicer
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry import BoundingBox, Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml import masking
from CTSAM3DLib.mrml.frames import geometry_from_node, linear_matrix_between
from CTSAM3DLib.mrml.labelmaps import (
    Lattice,
    box_of,
    empty_image,
    lattice_of,
    layer_of,
    oriented_image,
    resampled,
    same_lattice,
    stored_box,
    stored_part,
    tight,
)
from CTSAM3DLib.mrml.segments import SegmentTarget, check_binary_labelmap
from CTSAM3DLib.mrml.tags import prompts_text, segment_of, set_prompts, set_tag
from CTSAM3DLib.prompts import CLICKS_TAG, Prompts

_ONE_VOXEL = BoundingBox((0, 0, 0), (1, 1, 1))


def write_segment(
    target: SegmentTarget,
    mask: MaskUpdate | NDArray[np.bool_],
    prompts: Prompts | None = None,
    save_state: Callable[[], object] | None = None,
) -> None:
    """Write a mask into a segment as one step that the segment editor can undo.

    Voxels outside the masks of the segment editor stay as they are; segments that its overwrite
    mode names give way, in the changed box, all others keep their voxels, overlaps included. The
    mask is exact where segmentation and volume share their voxels, under any linear transforms, or
    under the same non-linear one. Into other voxels (oversampled or imported segmentations) it goes
    by the value at each voxel centre; the segment keeps the grid that it is stored on.

    A MaskUpdate is a changed box of the volume, and leaves the rest of the segment alone; an array
    is the mask of the whole volume, and replaces the segment. Prompts are kept in the tag of the
    segment; None leaves the tag alone. `save_state` saves the state for undo, by default as
    `editor_logic` does. In an effect or beside an embedded segment editor widget pass the
    `saveStateForUndo` of that.

    Raises NodeError: no such segment; not stored as a binary labelmap; another segmentation in the
    editor; a mask setting that cannot be used; a non-linear transform between segmentation and
    volume; or Slicer reports an error. After this one, and any other, voxels and tag are put back.
    VolumeError: the volume has no voxels, or the mask does not fit it.

    Set mode needs a modifier over the old and the new voxels on the stored grid: with another grid
    the old voxels would stay, with a smaller box protected ones would vanish.
    """
    geometry = _checked(target, mask)
    plan = Plan(target, geometry, mask)
    text = prompts_text(target.segmentation_node, target.segment_id)
    (save_state or target.editor_logic.SaveStateForUndo)()
    if prompts is not None:
        # Before the voxels: whoever observes them compares the tag.
        set_prompts(target.segmentation_node, target.segment_id, prompts, target.volume_node)
    try:
        with masking.editing(target):
            plan.carry_out()
    except BaseException:
        if prompts is not None:
            set_tag(target.segmentation_node, target.segment_id, CLICKS_TAG, text)
        plan.take_back()
        raise


def _checked(target: SegmentTarget, mask: MaskUpdate | NDArray[np.bool_]) -> Geometry:
    """Return the geometry of the volume if the mask can be written into the target."""
    segment_of(target.segmentation_node, target.segment_id)
    check_binary_labelmap(target.segmentation_node)
    masking.check_editor(target)
    geometry = geometry_from_node(target.volume_node)
    if isinstance(mask, MaskUpdate):
        if mask.bbox.clipped(geometry.shape_kji) != mask.bbox and not mask.bbox.is_empty:
            raise VolumeError(
                f"expected a box inside a volume of size {geometry.size_ijk}, got {mask.bbox}"
            )
    elif mask.dtype != np.bool_ or mask.shape != geometry.shape_kji:
        raise VolumeError(
            f"expected a bool mask of shape {geometry.shape_kji}, got {mask.dtype} of shape "
            f"{mask.shape}"
        )
    return geometry


class Plan:
    """One write: old and new voxels on the lattice of the segment, and the way to change them.

    A changed box of a segment that has voxels is compared and written in that box alone, so that
    the cost follows the change and not the segment.
    """

    def __init__(
        self, target: SegmentTarget, geometry: Geometry, mask: MaskUpdate | NDArray[np.bool_]
    ) -> None:
        self._target = target
        self._editor_node = target.editor_logic.GetSegmentEditorNode()
        to_segmentation = linear_matrix_between(target.volume_node, target.segmentation_node)
        stored, self._old_box = stored_box(target.segmentation_node, target.segment_id)
        self._lattice = self._reference[0] if stored is None else stored
        self._is_new = stored is None
        self._replaces = not isinstance(mask, MaskUpdate)
        update = (
            mask
            if isinstance(mask, MaskUpdate)
            else tight(MaskUpdate(mask, BoundingBox.from_shape(mask.shape)))
        )
        self._unchanged = update.bbox.is_empty and not self._replaces
        self._changed: list[tuple[str, Lattice, MaskUpdate]] = []  # what was there before
        self._new, self._covered = self._moved(update, to_segmentation @ geometry.ijk_to_ras)

    @cached_property
    def _reference(self) -> tuple[Lattice, BoundingBox]:
        """Lattice for new segments and its extent, as the segment editor sees them."""
        node = self._target.segmentation_node
        segmentation = node.GetSegmentation()
        name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
        if not segmentation.GetConversionParameter(name):
            ids = segmentation.GetSegmentIDs()
            if all(stored_box(node, one)[0] is None for one in ids):
                node.SetReferenceImageGeometryParameterFromVolumeNode(self._target.volume_node)
        image = slicer.vtkOrientedImageData()
        text = self._target.editor_logic.GetReferenceImageGeometryString()
        slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False)
        return lattice_of(image), box_of(image)

    def carry_out(self) -> None:
        """Change the voxels."""
        bbox = self._new.bbox
        if self._replaces or self._is_new:
            bbox = self._old_box.union(bbox)
        if self._unchanged or bbox.is_empty:
            return
        if self._is_new:
            self._leave_foreign_layer()
        if (self._replaces or self._is_new) and self._can_set():
            self._set()
        else:
            self._write_difference(bbox)

    def take_back(self) -> None:
        """Put back the voxels of all segments that were changed, as after an error."""
        node, editor_node = self._target.segmentation_node, self._editor_node
        changed, self._changed = self._changed[::-1], []
        mode = editor_node.GetOverwriteMode()
        editor_node.SetOverwriteMode(editor_node.OverwriteNone)
        try:
            with masking.masks_off(editor_node):
                for segment_id, lattice, before in changed:
                    now = stored_part(node, segment_id, before.bbox)
                    for part, way in (
                        (now & ~before.mask_kji, "Remove"),
                        (before.mask_kji & ~now, "Add"),
                    ):
                        self._put(segment_id, lattice, MaskUpdate(part, before.bbox), way)
        finally:
            editor_node.SetOverwriteMode(mode)

    def _moved(
        self, update: MaskUpdate, volume: Lattice
    ) -> tuple[MaskUpdate, NDArray[np.bool_] | None]:
        """Return the new voxels on the segment's own lattice, and which of them they cover."""
        if update.bbox.is_empty or same_lattice(volume, self._lattice, update.bbox):
            return (tight(update) if self._replaces or self._is_new else update), None
        moved, covered = resampled(update, volume, self._lattice)
        return (tight(moved), None) if self._replaces or self._is_new else (moved, covered)

    def _leave_foreign_layer(self) -> None:
        """Take an empty segment out of a labelmap on another grid, which would be resampled."""
        node, segment_id = self._target.segmentation_node, self._target.segment_id
        layer = layer_of(node, segment_id)
        if layer is None or box_of(layer).is_empty:
            return
        if not _match(lattice_of(layer), self._lattice):
            node.GetSegmentation().SeparateSegmentLabelmap(segment_id)

    def _can_set(self) -> bool:
        """Whether Slicer's Set mode is exact: everything that takes part shares one grid."""
        if masking.has_masks(self._editor_node):
            reference, known = self._reference
            # Slicer makes its masks on the reference geometry; beyond it all would be editable.
            if not _match(self._lattice, reference):
                return False
            if self._new.bbox.intersection(known) != self._new.bbox:
                return False
        layers = (
            layer_of(self._target.segmentation_node, one)
            for one in masking.overwritten_segments(self._target)
        )
        return all(
            layer is None or box_of(layer).is_empty or _match(lattice_of(layer), self._lattice)
            for layer in layers
        )

    def _set(self) -> None:
        """Replace the segment in one call, masks and overwriting left to Slicer."""
        bbox = self._old_box.union(self._new.bbox)
        target = self._target
        for one in (target.segment_id, *masking.overwritten_segments(target)):
            self._remember(one, self._lattice, bbox)
        image = oriented_image(self._lattice, MaskUpdate(self._new.content(bbox), bbox))
        self.modify(target.segment_id, image, "Set", False)

    def _write_difference(self, bbox: BoundingBox) -> None:
        """Remove and add voxels on the grid of each segment, with masks and overwriting of ours."""
        target = self._target
        before = stored_part(target.segmentation_node, target.segment_id, bbox)
        after = self._new.content(bbox)
        if self._covered is not None:  # the box of a mask that was resampled is not all known
            after = np.where(self._covered, after, before)
        if masking.has_masks(self._editor_node):
            after = np.where(masking.editable_voxels(target, self._lattice, bbox), after, before)
        overwritten = masking.overwritten_segments(target)
        if np.array_equal(before, after):
            self._touch()
        with masking.masks_off(self._editor_node):
            self._put(target.segment_id, self._lattice, MaskUpdate(before & ~after, bbox), "Remove")
            for other in overwritten:
                self._overwrite(other, MaskUpdate(after, bbox))
            self._put(target.segment_id, self._lattice, MaskUpdate(after & ~before, bbox), "Add")

    def _touch(self) -> None:
        """Have Slicer's undo take back a step without a change, and not the one before."""
        layer = layer_of(self._target.segmentation_node, self._target.segment_id)
        if layer is not None:
            layer.Modified()

    def _overwrite(self, other: str, mask: MaskUpdate) -> None:
        """Have another segment give way to the present one."""
        node = self._target.segmentation_node
        layer = layer_of(node, other)
        if layer is None or box_of(layer).is_empty:
            return
        lattice = lattice_of(layer)
        final = mask
        if not same_lattice(lattice, self._lattice, mask.bbox):
            final, _ = resampled(tight(mask), self._lattice, lattice)
        if not final.bbox.is_empty:
            lost = stored_part(node, other, final.bbox) & final.mask_kji
            self._put(other, lattice, MaskUpdate(lost, final.bbox), "Remove")

    def _put(self, segment_id: str, lattice: Lattice, mask: MaskUpdate, mode: str) -> None:
        """Add voxels to a segment on its own lattice, or remove them."""
        part = tight(mask)
        if not part.bbox.is_empty:
            image = oriented_image(lattice, part)
            self._remember(segment_id, lattice, part.bbox)
            self.modify(segment_id, image, mode, True)

    def _remember(self, segment_id: str, lattice: Lattice, bbox: BoundingBox) -> None:
        """Keep what is there before it is changed."""
        before = stored_part(self._target.segmentation_node, segment_id, bbox)
        self._changed.append((segment_id, lattice, MaskUpdate(before, bbox)))

    def modify(
        self, segment_id: str, image: slicer.vtkOrientedImageData, mode: str, bypass_masks: bool
    ) -> None:
        """Call Slicer; the mode is Set, Add or Remove."""
        logic = self._target.editor_logic
        member = getattr(type(logic), f"ModificationMode{mode}")
        logic.ModifySegmentByLabelmap(
            self._target.segmentation_node, segment_id, image, member, True, bypass_masks
        )


def _match(first: Lattice, second: Lattice) -> bool:
    """Whether Slicer takes two lattices as one."""
    images = (empty_image(first, _ONE_VOXEL), empty_image(second, _ONE_VOXEL))
    return bool(slicer.vtkOrientedImageDataResample.DoGeometriesMatch(*images))
