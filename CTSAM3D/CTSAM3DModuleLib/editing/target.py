"""What is edited: a segment, the volume that is clicked, and the settings of the editor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import slicer
from numpy.typing import NDArray

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import ClickOutsideVolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.mrml import (
    SegmentTarget,
    box_of_roi,
    mask_digest,
    prompts_text,
    read_segment,
    read_segment_in,
    segment_model,
    volume_identity,
    voxels_inside_roi,
    write_segment,
)
from CTSAM3DLib.mrml.frames import geometry_from_node, linear_matrix_between, text_of
from CTSAM3DLib.mrml.labelmaps import layer_of
from CTSAM3DLib.mrml.segments import check_binary_labelmap
from CTSAM3DLib.mrml.tags import segment_of
from CTSAM3DLib.prompts import Prompt, Prompts, volume_id_from_json
from CTSAM3DLib.session.points import box_of, obeyed_voxels
from CTSAM3DModuleLib.widgets import DEFAULT_MODEL

_SEGMENT_EVENTS = (
    "SegmentAdded",
    "SegmentRemoved",
    "SegmentModified",
    "SourceRepresentationModified",
)


@dataclass(frozen=True)
class EditTarget:
    """A segment under the hands of a user."""

    segmentation_node: slicer.vtkMRMLSegmentationNode  # Holds the segment
    segment_id: str  # Id, not name
    volume_node: slicer.vtkMRMLScalarVolumeNode  # The clicked volume
    editor_node: slicer.vtkMRMLSegmentEditorNode  # Its masks are honoured
    roi_node: slicer.vtkMRMLMarkupsROINode | None = None  # Voxels outside this box are left alone
    # Other segments lose voxels as the overwrite mode of the editor node says
    overwrites: bool = False
    apart: bool = False  # Takes no voxel of another segment

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells apart structures of one scene; one segment on two volumes is two."""
        return (self.segmentation_node.GetID(), self.segment_id, self.volume_node.GetID())

    def exists(self, scene: slicer.vtkMRMLScene) -> bool:
        """Tell whether all nodes are still in a scene and the segment still exists."""
        nodes = (self.segmentation_node, self.volume_node, self.editor_node)
        if not all(scene.IsNodePresent(node) for node in nodes):
            return False
        return self.segmentation_node.GetSegmentation().GetSegment(self.segment_id) is not None

    def check(self, prompts: Iterable[Prompt] = ()) -> None:
        """Raise what asking and writing would raise, before any time is spent.

        Raises ClickOutsideVolumeError: a prompt lies outside the volume; NodeError: no such
        segment, not stored as a binary labelmap, or a non-linear transform between segmentation and
        volume; VolumeError: the volume has no voxels.
        """
        segment_of(self.segmentation_node, self.segment_id)
        check_binary_labelmap(self.segmentation_node)
        geometry = geometry_from_node(self.volume_node)
        for prompt in prompts:
            obeyed_voxels(prompt, geometry)
        linear_matrix_between(self.volume_node, self.segmentation_node)

    def stored_prompts(self) -> Prompts:
        """Return the prompts in the tag of the segment; none if they belong to another volume."""
        return self._prompts_in_tag(here=True)

    def prompts_elsewhere(self) -> Prompts:
        """Return the prompts in the tag if they belong to another volume; else none."""
        return self._prompts_in_tag(here=False)

    def _prompts_in_tag(self, here: bool) -> Prompts:
        text = prompts_text(self.segmentation_node, self.segment_id)
        if not text:
            return Prompts()
        owner = volume_id_from_json(text)
        is_here = owner is None or same_volume(owner, volume_identity(self.volume_node).key)
        return Prompts.from_json(text) if is_here == here else Prompts()

    def stamp(self) -> tuple[str, int, int]:
        """Return what changes whenever the stored labelmap may have changed; cheap."""
        layer = layer_of(self.segmentation_node, self.segment_id)
        if layer is None:
            return ("", 0, 0)
        label = segment_of(self.segmentation_node, self.segment_id).GetLabelValue()
        return (layer.GetAddressAsString("vtkObject"), layer.GetMTime(), label)

    def digest(self) -> str:
        """Return what tells whether the stored voxels are the same."""
        return mask_digest(self.segmentation_node, self.segment_id)

    def has_voxels(self) -> bool:
        """Tell whether the segment holds anything."""
        return self.digest() != "empty"

    def mask(self) -> MaskUpdate:
        """Return the segment on the voxels of the volume."""
        return read_segment(self.segmentation_node, self.segment_id, self.volume_node)

    def change_to(self, mask: MaskUpdate) -> MaskUpdate:
        """Return a whole mask as a change of the present one."""
        box = self.mask().bbox.union(mask.bbox)
        return MaskUpdate(mask.content(box), box)

    def is_changed_by(self, update: MaskUpdate) -> bool:
        """Tell whether a change of the mask that respects the limits changes anything."""
        limited = self._limited(update)
        return not np.array_equal(limited.mask_kji, self.mask().content(limited.bbox))

    @property
    def own_model(self) -> str:
        """The model that the segment has for itself; empty for the one of all."""
        return segment_model(self.segmentation_node, self.segment_id)

    def own(self, choice: ModelChoice) -> ModelChoice:
        """Return a choice for what the segment is, with the model that it has for itself."""
        name = text_of(segment_of(self.segmentation_node, self.segment_id).GetName())
        return for_structure(choice, name, self.own_model)

    def limit(self) -> BoundingBox | None:
        """Return the voxels of the volume round the box, outside of which nothing changes."""
        return None if self.roi_node is None else box_of_roi(self.roi_node, self.volume_node)

    def check_limits(self, prompt: Prompt) -> None:
        """Raise ClickOutsideVolumeError for a prompt that is not wholly inside the box.

        Of a prompt with a box of its own the middle must be. Neither may one lie inside that is
        in a segment whose voxels are not taken.
        """
        if self.apart and prompt.positive:
            self._check_apart(prompt)
        if self.roi_node is None:
            return
        geometry = geometry_from_node(self.volume_node)
        if prompt.bounds is None:
            voxels = obeyed_voxels(prompt, geometry)
        else:
            voxels = geometry.voxels_from_ras([prompt.anchor_ras])
        box = box_of(voxels)
        inside = voxels_inside_roi(self.roi_node, self.volume_node, box)
        if not inside[tuple((voxels - np.array(box.start_ijk)).T[::-1])].all():
            raise ClickOutsideVolumeError(
                f"expected a point inside the box {self.roi_node.GetName()!r}, got one outside"
            )

    def _check_apart(self, prompt: Prompt) -> None:
        """Raise ClickOutsideVolumeError for a prompt in the voxels of another segment."""
        i, j, k = geometry_from_node(self.volume_node).voxel_from_ras(prompt.anchor_ras)
        box = BoundingBox((i, j, k), (i + 1, j + 1, k + 1))
        for other, mask in self._others(box):
            if mask.any():
                name = self.segmentation_node.GetSegmentation().GetSegment(other).GetName()
                raise ClickOutsideVolumeError(
                    f"expected a point outside the other segments, got one in {name!r}. Switch "
                    "off 'Keep out of other segments' to let them overlap"
                )

    def _others(self, bbox: BoundingBox) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Give id and voxels, in a box of the volume, of each other segment."""
        for other in self.segmentation_node.GetSegmentation().GetSegmentIDs():
            if other != self.segment_id:
                yield other, self._in(bbox, other)

    def _in(self, bbox: BoundingBox, segment_id: str) -> NDArray[np.bool_]:
        return read_segment_in(self.segmentation_node, segment_id, self.volume_node, bbox)

    def write(
        self,
        update: MaskUpdate,
        prompts: Prompts | None,
        editor_logic: slicer.vtkSlicerSegmentEditorLogic,
        save_state: Callable[[], object],
    ) -> None:
        """Write a change of the mask, but not outside the box; see `write_segment`."""
        segment = SegmentTarget(
            self.segmentation_node,
            self.segment_id,
            self.volume_node,
            editor_logic,
            self.overwrites,
        )
        write_segment(segment, self._limited(update), prompts, save_state)

    def _limited(self, update: MaskUpdate) -> MaskUpdate:
        """Return a change that leaves alone what is outside the box, or belongs to others."""
        if update.bbox.is_empty or (self.roi_node is None and not self.apart):
            return update
        kept, new = self._in(update.bbox, self.segment_id), update.mask_kji.copy()
        if self.apart:
            for _, other in self._others(update.bbox):
                new &= kept | ~other
        if self.roi_node is not None:
            inside = voxels_inside_roi(self.roi_node, self.volume_node, update.bbox)
            new[~inside] = kept[~inside]
        return MaskUpdate(new, update.bbox)


def for_structure(choice: ModelChoice, name: str, own_model: str = "") -> ModelChoice:
    """Return a choice for a structure of a name; a model of its own counts if it has one."""
    anatomy = find(name)
    choice = replace(choice, anatomy="" if anatomy is None else anatomy.name)
    if not own_model:
        return choice
    return replace(choice, model=None if own_model == DEFAULT_MODEL else own_model)


def segment_events() -> list[int]:
    """Return the events of a segmentation that undo, redo and other tools send."""
    return [getattr(slicer.vtkSegmentation, name) for name in _SEGMENT_EVENTS]


def same_volume(stored: str, present: str) -> bool:
    """Tell whether two volume keys mean one volume: names may change, the geometry may not.

    Examples
    --------
    >>> same_volume("CT#c0de", "CT_1#c0de"), same_volume("CT#c0de", "CT#beef")
    (True, False)
    """
    return stored.rpartition("#")[2] == present.rpartition("#")[2]
