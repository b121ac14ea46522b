"""Following a structure from the tips of an answer, so that few prompts find all of it.

A tip is a place deep in the mask, far from all points that were asked before. There the model is
asked twice (see `tips`). What both answers add is a layer over the answers to the prompts, which
are as without it: so it cannot spoil a correction. It stays until a negative prompt lies in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.models.tuning import tuned
from CTSAM3DLib.prompts import Prompt
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.patches import centred_patch
from CTSAM3DLib.session.points import anchor_voxel, centres_ras, obeyed_in
from CTSAM3DLib.session.rules import LOGIT_LIMIT, allowed_change
from CTSAM3DLib.session.state import SessionState, added_times
from CTSAM3DLib.session.step import PatchView, answered, asked, blended, taper_weights
from CTSAM3DLib.session.tips import Tip, TipRules, beyond_border, both_say, deep_voxels, farthest


def answered_alone(encoder: PatchEncoder, state: SessionState, prompt: Prompt) -> SessionState:
    """Return the state after one more prompt, as if nothing had been followed before.

    As `step.answered`, also for errors. `state` is the parent of the result.
    """
    before = state if state.answered is None else state.answered
    return replace(answered(encoder, before, prompt), parent=state)


def followed(
    encoder: PatchEncoder,
    state: SessionState,
    rules: TipRules | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_patch: Callable[[SessionState], object] = lambda _: None,
) -> SessionState:
    """Return a state with what two answers of the model add at the tips of its mask.

    `state` is the one after one more prompt, by `answered_alone`; it becomes the `answered` of the
    result. One that was followed already is returned. Tips are asked after the first positive
    prompt; later ones say themselves where to look, and asking after each of them gains nothing
    more. What was added stays; after a negative prompt that lies in it, it is asked for once more,
    and nothing else. Nothing is added to a mask that was given, where a hand may have taken
    something away; nor beyond the boxes and lassos among the prompts; nor where a negative prompt
    is.

    `cancelled` is asked before each tip; True ends with what is there. `on_patch` is told the state
    before the first tip, then after each one that adds something. Unless it is cancelled, the
    result depends on volume, model, prompts and `rules` alone. Raises ModelAnswerError as
    `step.asked`.
    """
    if state.answered is not None or state.parent is None:
        return state
    rules = TipRules() if rules is None else rules
    positive, done = state.prompts[-1].positive, state.parent.is_followed
    tips = list(state.parent.tips)
    wrong = [] if positive else [tip for tip in tips if _lies_in(state, tip)]
    tips = [tip for tip in tips if tip not in wrong]
    grown = state
    for tip in tips:
        grown = _with_tip(grown, tip)
    on_patch(grown)
    if state.given.mask.occupied_box().is_empty:
        search = _Search(encoder, state, grown, grown, tips, rules, cancelled, on_patch)
        if positive and not done:
            search.look_without_edges()
            done = search.ask_at_tips()
        for tip in wrong:
            search.ask_again(tip)
        grown = search.grown
    return replace(grown, answered=state, tips=tuple(tips), is_followed=done)


@dataclass(eq=False)
class _Search:
    """The tips of one structure that are asked after one prompt."""

    encoder: PatchEncoder
    state: SessionState  # Without any tip
    seen: SessionState  # With tips: what the model is shown
    grown: SessionState  # With tips: the result
    tips: list[Tip]  # What was added
    rules: TipRules
    cancelled: Callable[[], bool]
    on_patch: Callable[[SessionState], object]

    def look_without_edges(self) -> None:
        """Show the model its own answers: by those the rules were chosen, not by edges."""
        parent, prompt = self.state.parent, self.state.prompts[-1]
        if parent is None or not tuned(self.encoder.predictor.settings).intensity_weight:
            return
        before = parent if parent.answered is None else parent.answered
        self.state = self.seen = answered(self.encoder, before, prompt, with_edges=False)
        for tip in self.tips:
            self.seen = _with_tip(self.seen, tip)

    def ask_at_tips(self) -> bool:
        """Ask at one tip after the other, until several add nothing; False if it was stopped."""
        grid, state, rules = self.state.grid, self.state, self.rules
        done = [anchor_voxel(prompt, grid)[::-1] for prompt in state.prompts]
        done += [tip.voxel_kji for tip in self.tips]
        boxes = [*state.patches, *(tip.box for tip in self.tips)]
        places = [deep_voxels(self.seen.logits.read(box) > 0, box) for box in boxes]
        refusals = 0
        for _ in range(rules.most_tips):
            if self.cancelled():
                return False
            if refusals == rules.refusals:
                break
            least = self.encoder.predictor.settings.patch_size / rules.nearest_fraction
            voxel_kji = farthest(np.concatenate(places), done, least)
            if voxel_kji is None:
                break
            done.append(voxel_kji)
            tip = self.answer_at(voxel_kji)
            if tip is None:
                refusals += 1
                continue
            refusals = 0
            self.add(tip)
            places.append(deep_voxels(~np.isnan(tip.logits), tip.box))
        return True

    def ask_again(self, wrong: Tip) -> None:
        """Ask at a tip in whose addition a negative prompt lies; no more than that comes back."""
        tip = None if self.cancelled() else self.answer_at(wrong.voxel_kji)
        if tip is not None:
            left = np.where(np.isnan(wrong.logits), np.nan, tip.logits).astype(np.float16)
            self.add(replace(tip, logits=left))

    def add(self, tip: Tip) -> None:
        """Add what was found at a tip, and show it."""
        self.tips.append(tip)
        self.seen, self.grown = _with_tip(self.seen, tip), _with_tip(self.grown, tip)
        self.on_patch(self.grown)

    def answer_at(self, voxel_kji: IJK) -> Tip | None:
        """Return what two answers add at a tip; None if that is nothing, or they do not agree."""
        state, rules = self.state, self.rules
        size = self.encoder.predictor.settings.patch_size
        patch = centred_patch(voxel_kji[::-1], state.grid.shape_kji, size)
        view = PatchView.of(self.seen, patch)
        hint = np.array([voxel_kji]) - np.array(patch.start_ijk)[::-1]
        told = self.asked(view, hint)
        inside = view.known > 0
        logits = self.seen.logits
        voxels = int((logits.read(logits.occupied_box()) > 0).sum())
        if beyond_border(inside, told, rules).sum() < rules.least_share * voxels:
            return None
        against = ~view.labels
        alone = replace(
            view,
            points_kji=view.points_kji[against],
            labels=view.labels[against],
            known=np.full_like(view.known, np.nan),
        )
        both = both_say(view.known, told, self.asked(alone, hint), voxels, rules)
        if both is None:
            return None
        both = np.where(_within_reach(state, patch), both, view.known)
        points_kji, labels = obeyed_in(state.prompts, state.grid, patch)
        answer = np.nan_to_num(both, nan=-LOGIT_LIMIT).astype(np.float32)
        change = allowed_change(state.logits.read(patch), answer, points_kji, labels, True)
        weights = taper_weights(patch, state.grid.shape_kji)
        after = blended(view.known, change, weights)
        added = (after > 0) & ~inside
        if not added.any():
            return None
        return Tip(voxel_kji, patch, np.where(added, after, np.nan).astype(np.float16))

    def asked(self, view: PatchView, hint: NDArray[np.intp]) -> NDArray[np.float32]:
        """Ask the model, counting the time."""
        answer = asked(self.encoder, view, hint)
        times = added_times(self.grown.timings_ms, answer.timings_ms)
        self.grown = replace(self.grown, timings_ms=times)
        return answer.logits


def _with_tip(state: SessionState, tip: Tip) -> SessionState:
    """Return a state with what was found at a tip."""
    both = np.fmax(state.logits.read(tip.box), tip.logits)
    return state.with_logits(tip.box, both, coarse=True)


def _lies_in(state: SessionState, tip: Tip) -> bool:
    """Tell whether the newest prompt lies in what was found at a tip."""
    points_kji, _ = obeyed_in(state.prompts[-1:], state.grid, tip.box)
    return bool((~np.isnan(tip.logits[tuple(points_kji.T)])).any())


def _within_reach(state: SessionState, patch: BoundingBox) -> NDArray[np.bool_] | bool:
    """Return which voxels of a patch lie in a box of the prompts; all where there is none."""
    boxes = [one.bounds for one in state.prompts if one.positive and one.bounds is not None]
    if not boxes:
        return True
    centres = centres_ras(state.grid, patch)
    within: NDArray[np.bool_] = np.any([box.contains_ras(centres) for box in boxes], axis=0)
    return within
