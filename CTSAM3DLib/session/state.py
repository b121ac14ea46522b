"""What a session knows of one structure after each click: a value that never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.resampling import volume_bbox_of_grid_bbox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Prompt, Prompts
from CTSAM3DLib.session.mask import logits_of_mask, positive_on_volume
from CTSAM3DLib.session.points import Place, box_of, contained
from CTSAM3DLib.session.tips import Tip

LOGITS_BLOCK = 32
MASK_BLOCK = 64

_PART = 2 * MASK_BLOCK  # edge of what is resampled at once: 20 MB; 64 take 1.3 times as long

_NOT_FALLEN = -1e-3  # next to 1, values between them are above 0 nearly all the way

Boxes = tuple[BoundingBox, ...]


@dataclass(frozen=True, eq=False)
class SessionState:
    """Everything that a list of prompts has made of one structure. Never changed.

    Examples
    --------
    >>> grid = Geometry(np.eye(4), (4, 5, 6))
    >>> state = SessionState.empty(grid, grid)
    >>> state.mask.shape_kji, len(state.prompts), state.given is state
    ((4, 5, 6), 0, True)
    """

    # geometry, grid: Voxel grid of the volume and of the model
    geometry: Geometry
    grid: Geometry
    prompts: Prompts  # Oldest first
    # float16 on the model grid; NaN where no patch has been and no mask was given
    logits: BlockArray
    mask: BlockArray  # bool on the volume's own grid
    patches: Boxes = ()  # Patches of the model grid that were decoded, in the order of first use
    # Boxes of the model grid with an answer of larger voxels, or for a tip: there the
    # logits are known too, yet less exactly
    coarse: Boxes = ()
    # State of the same prompts without the last one; None for a state that was given
    parent: SessionState | None = None
    # The same prompts without what `following.followed` has added, from which the next
    # prompt goes on; None where nothing was followed
    answered: SessionState | None = None
    tips: tuple[Tip, ...] = ()  # What `following.followed` has added
    is_followed: bool = False  # Whether that was searched to its end
    # ``encode_ms``, ``decode_ms`` and ``resample_ms`` of the last prompt; empty when the
    # model was not asked. Not part of the result.
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def given(self) -> SessionState:
        """The state that this one has come from, in which the mask is the one that was given."""
        state = self
        while state.parent is not None:
            state = state.parent
        return state

    @classmethod
    def empty(cls, volume_geometry: Geometry, grid: Geometry) -> SessionState:
        """Return the state without prompts: an empty mask."""
        return cls(
            volume_geometry,
            grid,
            Prompts(),
            logits=BlockArray(grid.shape_kji, np.float16, np.nan, LOGITS_BLOCK),
            mask=BlockArray(volume_geometry.shape_kji, np.bool_, False, MASK_BLOCK),
        )

    @classmethod
    def of_mask(
        cls,
        mask: MaskUpdate,
        volume_geometry: Geometry,
        grid: Geometry,
        prompts: Prompts | None = None,
    ) -> SessionState:
        """Return a state with a given mask, voxel for voxel, that answers `prompts` already.

        The state has no patches and no parent. Its logits are those of `mask.logits_of_mask`, so
        that the model sees the mask as its earlier result. Raises VolumeError if the box of the
        mask is not inside the volume.
        """
        shape_kji = volume_geometry.shape_kji
        if not mask.bbox.is_empty and mask.bbox.clipped(shape_kji) != mask.bbox:
            raise VolumeError(
                f"expected a mask inside the volume of shape {shape_kji} (KJI), got {mask.bbox}"
            )
        empty = cls.empty(volume_geometry, grid)
        voxels = empty.mask.written(mask.bbox, mask.mask_kji)
        tight = BoundingBox.from_mask(mask.mask_kji).shifted(mask.bbox.start_ijk)
        logits = logits_of_mask(voxels, tight, volume_geometry, grid, empty.logits)
        listed = Prompts() if prompts is None else prompts
        return replace(empty, prompts=listed, logits=logits, mask=voxels)

    def with_prompt(self, prompt: Prompt) -> SessionState:
        """Return the state with one more prompt, not answered yet; this state is its parent.

        Its mask obeys the prompt already, also where no patch will answer it. Raises
        ClickOutsideVolumeError if a point of the prompt is not inside the volume.
        """
        place = Place.of(prompt, self.geometry, self.grid)
        mask = _with_voxels(self.mask, place.voxels, place.positive)
        prompts = self.prompts.added(prompt)
        return replace(self, prompts=prompts, mask=mask, parent=self, timings_ms={})

    def with_logits(
        self,
        box: BoundingBox,
        logits: NDArray[np.floating],
        coarse: bool = False,
        timings_ms: Mapping[str, float] | None = None,
    ) -> SessionState:
        """Return the state with other logits, before the sigmoid, in a box of the model grid.

        Logits, mask, patches and times change together (`with_prompt` changes the mask as well).
        Voxels of the volume whose centre lies neither in a patch that was decoded nor in a coarse
        box keep what they have. `coarse` logits come from an answer with larger voxels or for a
        tip, and their box is no patch; they add to a given mask and take nothing away. Every prompt
        is obeyed by its own voxels. Of a given mask, whose detail no grid holds, a positive prompt
        takes nothing away and a negative one only what is near to where the logits fall below 0,
        or to itself; it adds nothing. `timings_ms`, what the answer cost, is added to the times of
        this prompt.

        Examples
        --------
        >>> geometry = Geometry(np.eye(4), (4, 5, 6))
        >>> state = SessionState.empty(geometry, geometry)
        >>> state = state.with_logits(BoundingBox((0, 0, 0), (3, 4, 4)), np.ones((4, 4, 3)))
        >>> int(state.mask.dense().sum()), len(state.patches)
        (48, 1)
        """
        started = perf_counter()
        field_after = self.logits.written(box, logits)
        patches = self.patches if coarse else _including(self.patches, box)
        boxes = _including(self.coarse, box) if coarse else self.coarse
        mask = _mask_after(self, field_after, box, patches, boxes)
        spent = {**(timings_ms or {}), "resample_ms": 1000.0 * (perf_counter() - started)}
        return replace(
            self,
            logits=field_after,
            mask=mask,
            patches=patches,
            coarse=boxes,
            timings_ms=added_times(self.timings_ms, spent),
        )

    def changes_since(self, earlier: SessionState) -> MaskUpdate:
        """Return the tight box in which this mask differs from another one, with its content."""
        bbox = earlier.mask.changed_box(self.mask)
        return MaskUpdate(self.mask.read(bbox), bbox)


def added_times(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of times by name.

    Examples
    --------
    >>> added_times({"encode_ms": 2.0}, {"encode_ms": 3.0, "decode_ms": 1.0})
    {'encode_ms': 5.0, 'decode_ms': 1.0}
    """
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def _including(boxes: Boxes, box: BoundingBox) -> Boxes:
    """Return boxes with one more, unless it is there."""
    return boxes if box in boxes else (*boxes, box)


