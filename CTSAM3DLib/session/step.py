"""One step of a session as a pure function: earlier state and a prompt give the next state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.errors import ModelAnswerError
from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.resampling import volume_bbox_of_grid_bbox
from CTSAM3DLib.models.tuning import tuned
from CTSAM3DLib.prompts import Prompt
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.intensities import sharpened
from CTSAM3DLib.session.opposite import less_the_opposite, share_of_part
from CTSAM3DLib.session.patches import MARGIN_FRACTION, plan_patch
from CTSAM3DLib.session.points import (
    anchor_voxel,
    centres_ras,
    contained,
    cut_off,
    nearest_voxels,
    obeyed_in,
    shown_in,
)
from CTSAM3DLib.session.rules import LOGIT_LIMIT, allowed_change
from CTSAM3DLib.session.state import SessionState, added_times

_MUCH_BETTER = 2.0
"""Another seed of a box than the first counts if its answer fills so many times more of it."""

_GOOD_SHARES = (0.45, 0.15, 0.0)
"""So much of a box must be filled for no more to be asked: by the answer for the middle (hardly a
structure fills twice as much), after the seeds towards the faces, and in the end."""


def answered(
    encoder: PatchEncoder, state: SessionState, prompt: Prompt, with_edges: bool = True
) -> SessionState:
    """Return the state after one more prompt.

    The prompt goes to a patch of the model grid. The model sees all prompts of the structure in
    that patch and the earlier logits there. What the prompt may change of them by its answer is
    blended into the field of logits, brought to the volume's own voxels and cut at 0. `state` is
    the parent of the result and stays as it is, also when this fails. Without edges the intensities
    do not count (`edged`). Raises ClickOutsideVolumeError if a point of the prompt is not inside
    the volume.
    """
    patch = planned_patch(encoder, state, prompt)
    view = PatchView.of(state.with_prompt(prompt), patch)
    if view.has_nothing_to_correct:
        return view.state
    return joined(view, answered_by(encoder, view, prompt, with_edges))


def planned_patch(encoder: PatchEncoder, state: SessionState, prompt: Prompt) -> BoundingBox:
    """Return the patch of the model grid that answers a prompt; see `patches.plan_patch`.

    Raises ClickOutsideVolumeError if the anchor of the prompt is not inside the volume.
    """
    state.geometry.voxel_from_ras(prompt.anchor_ras)
    size = encoder.predictor.settings.patch_size
    voxel = anchor_voxel(prompt, state.grid)
    return plan_patch(voxel, state.patches, state.grid.shape_kji, size)


@dataclass(frozen=True, eq=False)
class PatchView:
    """What a model is shown of one patch."""

    state: SessionState  # The state that is looked at
    patch: BoundingBox  # On the model grid
    # (N, 3): what is shown of all prompts in the patch, oldest prompt first;
    # voxels of the patch
    points_kji: NDArray[np.intp]
    labels: NDArray[np.bool_]  # (N,): whether they are positive
    known: NDArray[np.float16]  # (D, H, W): earlier logits; NaN where nothing is known

    @classmethod
    def of(cls, state: SessionState, patch: BoundingBox) -> PatchView:
        """Return the view of a patch in the present state of a structure."""
        points_kji, labels = shown_in(state.prompts, state.grid, patch)
        return cls(state, patch, points_kji, labels, state.logits.read(patch))

    @property
    def has_nothing_to_correct(self) -> bool:
        """Whether there is neither mask nor positive prompt: negative ones take effect later."""
        if self.state.prompts[-1].positive or self.labels.any() or (self.known > 0).any():
            return False
        box = volume_bbox_of_grid_bbox(self.patch, self.state.grid, self.state.geometry)
        return self.state.mask.occupied_box(box).is_empty


@dataclass(frozen=True, eq=False)
class PatchAnswer:
    """Logits of a patch, float32 (D, H, W), and the times it took to get them."""

    logits: NDArray[np.float32]
    timings_ms: Mapping[str, float] = field(default_factory=dict)


def asked(
    encoder: PatchEncoder, view: PatchView, hints_kji: NDArray[np.intp] | None = None
) -> PatchAnswer:
    """Return the answer of the model for a patch, whose image is encoded once.

    `hints_kji`, (N, 3), are voxels of the patch that are shown as further positive points. Raises
    ModelAnswerError: the answer has another size than the patch, or holds NaN or infinity.
    """
    hints = np.zeros((0, 3), np.intp) if hints_kji is None else hints_kji
    points_kji = np.concatenate([view.points_kji, hints]).astype(np.float32)
    labels = np.concatenate([view.labels, np.ones(len(hints), bool)]).astype(np.int64)
    known = not np.isnan(view.known).all()
    shown = np.nan_to_num(view.known.astype(np.float32), nan=-LOGIT_LIMIT) if known else None
    started = perf_counter()
    embedding = encoder.embedding(view.patch)
    encoded = perf_counter()
    logits = encoder.decode(embedding, points_kji, labels, shown)
    if logits.shape != view.known.shape or not np.isfinite(logits).all():
        raise ModelAnswerError(
            f"expected {view.known.shape} finite numbers from the model, got {logits.shape}, of "
            f"which {np.count_nonzero(~np.isfinite(logits))} are not finite; choose the device "
            "'cpu', or another model"
        )
    times = {"encode_ms": encoded - started, "decode_ms": perf_counter() - encoded}
    return PatchAnswer(logits, {name: 1000.0 * seconds for name, seconds in times.items()})


def edged(encoder: PatchEncoder, view: PatchView, answer: PatchAnswer) -> PatchAnswer:
    """Return an answer whose border follows the intensities, as far as the model wants it."""
    weight = tuned(encoder.predictor.settings).intensity_weight
    if not weight:
        return answer
    # Beyond the grid there is air that is none.
    seen = view.patch.clipped(encoder.grid.shape_kji).relative_to(view.patch).slices_kji
    logits = answer.logits.copy()
    logits[seen] = sharpened(logits[seen], encoder.image(view.patch)[seen], weight)
    return replace(answer, logits=logits)


def opposed(
    encoder: PatchEncoder, view: PatchView, prompt: Prompt, answer: PatchAnswer
) -> PatchAnswer:
    """Return an answer less what a negative prompt lies in, as far as the model wants it.

    A prompt with a box says by itself how much is wrong. Where no point of a positive prompt is
    shown in the patch, nothing says what must stay, so no more goes than without. See `opposite`.
    """
    weight = tuned(encoder.predictor.settings).opposite_weight
    says_how_much = prompt.positive or prompt.bounds is not None
    if not weight or says_how_much or not 0 < view.labels.sum() < len(view.labels):
        return answer
    own_kji, _ = obeyed_in([prompt], view.state.grid, view.patch)
    weight *= share_of_part(view.known > 0, own_kji)
    if not weight:
        return answer
    unknown = np.full_like(view.known, np.nan)
    told = asked(encoder, replace(view, labels=~view.labels, known=unknown))
    logits = less_the_opposite(answer.logits, told.logits, view.points_kji, view.labels, weight)
    return PatchAnswer(logits, added_times(answer.timings_ms, told.timings_ms))


def answered_by(
    encoder: PatchEncoder, view: PatchView, prompt: Prompt, with_edges: bool = True
) -> PatchAnswer:
    """Return what the newest prompt changes in its patch, by an answer with edges (`edged`).

    For a positive box the model is asked with its middle, then with the seeds towards its faces,
    then with those towards its corners, until an answer fills the box well. The one that fills it
    best counts if it does so twice as well as the one for the middle.
    """
    change_by = partial(allowed_with_edges, encoder) if with_edges else allowed
    box = prompt.bounds
    if box is None or not prompt.positive:
        return change_by(view, opposed(encoder, view, prompt, asked(encoder, view)), prompt)
    grid, patch = view.state.grid, view.patch
    voxels = nearest_voxels(box.seeds_ras(), grid)
    centres = centres_ras(grid, patch)
    found, times = [], dict[str, float]()
    # The middle, then towards the faces, then towards the corners.
    rings = zip((voxels[:1], voxels[1:7], voxels[7:]), _GOOD_SHARES, strict=True)
    for ring, good_share in rings:
        for voxel_ijk in dict.fromkeys(map(tuple, ring[contained([patch], ring)].tolist())):
            seed_kji = np.array([voxel_ijk])[:, ::-1] - np.array(patch.start_ijk)[::-1]
            answer = asked(encoder, view, seed_kji)
            times = added_times(times, answer.timings_ms)
            share = box.filled_share(centres, _touching(answer.logits > 0, seed_kji[0]))
            found.append((share, answer, seed_kji))
        first, best = found[0], max(found, key=lambda one: one[0])
        share, answer, seed_kji = best if best[0] >= _MUCH_BETTER * first[0] else first
        if share >= good_share:
            break
    return replace(change_by(view, answer, prompt, seed_kji), timings_ms=times)


def _touching(mask: NDArray[np.bool_], seed_kji: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the connected part of a mask that holds a voxel; all of it if none does."""
    parts, _ = ndimage.label(mask)
    own = parts[tuple(seed_kji)]
    return parts == own if own else mask


