"""Following a structure beyond the patch of its click.

A patch shows some 10 cm; lungs, aorta or spine are longer. Where the structure leaves the patch
of a positive click, it is looked at once with larger voxels, or the patches beyond the open faces
are decoded, with what is known of it as the earlier mask; or both.
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
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.coarse import CoarseLook, look_from_afar, with_look
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.faces import Face, faces_of, leads_out, slab_layers
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.mask import grid_voxel
from CTSAM3DLib.session.patches import coarse_spacings_mm, patch_beyond
from CTSAM3DLib.session.rules import LOGIT_LIMIT
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import (
    PatchAnswer,
    PatchView,
    ask,
    ask_for_click,
    heeding,
    with_answer,
    with_click,
)


@dataclass(frozen=True)
class GrowingRules:
    """When the model is asked again, and when its answer counts.

    Parameters
    ----------
    max_patches : int
        Most times that the model is asked for one click, its own patch and refused ones included.
    face_voxels : int
        A face is open when more voxels of it than this belong to the structure, or come after
        it within `faces.SLAB_FRACTION`, and lead out of all patches.
    overlap_dice : float
        An answer counts when its Dice with what was known before is above this.
    coarse_dice : float
        A coarse look counts when its Dice with the answer for the click's own patch, in that, is
        above this.
    band_voxels : int
        In mode ``coarse``, finer patches move the surface of the coarse look by at most so much.
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
    coarse_dice: float = 0.7
    band_voxels: int = 6
    heat_peak: float = 0.3


@dataclass(frozen=True, eq=False)
class _Way:
    """How a click is followed: what stays the same from patch to patch.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    before : SessionState
        Before the click.
    mode : GrowMode
        How it is followed.
    rules : GrowingRules
        Limits.
    cancelled, on_patch : callable or None
        See `grown_state`.
    """

    encoder: PatchEncoder
    before: SessionState
    mode: GrowMode
    rules: GrowingRules
    cancelled: Callable[[], bool] | None
    on_patch: Callable[[SessionState], None] | None

    @property
    def spacings_mm(self) -> tuple[float, ...]:
        """Voxel sizes of coarse looks; none without them."""
        if not self.mode.looks_coarse:
            return ()
        settings = self.encoder.predictor.settings
        spacing_mm = self.encoder.grid.spacing_mm[0]
        return coarse_spacings_mm(spacing_mm, settings.spacing_range_mm)[
            : self.rules.max_patches - 1
        ]

    @property
    def stopped(self) -> bool:
        """Whether the user wants no more."""
        return self.cancelled is not None and self.cancelled()

    def tell(self, state: SessionState) -> None:
        """Show a state on the way."""
        if self.on_patch is not None:
            self.on_patch(state)

    def look(self, state: SessionState, click: Click) -> CoarseLook:
        """Look at the structure with larger voxels."""
        face_voxels = self.rules.face_voxels
        return look_from_afar(self.encoder, state, click, self.spacings_mm, face_voxels)

    def is_open(self, face: Face, patches: Sequence[BoundingBox], goal: BlockArray | None) -> bool:
        """Tell whether the structure goes on beyond a face, where no patch has been.

        With a goal, only where that shows the structure; in mode ``coarse``, wherever it does.
        """
        way_out = leads_out(face, patches, self.encoder.grid.shape_kji)
        if goal is None or self.mode is not GrowMode.COARSE:
            way_out &= face.reached
        if goal is not None:
            layers = face.beyond(slab_layers(face.patch, face.axis))
            way_out &= np.any(goal.read(layers) > 0, axis=2 - face.axis, keepdims=True)
        return int(way_out.sum()) > self.rules.face_voxels