def _mask_after(
    before: SessionState, logits: BlockArray, changed: BoundingBox, patches: Boxes, coarse: Boxes
) -> BlockArray:
    """Return the mask after the logits in a box have changed to `logits`."""
    geometry, grid, mask = before.geometry, before.grid, before.mask
    places = [Place.of(prompt, geometry, grid) for prompt in before.prompts]
    box = _box_to_resample(before, logits, changed, places)
    decoded_boxes, coarse_boxes = (
        [volume_bbox_of_grid_bbox(one, grid, geometry) for one in boxes]
        for boxes in (patches, coarse)
    )
    given = before.given.mask
    adds_only = takes_only = False
    if before.prompts and not given.occupied_box().is_empty:
        adds_only, takes_only = before.prompts[-1].positive, not before.prompts[-1].positive
    fallen = _fallen(before, logits, changed, places[-1]) if takes_only else logits
    for part in box.parts(_PART):
        positive = positive_on_volume(logits, grid, geometry, part)
        if positive is False and before.mask.occupied_box(part).is_empty:
            continue
        decoded = inside_any(decoded_boxes, part)
        seen = decoded | inside_any(coarse_boxes, part)
        present = before.mask.read(part)
        kept = given.read(part) & ~decoded
        if adds_only:
            kept |= given.read(part) & present
        elif takes_only:
            near = positive_on_volume(fallen, grid, geometry, part)
            kept |= given.read(part) & present & np.logical_not(near)
            positive = positive & present
        mask = mask.written(part, np.where(seen, positive | kept, present))
    for place in places:
        answered = contained((*decoded_boxes, *coarse_boxes), place.voxels)
        answered |= contained((*patches, *coarse), place.on_grid)
        answered &= contained([box], place.voxels)
        mask = _with_voxels(mask, place.voxels[answered], place.positive)
    return mask


def _fallen(
    before: SessionState, logits: BlockArray, changed: BoundingBox, newest: Place
) -> BlockArray:
    """Return a field above 0 up to a voxel round what fell below 0, and round the newest prompt."""
    fell = (before.logits.read(changed) > 0) & ~(logits.read(changed) > 0)
    field = BlockArray(before.grid.shape_kji, np.float16, _NOT_FALLEN, LOGITS_BLOCK)
    field = field.written(changed, np.where(fell, 1.0, _NOT_FALLEN))
    return _with_voxels(field, newest.on_grid, 1.0)


def _box_to_resample(
    before: SessionState, logits: BlockArray, changed: BoundingBox, places: Sequence[Place]
) -> BoundingBox:
    """Return the voxels of the volume whose mask a change of the logits in a box may change.

    A voxel is positive only where a grid voxel next to it is; so only the surroundings of grid
    voxels that are or were positive count, most often a small part of the patch. So do voxels
    of a given mask, which may be smaller than a grid voxel, and the prompts.
    """
    region = changed.padded(1)
    positive = (before.logits.read(region) > 0) | (logits.read(region) > 0)
    reached = BoundingBox.from_mask(positive).shifted(region.start_ijk).padded(1)
    box = volume_bbox_of_grid_bbox(reached, before.grid, before.geometry)
    whole = volume_bbox_of_grid_bbox(changed, before.grid, before.geometry)
    box = box.union(before.mask.occupied_box(whole))
    for place in places:
        box = box.union(box_of(place.voxels[contained([changed], place.on_grid)]))
    return box


def inside_any(boxes: Iterable[BoundingBox], part: BoundingBox) -> NDArray[np.bool_]:
    """Return which voxels of a part of the volume lie in one of the boxes."""
    inside = np.zeros(part.shape_kji, bool)
    for box in boxes:
        common = box.intersection(part)
        if not common.is_empty:
            inside[common.relative_to(part).slices_kji] = True
    return inside


def _with_voxels(mask: BlockArray, voxels: NDArray[np.intp], value: float) -> BlockArray:
    """Return a mask or field with one value at some voxels, (N, 3) IJK."""
    box = box_of(voxels)
    content = mask.read(box).copy()
    content[tuple((voxels - np.array(box.start_ijk)).T[::-1])] = value
    return mask.written(box, content)
