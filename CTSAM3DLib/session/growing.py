"""Following a structure beyond the patch of its prompt.

A patch shows some 16 cm; lungs, aorta or spine are longer. So where the structure leaves the patch
of a positive prompt, the model is asked once with larger voxels and its answer refined in patches;
or the patches beyond the open faces are decoded, with the known logits as the earlier mask. What
`session.following` does instead needs no open face.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.prompts import Prompt
from CTSAM3DLib.session.coarse import CoarseAnswer, coarse_answer, with_coarse_answer
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.faces import Face, faces_of, leads_out, slab_layers
from CTSAM3DLib.session.growing_rules import GrowingRules, GrowMode
from CTSAM3DLib.session.patches import coarse_spacings_mm, patch_beyond
from CTSAM3DLib.session.points import anchor_voxel, cut_off, obeyed_in
from CTSAM3DLib.session.rules import LOGIT_LIMIT, allowed_change
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import (
    PatchAnswer,
    PatchView,
    answered_by,
    asked,
    joined,
    planned_patch,
)


@dataclass(frozen=True, eq=False)
class _Growth:
    """How a prompt is followed: what stays the same from patch to patch."""

    encoder: PatchEncoder
    before: SessionState  # Before the prompt
    prompt: Prompt
    mode: GrowMode
    rules: GrowingRules
    cancelled: Callable[[], bool]
    on_patch: Callable[[SessionState], object]

    @property
    def spacings_mm(self) -> tuple[float, ...]:
        """Voxel sizes of coarse answers; none without them."""
        if self.mode is not GrowMode.COARSE:
            return ()
        settings = self.encoder.predictor.settings
        spacing_mm = self.encoder.grid.spacing_mm[0]
        possible = coarse_spacings_mm(spacing_mm, settings.spacing_range_mm)
        return possible[: self.rules.max_patches - 1]

    def coarse_answer(self, state: SessionState) -> CoarseAnswer:
        """Ask for the structure with larger voxels."""
        face_voxels = self.rules.face_voxels
        return coarse_answer(self.encoder, state, self.prompt, self.spacings_mm, face_voxels)

    def is_open(self, face: Face, patches: Sequence[BoundingBox], goal: BlockArray | None) -> bool:
        """Tell whether the structure (with a goal: what that shows) goes on beyond a face."""
        leading = leads_out(face, patches, self.encoder.grid.shape_kji)
        if goal is None:
            leading &= face.reached
        else:
            layers = face.beyond(slab_layers(face.patch, face.axis))
            leading &= np.any(goal.read(layers) > 0, axis=2 - face.axis, keepdims=True)
        return int(leading.sum()) > self.rules.face_voxels


def grown_state(
    encoder: PatchEncoder,
    state: SessionState,
    prompt: Prompt,
    rules: GrowingRules | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_patch: Callable[[SessionState], object] = lambda _: None,
    mode: GrowMode = GrowMode.FRONTIER,
) -> SessionState:
    """Return the state after one more prompt, followed beyond its patch as `mode` says.

    As `step.answered`, and after a positive prompt on through open faces: those where the prompt
    has made more than `face_voxels` new voxels of the structure which lead out of all patches. So a
    correction inside patches that were decoded grows only where it opens a face, and a negative
    prompt never does.

    In mode ``coarse`` an open face leads to an answer with larger voxels first
    (`coarse.coarse_answer`), which counts where it agrees with the answer for the prompt's own
    patch (`coarse_dice`). If it does not, the model does not know the structure in larger voxels,
    and the prompt is not followed; nor is it by a model without larger voxels. A negative prompt
    where only a coarse answer has been asks for another one, and takes away what that lacks.

    The patch beyond a face sees all points in it and the known logits as the earlier mask; its
    answer is refused, and nothing of it kept, when it does not agree with what was known
    (`overlap_dice`): the model has lost the structure or leaked. With a trained cross-patch
    predictor the peak of the heat map is one more positive point, and a low peak is the end of the
    structure; after a coarse answer it is not asked.

    `cancelled` is asked before each patch but the prompt's own; True ends with what is there.
    `on_patch` is told the state after each patch that counts, the prompt's own first. Unless it is
    cancelled, the result depends on encoder, state, prompt, `rules` and `mode` alone. Mode ``auto``
    is `following.followed`. Errors are those of `step.answered`.
    """
    rules = GrowingRules() if rules is None else rules
    growth = _Growth(encoder, state, prompt, mode, rules, cancelled, on_patch)
    patch = planned_patch(encoder, state, prompt)
    view = PatchView.of(state.with_prompt(prompt), patch)
    if view.has_nothing_to_correct:
        return view.state
    if not prompt.positive:
        return _corrected(growth, view)
    answer = answered_by(encoder, view, prompt)
    grown = joined(view, answer)
    growth.on_patch(grown)
    faces = [*faces_of(patch, answer, view.known)]
    if not mode or not any(growth.is_open(face, grown.patches, None) for face in faces):
        return grown
    if mode is GrowMode.COARSE:
        return _followed_coarsely(growth, view, grown, faces) if growth.spacings_mm else grown
    return _followed(growth, grown, faces, None, 1)


def _followed_coarsely(
    growth: _Growth, view: PatchView, grown: SessionState, faces: Sequence[Face]
) -> SessionState:
    """Return a state with a coarse answer, and what follows from it."""
    if growth.cancelled():
        return grown
    coarse = growth.coarse_answer(grown)
    answer = faces[0].answer
    if coarse.agreement(view.patch, answer.logits) <= growth.rules.coarse_dice:
        return grown
    seen = with_coarse_answer(view.state, coarse, before=growth.before)
    grown = joined(PatchView.of(seen, view.patch), answer)
    growth.on_patch(grown)
    return _followed(growth, grown, faces, seen.logits, 1 + coarse.count)


def _corrected(growth: _Growth, view: PatchView) -> SessionState:
    """Return a state with a negative prompt answered."""
    state = view.state
    at = anchor_voxel(growth.prompt, state.grid)
    only_coarse = any(box.contains(at) for box in state.coarse) and not any(
        patch.contains(at) for patch in state.patches
    )
    if only_coarse and growth.spacings_mm and not growth.cancelled():
        state = with_coarse_answer(state, growth.coarse_answer(state), shrink=True)
        view = PatchView.of(state, view.patch)
    return joined(view, answered_by(growth.encoder, view, growth.prompt))


def _followed(
    growth: _Growth,
    grown: SessionState,
    faces: Sequence[Face],
    goal: BlockArray | None,
    count: int,
) -> SessionState:
    """Return a state with the patches beyond open faces decoded, and so on."""
    waiting, tried = deque(faces), {faces[0].patch}
    while waiting and count < growth.rules.max_patches:
        face = waiting.popleft()
        beyond = patch_beyond(face.patch, face.axis, face.side, grown.grid.shape_kji)
        if beyond in tried or not growth.is_open(face, grown.patches, goal):
            continue
        if growth.cancelled():
            break
        tried.add(beyond)
        count += 1
        view = PatchView.of(grown, beyond)
        if goal is None:
            found = _answer_beyond(growth, face, view)
        else:
            found = _refined_answer(growth, view)
        if found is not None:
            known = growth.before.logits.read(beyond)
            cut = cut_off(growth.prompt, grown.grid, beyond, found.logits, known)
            points_kji, labels = obeyed_in(grown.prompts, grown.grid, beyond)
            logits = allowed_change(known, cut, points_kji, labels, True)
            found = replace(found, logits=logits)
            grown = joined(view, found)
            growth.on_patch(grown)
            waiting.extend(faces_of(beyond, found, known))
    return grown


def _refined_answer(growth: _Growth, view: PatchView) -> PatchAnswer | None:
    """Return the answer near the surface of a coarse one for a patch; None if refused."""
    answer = asked(growth.encoder, view)
    if dice(answer.logits > 0, view.known > 0) <= growth.rules.overlap_dice:
        return None
    known = np.nan_to_num(view.known.astype(np.float32), nan=-LOGIT_LIMIT)
    inside = (known > 0).view(np.uint8)
    size = 2 * growth.rules.band_voxels + 1
    near = ndimage.maximum_filter(inside, size) != ndimage.minimum_filter(inside, size)
    return replace(answer, logits=np.where(near, answer.logits, known))


def _answer_beyond(growth: _Growth, face: Face, view: PatchView) -> PatchAnswer | None:
    """Return the answer for the patch beyond a face; None if it is refused."""
    view = _unfaded(view, face, growth.before)
    hints: NDArray[np.intp] | None = None
    if growth.encoder.predictor.settings.cross_patch_trained:
        heat, voxel_kji = _peak(growth.encoder, face.patch, view)
        if heat < growth.rules.heat_peak:
            return None
        hints = np.array([voxel_kji])
    answer = asked(growth.encoder, view, hints)
    known = ~np.isnan(view.known)
    agreement = dice((answer.logits > 0) & known, view.known > 0)
    return answer if agreement > growth.rules.overlap_dice else None


def _unfaded(view: PatchView, face: Face, before: SessionState) -> PatchView:
    """Return a view with the answer behind the face where blending with older logits faded it."""
    shared = view.patch.intersection(face.patch)
    older = ~np.isnan(before.logits.read(shared))
    answer = face.answer.logits[shared.relative_to(face.patch).slices_kji]
    limited = np.clip(answer, -LOGIT_LIMIT, LOGIT_LIMIT)
    known = view.known.copy()
    known[shared.relative_to(view.patch).slices_kji][older] = limited[older]
    return replace(view, known=known)


def _peak(encoder: PatchEncoder, source: BoundingBox, view: PatchView) -> tuple[float, IJK]:
    """Return height and voxel (k, j, i) of the heat map's peak outside known background."""
    predictor, image = encoder.predictor, encoder.image(view.patch)
    if predictor.settings.cross_patch_aligned:
        known = np.where(np.isnan(view.known), np.float32(np.nan), image)
        heat: NDArray[np.float32] = predictor.cross_patch(known, view.known > 0, image)
    else:
        mask = view.state.logits.read(source) > 0
        heat = predictor.cross_patch(encoder.image(source), mask, image)
    possible = np.zeros(heat.shape, bool)
    in_grid = view.patch.clipped(encoder.grid.shape_kji)
    possible[in_grid.relative_to(view.patch).slices_kji] = True
    possible &= ~(view.known <= 0)
    heat = np.where(possible, heat, -np.inf)
    k, j, i = (int(at) for at in np.unravel_index(int(heat.argmax()), heat.shape))
    return float(heat[k, j, i]), (k, j, i)