def grown_state(
    encoder: PatchEncoder,
    state: SessionState,
    click: Click,
    rules: GrowingRules | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_patch: Callable[[SessionState], None] | None = None,
    mode: GrowMode = GrowMode.FRONTIER,
) -> SessionState:
    """Return the state after one more click, followed beyond its patch.

    As `click_step.next_state`, and after a positive click on through open faces: those where
    the click has made more than `face_voxels` new voxels of the structure which lead out of all
    patches. So a correction inside patches that were decoded grows only where it opens a face,
    and a negative click never does.

    In modes ``coarse`` and ``both`` an open face leads to a look with larger voxels first
    (`coarse.look_from_afar`), which counts where it agrees with the answer for the click's own
    patch (`coarse_dice`); if it does not, the model does not know the structure from afar, and
    the click is not followed. A model without larger voxels is followed as in ``frontier`` in
    mode ``both`` and not at all in mode ``coarse``. A negative click where only a coarse look has
    been looks again, and takes away what the new look does not show.

    The patch beyond a face sees all clicks in it and the known logits as the earlier mask; its
    answer is refused, and nothing of it kept, when it does not agree with what was known
    (`overlap_dice`): the model has lost the structure or leaked. With a trained cross-patch
    predictor the peak of the heat map is one more positive click, and a low peak is the end of
    the structure; after a coarse look it is not asked.

    The result depends on volume, model, rules, mode, `state` and click alone, unless it is
    cancelled.

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
    mode : GrowMode
        How the click is followed.

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
    way = _Way(encoder, state, mode, rules, cancelled, on_patch)
    asked, view = with_click(encoder, state, click)
    if view is None:
        return asked
    if not click.positive:
        return _corrected(way, asked, view, click)
    answer = ask_for_click(encoder, view, click)
    grown = with_answer(encoder, asked, view, answer)
    way.tell(grown)
    faces = [*faces_of(view.patch, answer, state.logits.read(view.patch))]
    if not mode or not any(way.is_open(face, grown.patches, None) for face in faces):
        return grown
    if way.spacings_mm:
        return _seen_from_afar(way, asked, grown, view, faces)
    return grown if mode is GrowMode.COARSE else _followed(way, grown, faces, None, 1)


def _seen_from_afar(
    way: _Way, asked: SessionState, grown: SessionState, view: PatchView, faces: Sequence[Face]
) -> SessionState:
    """Return a state with a coarse look, and what follows from it.

    `asked` is the state before the answer for the click's own patch, `grown` the one with it.
    """
    if way.stopped:
        return grown
    look = way.look(grown, asked.clicks[-1])
    answer = faces[0].answer
    if look.agreement(view.patch, answer.logits) <= way.rules.coarse_dice:
        return grown
    seen = with_look(way.encoder, asked, look, before=way.before)
    own = replace(view, previous=seen.logits.read(view.patch))
    grown = with_answer(way.encoder, seen, own, answer)
    way.tell(grown)
    return _followed(way, grown, faces, seen.logits, 1 + look.looks)


def _corrected(way: _Way, state: SessionState, view: PatchView, click: Click) -> SessionState:
    """Return a state with a negative click answered."""
    at = grid_voxel(click, way.encoder.grid)
    only_coarse = any(box.contains(at) for box in state.coarse) and not any(
        patch.contains(at) for patch in state.patches
    )
    if only_coarse and way.spacings_mm and not way.stopped:
        state = with_look(way.encoder, state, way.look(state, click), shrink=True)
        view = PatchView.of(way.encoder, state, view.patch)
    return with_answer(way.encoder, state, view, ask_for_click(way.encoder, view, click))


def _followed(
    way: _Way, grown: SessionState, faces: Sequence[Face], goal: BlockArray | None, asked: int
) -> SessionState:
    """Return a state with the patches beyond open faces decoded, and so on.

    `goal` are the logits of a coarse look, if there is one, and `asked` counts the model's
    answers so far.
    """
    encoder, waiting, tried = way.encoder, deque(faces), {faces[0].patch}
    while waiting and asked < way.rules.max_patches:
        face = waiting.popleft()
        beyond = patch_beyond(face.patch, face.axis, face.side, encoder.grid.shape_kji)
        if beyond in tried or not way.is_open(face, grown.patches, goal):
            continue
        if way.stopped:
            break
        tried.add(beyond)
        asked += 1
        view = PatchView.of(encoder, grown, beyond)
        if goal is None:
            found = _answer_beyond(way, grown, face, _unfaded(view, face, way.before))
        else:
            found = _answer_towards(way, view)
        if found is not None:
            known = way.before.logits.read(beyond)
            found = replace(found, logits=heeding(known, found.logits, view.clicks, True))
            grown = with_answer(encoder, grown, view, found)
            way.tell(grown)
            waiting.extend(faces_of(beyond, found, known))
    return grown


def _answer_towards(way: _Way, view: PatchView) -> PatchAnswer | None:
    """Return the answer for a patch that a coarse look shows already; None if it is refused."""
    answer = ask(way.encoder, view)
    if dice(answer.logits > 0, view.previous > 0) <= way.rules.overlap_dice:
        return None
    if way.mode is not GrowMode.COARSE:
        return answer
    known = np.nan_to_num(view.previous.astype(np.float32), nan=-LOGIT_LIMIT)
    inside = (known > 0).view(np.uint8)
    size = 2 * way.rules.band_voxels + 1
    near = ndimage.maximum_filter(inside, size) != ndimage.minimum_filter(inside, size)
    return replace(answer, logits=np.where(near, answer.logits, known))


def _unfaded(view: PatchView, face: Face, before: SessionState) -> PatchView:
    """Return a view with the answer behind the face where blending with older logits faded it."""
    shared = view.patch.intersection(face.patch)
    older = ~np.isnan(before.logits.read(shared))
    answer = face.answer.logits[shared.relative_to(face.patch).slices_kji]
    limited = np.clip(answer, -LOGIT_LIMIT, LOGIT_LIMIT)
    previous = view.previous.copy()
    previous[shared.relative_to(view.patch).slices_kji][older] = limited[older]
    return replace(view, previous=previous)


def _answer_beyond(
    way: _Way, state: SessionState, face: Face, view: PatchView
) -> PatchAnswer | None:
    """Return the answer for the patch beyond a face; None if it is refused."""
    hints: list[IJK] = []
    if way.encoder.predictor.settings.cross_patch_trained:
        heat, voxel = _peak(way.encoder, state, face.patch, view)
        if heat < way.rules.heat_peak:
            return None
        hints.append(voxel)
    answer = ask(way.encoder, view, hints)
    known = ~np.isnan(view.previous)
    agreement = dice((answer.logits > 0) & known, view.previous > 0)
    return answer if agreement > way.rules.overlap_dice else None


def _peak(
    encoder: PatchEncoder, state: SessionState, source: BoundingBox, view: PatchView
) -> tuple[float, IJK]:
    """Return height and voxel (i, j, k) of the peak of the heat map in a patch.

    Not where the patch is known to be background or reaches over the border of the grid.
    """
    predictor, image = encoder.predictor, encoder.image(view.patch)
    if predictor.settings.cross_patch_aligned:
        known = np.where(np.isnan(view.previous), np.float32(np.nan), image)
        heat: NDArray[np.float32] = predictor.cross_patch(known, view.previous > 0, image)
    else:
        mask = state.logits.read(source) > 0
        heat = predictor.cross_patch(encoder.image(source), mask, image)
    possible = np.zeros(heat.shape, bool)
    in_grid = view.patch.clipped(encoder.grid.shape_kji)
    possible[in_grid.relative_to(view.patch).slices_kji] = True
    possible &= ~(view.previous <= 0)
    heat = np.where(possible, heat, -np.inf)
    k, j, i = (int(at) for at in np.unravel_index(int(heat.argmax()), heat.shape))
    return float(heat[k, j, i]), (i, j, k)
