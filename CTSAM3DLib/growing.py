"""Following a structure beyond the patch of its click, patch by patch through open faces.

A patch shows some 10 cm; lungs, aorta or spine are longer. After a positive click the patches
next to it are decoded where the structure leaves the patch, with what is known of it as the
earlier mask, until it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.bounding_box import IJK, BoundingBox
from CTSAM3DLib.click_step import PatchAnswer, PatchView, ask, with_answer, with_click
from CTSAM3DLib.fusion import LOGIT_LIMIT
from CTSAM3DLib.metrics import dice
from CTSAM3DLib.patch_encoder import PatchEncoder
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.roi import patch_beyond
from CTSAM3DLib.session_state import SessionState

SLAB_FRACTION = 16
"""What ends within 1/16 of the edge before a face counts as leaving: models are shy there."""

MOVED_BORDER_VOXELS = 2
"""Voxels this near to what a face showed before are a border that moved, not something new."""


@dataclass(frozen=True)
class GrowingRules:
    """When a neighbouring patch is looked at, and when its answer counts.

    Parameters
    ----------
    max_patches : int
        Most patches that are decoded for one click, its own and refused ones included.
    face_voxels : int
        A face is open when more voxels of it than this belong to the structure, or come after
        it within `SLAB_FRACTION`, and lead out of all patches.
    overlap_dice : float
        An answer counts when its Dice with what was known before is above this.
    heat_peak : float
        With a trained cross-patch predictor: the structure goes on where the peak of its heat
        map is at least this high.

    Examples
    --------
    >>> GrowingRules().max_patches
    32
    """

    max_patches: int = 32
    face_voxels: int = 24
    overlap_dice: float = 0.7
    heat_peak: float = 0.3


@dataclass(frozen=True, eq=False)
class _Face:
    """One of the six faces of a patch, and where something new reaches it."""

    patch: BoundingBox
    answer: PatchAnswer
    axis: int
    side: int  # -1 at the start of the axis, 1 at its stop
    reached: NDArray[np.bool_]  # one layer of voxels

    @property
    def outside(self) -> BoundingBox:
        """The layer of voxels beyond this face."""
        offset = [0, 0, 0]
        offset[self.axis] = self.side
        return _slab(self.patch, self.axis, self.side, 1).shifted(offset)


def grown_state(
    encoder: PatchEncoder,
    state: SessionState,
    click: Click,
    rules: GrowingRules | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_patch: Callable[[SessionState], None] | None = None,
) -> SessionState:
    """Return the state after one more click, followed beyond its patch.

    As `click_step.next_state`, and after a positive click on through open faces: those where
    the click has made more than `face_voxels` new voxels of the structure which lead out of all
    patches. So a correction inside patches that were decoded grows only where it opens a face,
    and a negative click never does. The patch beyond a face sees all clicks in it and the known
    logits as the earlier mask; its answer is refused, and nothing of it kept, when it does not
    agree with what was known (`overlap_dice`): the model has lost the structure or leaked. With
    a trained cross-patch predictor the peak of the heat map is one more positive click, and a
    low peak is the end of the structure.

    The result depends on volume, model, rules, `state` and click alone, unless it is cancelled.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    state : SessionState
        Before the click.
    click : Click
        In the RAS frame of the volume.
    rules : GrowingRules, optional
        Limits; default: `GrowingRules()`.
    cancelled : callable, optional
        Asked before each patch but the click's own; True ends with what is there.
    on_patch : callable, optional
        Told the state after each patch that counts, the click's own first.

    Returns
    -------
    SessionState
        With `state` as its parent.

    Raises
    ------
    ClickOutsideVolumeError
        If the click is not inside the volume.
    """
    rules = GrowingRules() if rules is None else rules
    grown, view = with_click(encoder, state, click)
    if view is None:
        return grown
    answer = ask(encoder, view)
    grown = with_answer(encoder, grown, view, answer)
    if not click.positive:
        return grown
    _tell(on_patch, grown)
    waiting = deque(_faces(view.patch, answer, state))
    tried = {view.patch}
    while waiting and len(tried) < rules.max_patches:
        face = waiting.popleft()
        beyond = patch_beyond(face.patch, face.axis, face.side, encoder.grid.shape_kji)
        if beyond in tried or _open_voxels(encoder, grown, face) <= rules.face_voxels:
            continue
        if cancelled is not None and cancelled():
            break
        tried.add(beyond)
        beyond_view = PatchView.of(encoder, grown, beyond)
        found = _answer_beyond(encoder, grown, face, _unfaded(beyond_view, face, state), rules)
        if found is not None:
            grown = with_answer(encoder, grown, beyond_view, found)
            _tell(on_patch, grown)
            waiting.extend(_faces(beyond, found, state))
    return grown


def _tell(on_patch: Callable[[SessionState], None] | None, state: SessionState) -> None:
    if on_patch is not None:
        on_patch(state)


def _faces(patch: BoundingBox, answer: PatchAnswer, before: SessionState) -> Iterator[_Face]:
    """Yield the faces of a patch with what the answer shows there and nothing showed before.

    The answer itself, since blending fades it out where background was known before.
    """
    for axis in range(3):
        for side in (-1, 1):
            slab = _slab(patch, axis, side, max(patch.size_ijk[axis] // SLAB_FRACTION, 1))
            old = (before.logits.read(slab) > 0).view(np.uint8)
            near_old = ndimage.maximum_filter(old, 2 * MOVED_BORDER_VOXELS + 1) > 0
            new = (answer.logits[slab.relative_to(patch).slices_kji] > 0) & ~near_old
            reached: NDArray[np.bool_] = np.any(new, axis=2 - axis, keepdims=True)
            yield _Face(patch, answer, axis, side, reached)


def _slab(patch: BoundingBox, axis: int, side: int, depth: int) -> BoundingBox:
    """Return the outermost layers of voxels of a patch at one of its faces."""
    start, stop = list(patch.start_ijk), list(patch.stop_ijk)
    if side > 0:
        start[axis] = stop[axis] - depth
    else:
        stop[axis] = start[axis] + depth
    return BoundingBox((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _open_voxels(encoder: PatchEncoder, state: SessionState, face: _Face) -> int:
    """Return how many voxels of a face are reached and lead out of all patches, in the grid."""
    outside = face.outside
    leads_out = np.zeros(outside.shape_kji, bool)
    in_grid = outside.clipped(encoder.grid.shape_kji)
    if in_grid.is_empty:
        return 0
    leads_out[in_grid.relative_to(outside).slices_kji] = True
    for patch in state.patches:
        covered = patch.intersection(outside)
        if not covered.is_empty:
            leads_out[covered.relative_to(outside).slices_kji] = False
    return int((face.reached & leads_out).sum())


def _unfaded(view: PatchView, face: _Face, before: SessionState) -> PatchView:
    """Return a view with the answer behind the face where blending with older logits faded it."""
    shared = view.patch.intersection(face.patch)
    older = ~np.isnan(before.logits.read(shared))
    answer = face.answer.logits[shared.relative_to(face.patch).slices_kji]
    limited = np.clip(answer, -LOGIT_LIMIT, LOGIT_LIMIT)
    previous = view.previous.copy()
    previous[shared.relative_to(view.patch).slices_kji][older] = limited[older]
    return replace(view, previous=previous)


def _answer_beyond(
    encoder: PatchEncoder, state: SessionState, face: _Face, view: PatchView, rules: GrowingRules
) -> PatchAnswer | None:
    """Return the answer for the patch beyond a face; None if it is refused."""
    hints: list[IJK] = []
    if encoder.predictor.settings.cross_patch_trained:
        heat, voxel = _peak(encoder, state, face.patch, view)
        if heat < rules.heat_peak:
            return None
        hints.append(voxel)
    answer = ask(encoder, view, hints)
    known = ~np.isnan(view.previous)
    agreement = dice((answer.logits > 0) & known, view.previous > 0)
    return answer if agreement > rules.overlap_dice else None


def _peak(
    encoder: PatchEncoder, state: SessionState, source: BoundingBox, view: PatchView
) -> tuple[float, IJK]:
    """Return height and voxel (i, j, k) of the peak of the heat map in a patch.

    Not where the patch is known to be background or reaches over the border of the grid.
    """
    heat: NDArray[np.float32] = encoder.predictor.cross_patch(
        encoder.image(source), state.logits.read(source) > 0, encoder.image(view.patch)
    )
    possible = np.zeros(heat.shape, bool)
    in_grid = view.patch.clipped(encoder.grid.shape_kji)
    possible[in_grid.relative_to(view.patch).slices_kji] = True
    possible &= ~(view.previous <= 0)
    heat = np.where(possible, heat, -np.inf)
    k, j, i = (int(at) for at in np.unravel_index(int(heat.argmax()), heat.shape))
    return float(heat[k, j, i]), (i, j, k)
