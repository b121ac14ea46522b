"""From one frame of a series to the next: prompts and mask are carried on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.errors import ClickOutsideVolumeError, GeometryError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Prompt, Prompts
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.patches import centred_patch
from CTSAM3DLib.session.points import contained, obeyed_voxels
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import (
    PatchView,
    allowed_with_edges,
    asked,
    joined,
    opposed,
    planned_patch,
)

LEAST_DICE = 0.6
"""Masks of neighbouring frames that agree less, once their middles are on each other, are told."""

MOST_GROWTH = 1.4
"""So many times the volume of the frame before, or its inverse, is told."""

_UNCOVERED = 0.1  # share of the earlier mask that may lie in no patch
_MOST_PATCHES = 16


def carried_state(
    encoder: PatchEncoder,
    prompts: Prompts,
    earlier: MaskUpdate,
    cancelled: Callable[[], bool] = lambda: False,
) -> SessionState:
    """Return the state of prompts on a new frame; the model is shown the mask of the frame before.

    The prompts are in the RAS frame of the new volume (see `followed_prompts`), each of them a step
    of the state; `earlier` is on a voxel grid of the same shape. It limits nothing: what it shows
    may go, and what it lacks may come. Where more than a tenth of it lies in no patch of a prompt,
    further patches follow it. `cancelled` is asked before each patch; True ends with what is there.
    Raises ClickOutsideVolumeError, VolumeError: a prompt or the mask is not inside the volume.
    """
    geometry, grid = encoder.volume.geometry, encoder.grid
    shown = SessionState.of_mask(earlier, geometry, grid)
    state = SessionState.empty(geometry, grid)
    for prompt in prompts:
        if cancelled():
            return state
        patch = planned_patch(encoder, state, prompt)
        view = PatchView.of(state.with_prompt(prompt), patch)
        if view.has_nothing_to_correct:
            state = view.state
            continue
        answer = opposed(encoder, view, prompt, asked(encoder, _with_earlier(view, shown)))
        state = joined(view, allowed_with_edges(encoder, view, answer, prompt))
    if not prompts:
        return state
    box = shown.logits.occupied_box()
    inside = np.argwhere(shown.logits.read(box) > 0)[:, ::-1] + np.array(box.start_ijk)
    size = encoder.predictor.settings.patch_size
    while len(state.patches) < _MOST_PATCHES and not cancelled():
        left = inside[~contained(state.patches, inside)]
        if len(left) <= _UNCOVERED * len(inside):
            break
        nearest = left[np.argmin(np.linalg.norm(left - np.median(left, axis=0), axis=1))]
        patch = centred_patch(nearest.tolist(), grid.shape_kji, size)
        view = PatchView.of(state, patch)
        hint_kji = nearest[None, ::-1] - np.array(patch.start_ijk)[::-1]
        state = joined(view, asked(encoder, _with_earlier(view, shown), hint_kji))
    return state


def _with_earlier(view: PatchView, shown: SessionState) -> PatchView:
    """Return a view in which the earlier frame stands where nothing is known of this one."""
    earlier = shown.logits.read(view.patch)
    return replace(view, known=np.where(np.isnan(view.known), earlier, view.known))


def middle_ras(mask: MaskUpdate, geometry: Geometry) -> NDArray[np.float64]:
    """Return the centre of gravity of a mask that is not empty, mm RAS."""
    kji = np.array(ndimage.center_of_mass(mask.mask_kji))
    return geometry.ras_from_ijk(kji[::-1] + np.array(mask.bbox.start_ijk))


def moved_prompts(prompts: Prompts, way_mm: Sequence[float], geometry: Geometry) -> Prompts:
    """Return prompts moved along with their structure, by mm along R, A, S.

    One that would leave the volume stays where it is.
    """
    return Prompts(_moved(prompt, np.asarray(way_mm, float), geometry) for prompt in prompts)


def followed_prompts(
    prompts: Prompts, earlier: MaskUpdate, later: MaskUpdate, geometry: Geometry
) -> Prompts:
    """Return the prompts of a frame where they belong now, after its mask has been found.

    They move as the middle of the mask did from the frame before, `earlier`, to this one; an empty
    mask moves nothing. One that the later mask would contradict there stays.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.box import BoundingBox
    >>> from CTSAM3DLib.prompts import Click
    >>> geometry = Geometry(np.eye(4), (9, 9, 9))
    >>> one, two = (
    ...     MaskUpdate(np.ones((3, 3, 3), bool), BoundingBox((i, 0, 0), (i + 3, 3, 3)))
    ...     for i in (0, 2)
    ... )
    >>> followed_prompts(Prompts([Click((1, 1, 1))]), one, two, geometry)[0].position_ras
    (3.0, 1.0, 1.0)
    """
    if earlier.bbox.is_empty or later.bbox.is_empty:
        return prompts
    way_mm = middle_ras(later, geometry) - middle_ras(earlier, geometry)
    moved = moved_prompts(prompts, way_mm.tolist(), geometry)
    return Prompts(
        new if _agrees(new, later, geometry) else old
        for old, new in zip(prompts, moved, strict=True)
    )


def _agrees(prompt: Prompt, mask: MaskUpdate, geometry: Geometry) -> bool:
    """Tell whether a mask has the sign of a prompt wherever it must be obeyed."""
    voxels = obeyed_voxels(prompt, geometry)
    inside = contained([mask.bbox], voxels)
    values = np.zeros(len(voxels), bool)
    at = (voxels[inside] - np.array(mask.bbox.start_ijk)).T[::-1]
    values[inside] = mask.mask_kji[tuple(at)]
    return bool(np.all(values == prompt.positive))


def _moved(prompt: Prompt, way_mm: NDArray[np.float64], geometry: Geometry) -> Prompt:
    """Return a prompt a way further, or as it is where it has no place there."""
    try:
        moved = prompt.with_corners(prompt.corners_ras + way_mm)
        obeyed_voxels(moved, geometry)
    except (ClickOutsideVolumeError, GeometryError):
        return prompt
    return moved


@dataclass(frozen=True)
class Drift:
    """How the mask of a frame differs from that of the frame before."""

    way_mm: float  # How far the middle has moved
    agreement: float  # Dice of both masks once their middles are on each other, to a voxel
    growth: float  # Volume as a multiple of the one before

    @classmethod
    def between(cls, earlier: MaskUpdate, later: MaskUpdate, geometry: Geometry) -> Drift:
        """Compare two masks on the same voxels.

        Examples
        --------
        >>> from CTSAM3DLib.geometry.box import BoundingBox
        >>> geometry = Geometry(np.eye(4), (9, 9, 9))
        >>> one = MaskUpdate(np.ones((2, 2, 2), bool), BoundingBox((0, 0, 0), (2, 2, 2)))
        >>> two = MaskUpdate(np.ones((2, 2, 4), bool), BoundingBox((3, 0, 0), (7, 2, 2)))
        >>> drift = Drift.between(one, two, geometry)
        >>> drift.way_mm, round(drift.agreement, 2), drift.growth
        (4.0, 0.67, 2.0)
        """
        sizes = [int(one.mask_kji.sum()) for one in (earlier, later)]
        if not all(sizes):
            return cls(0.0, float(sizes[0] == sizes[1]), float(sizes[0] == sizes[1]))
        middles = [middle_ras(one, geometry) for one in (earlier, later)]
        way = np.rint(np.subtract(*geometry.ijk_from_ras(np.array(middles[::-1])))).astype(int)
        i, j, k = way.tolist()
        moved = earlier.bbox.shifted((i, j, k))
        box = moved.union(later.bbox)
        both = [MaskUpdate(earlier.mask_kji, moved).content(box), later.content(box)]
        distance = float(np.linalg.norm(middles[1] - middles[0]))
        return cls(distance, float(dice(*both)), sizes[1] / sizes[0])

    @property
    def is_suspicious(self) -> bool:
        """Whether the mask may have lost the structure."""
        is_like = 1.0 / MOST_GROWTH <= self.growth <= MOST_GROWTH
        return not is_like or self.agreement < LEAST_DICE