def allowed(
    view: PatchView,
    answer: PatchAnswer,
    prompt: Prompt,
    own_kji: NDArray[np.intp] | None = None,
) -> PatchAnswer:
    """Return as much of an answer as the newest prompt may change; see `rules.allowed_change`.

    `own_kji` are its voxels in the patch, by default those that must be obeyed.
    """
    state, patch = view.state, view.patch
    if own_kji is None:
        own_kji, _ = obeyed_in([prompt], state.grid, patch)
    cut = cut_off(prompt, state.grid, patch, answer.logits, view.known)
    points_kji, labels = obeyed_in(state.prompts, state.grid, patch)
    logits = allowed_change(view.known, cut, points_kji, labels, prompt.positive, own_kji)
    # Once more: obeying a point moves its surroundings, too.
    logits = cut_off(prompt, state.grid, patch, logits, view.known)
    return replace(answer, logits=logits)


def allowed_with_edges(
    encoder: PatchEncoder,
    view: PatchView,
    answer: PatchAnswer,
    prompt: Prompt,
    own_kji: NDArray[np.intp] | None = None,
) -> PatchAnswer:
    """Return as much of an answer with edges as the newest prompt may change.

    The first prompt in a patch counts more than the intensities: where these take its own voxels
    from the answer, and so cut it off from most of the rest, the answer stays without edges.
    """
    sharp = edged(encoder, view, answer)
    change = allowed(view, sharp, prompt, own_kji)
    own = obeyed_in([prompt], view.state.grid, view.patch)[0] if own_kji is None else own_kji
    lost = (answer.logits > 0)[tuple(own.T)] & (sharp.logits <= 0)[tuple(own.T)]
    if not (prompt.positive and lost.any() and np.isnan(view.known).all()):
        return change
    plain = allowed(view, answer, prompt, own_kji)
    cut_away = 2 * np.count_nonzero(change.logits > 0) < np.count_nonzero(plain.logits > 0)
    return plain if cut_away else change


def joined(view: PatchView, answer: PatchAnswer) -> SessionState:
    """Return the state of a view with an answer for its patch, as far as that is allowed.

    Of two answers that obey every prompt the mean, which counts near the faces of the patch, does
    so too.
    """
    weights = taper_weights(view.patch, view.state.grid.shape_kji)
    logits = blended(view.known, answer.logits, weights)
    return view.state.with_logits(view.patch, logits, timings_ms=answer.timings_ms)


def taper_weights(patch: BoundingBox, grid_shape_kji: IJK) -> NDArray[np.float32]:
    """Return how much a new patch counts against what was there before, float32 (D, H, W).

    1 in the interior, falling to 0 over 1/8 of the edge at the faces inside the grid.

    Examples
    --------
    >>> box = BoundingBox((0, 0, 0), (16, 16, 16))
    >>> taper_weights(box, (16, 16, 40))[0, 0, 12:].tolist()
    [1.0, 1.0, 0.75, 0.25]
    """
    ramp = max(patch.size_ijk[0] // MARGIN_FRACTION, 1)
    profiles = []
    for axis in (2, 1, 0):
        low, high = patch.start_ijk[axis], patch.stop_ijk[axis]
        depth = np.arange(high - low) + 0.5
        profile = np.ones(high - low)
        if low > 0:
            profile = np.minimum(profile, depth / ramp)
        if high < grid_shape_kji[2 - axis]:
            profile = np.minimum(profile, depth[::-1] / ramp)
        profiles.append(profile.astype(np.float32))
    z, y, x = profiles
    return z[:, None, None] * y[None, :, None] * x[None, None, :]


def blended(
    old: NDArray[np.floating], new: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean of old and new logits, all (D, H, W); the new ones where the old are NaN.

    `weights` are the share of the new ones, which are cut to the range of `LOGIT_LIMIT`.

    Examples
    --------
    >>> old, new = np.array([[[np.nan, 2.0, 2.0]]]), np.array([[[-4.0, -4.0, -99.0]]])
    >>> blended(old, new, np.array([[[0.5, 0.5, 1.0]]])).tolist()
    [[[-4.0, -1.0, -20.0]]]
    """
    limited = np.clip(new, -LOGIT_LIMIT, LOGIT_LIMIT).astype(np.float32)
    before = np.where(np.isnan(old), limited, old).astype(np.float32)
    return before + weights.astype(np.float32) * (limited - before)
