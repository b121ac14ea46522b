"""One step of a session as a pure function: earlier state and a click give the next state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.resampling import volume_bbox_of_grid_bbox
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.mask import grid_voxel, mask_after
from CTSAM3DLib.session.patches import MARGIN_FRACTION, plan_patch
from CTSAM3DLib.session.rules import (
    LOGIT_LIMIT,
    blended,
    near_the_click,
    obeying,
    one_sided,
    taper_weights,
)
from CTSAM3DLib.session.state import SessionState


@dataclass(frozen=True, eq=False)
class PatchView:
    """What a model is shown of one patch.

    Parameters
    ----------
    patch : BoundingBox
        On the model grid.
    clicks : tuple of (voxel, positive)
        All clicks of the structure in the patch, oldest first; voxels (i, j, k) of the patch.
    previous : ndarray, float16, (D, H, W)
        Earlier logits; NaN where nothing is known.
    """

    patch: BoundingBox
    clicks: tuple[tuple[IJK, bool], ...]
    previous: NDArray[np.float16]

    @classmethod
    def of(cls, encoder: PatchEncoder, state: SessionState, patch: BoundingBox) -> PatchView:
        """Look at a patch in the present state of a structure."""
        return cls(patch, clicks_in(encoder.grid, state.clicks, patch), state.logits.read(patch))


@dataclass(frozen=True, eq=False)
class PatchAnswer:
    """Logits of a patch as the model gave them, float32 (D, H, W), and what they cost."""

    logits: NDArray[np.float32]
    encode_ms: float
    decode_ms: float


def clicks_in(
    grid: Geometry, clicks: Iterable[Click], bbox: BoundingBox
) -> tuple[tuple[IJK, bool], ...]:
    """Return the clicks in a box of a grid, oldest first.

    Parameters
    ----------
    grid : Geometry
        A model grid over the volume.
    clicks : iterable of Click
        Inside the volume.
    bbox : BoundingBox
        On the grid.

    Returns
    -------
    tuple of (voxel, positive)
        Voxels (i, j, k) of the box.

    Examples
    --------
    >>> grid = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (9, 9, 9))
    >>> box = BoundingBox((1, 0, 0), (3, 3, 3))
    >>> clicks_in(grid, [Click((4.0, 0.0, 2.0)), Click((0.0, 0.0, 0.0))], box)
    (((1, 0, 1), True),)
    """
    i0, j0, k0 = bbox.start_ijk
    voxels = [(grid_voxel(click, grid), click.positive) for click in clicks]
    return tuple(
        ((i - i0, j - j0, k - k0), positive)
        for (i, j, k), positive in voxels
        if bbox.contains((i, j, k))
    )


def next_state(encoder: PatchEncoder, state: SessionState, click: Click) -> SessionState:
    """Return the state after one more click.

    The click goes to a patch of the model grid (`roi.plan_patch`). The model sees all clicks of
    the structure in that patch and the earlier logits there. Its answer, of which a positive
    click only adds and a negative one only takes away, and only what hangs together with the
    click, is blended into the field of logits, corrected where it disobeys a click, brought to
    the volume's own voxels and cut at 0. A negative click where there is neither mask nor
    positive click has nothing to correct: it is remembered and counts as soon as a patch reaches
    it.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model; its cache decides over time, not over the result.
    state : SessionState
        Before the click.
    click : Click
        In the RAS frame of the volume.

    Returns
    -------
    SessionState
        After the click. `state` is its parent and stays as it is, also when this fails.

    Raises
    ------
    ClickOutsideVolumeError
        If the click is not inside the volume.
    """
    remembered, view = with_click(encoder, state, click)
    if view is None:
        return remembered
    answer = ask_for_click(encoder, view, click)
    return with_answer(encoder, remembered, view, answer)


def with_click(
    encoder: PatchEncoder, state: SessionState, click: Click
) -> tuple[SessionState, PatchView | None]:
    """Return a state with one more click that is not answered yet, and what to ask.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    state : SessionState
        Before the click; the parent of the result.
    click : Click
        In the RAS frame of the volume.

    Returns
    -------
    remembered : SessionState
        With the mask as it was.
    view : PatchView or None
        The patch of the click; None if there is nothing to correct.

    Raises
    ------
    ClickOutsideVolumeError
        If the click is not inside the volume.
    """
    patch = patch_for(encoder, state, click)
    remembered = replace(state, clicks=state.clicks.added(click), parent=state, timings_ms={})
    view = PatchView.of(encoder, remembered, patch)
    something = any(positive for _, positive in view.clicks) or (view.previous > 0).any()
    return remembered, view if something or _mask_in(encoder, state, patch) else None


def patch_for(encoder: PatchEncoder, state: SessionState, click: Click) -> BoundingBox:
    """Return the patch of the model grid that answers a click; see `roi.plan_patch`.

    Raises
    ------
    ClickOutsideVolumeError
        If the click is not inside the volume.
    """
    encoder.volume.geometry.voxel_from_ras(click.position_ras)
    size = encoder.predictor.settings.patch_size
    voxel = grid_voxel(click, encoder.grid)
    return plan_patch(voxel, state.patches, encoder.grid.shape_kji, size)


def ask(encoder: PatchEncoder, view: PatchView, hints: Sequence[IJK] = ()) -> PatchAnswer:
    """Ask the model for a patch.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    view : PatchView
        Clicks and earlier logits.
    hints : sequence of voxels
        Shown as further positive clicks; voxels (i, j, k) of the patch.
    """
    started = perf_counter()
    embedding = encoder.embedding(view.patch)
    encode_ms = _since_ms(started)
    clicks = [*view.clicks, *((voxel, True) for voxel in hints)]
    points_kji = np.array([voxel[::-1] for voxel, _ in clicks], np.float32).reshape(-1, 3)
    labels = np.array([int(positive) for _, positive in clicks], np.int64)
    known = not np.isnan(view.previous).all()
    shown = np.nan_to_num(view.previous.astype(np.float32), nan=-LOGIT_LIMIT) if known else None
    started = perf_counter()
    answer = encoder.predictor.decode(embedding, points_kji, labels, shown)
    return PatchAnswer(answer, encode_ms, _since_ms(started))


def ask_for_click(encoder: PatchEncoder, view: PatchView, click: Click) -> PatchAnswer:
    """Ask the model for the patch of a click, and let the click change only what it is for.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    view : PatchView
        From `with_click`: the click is the newest of its clicks.
    click : Click
        A positive one takes nothing away from what is known, a negative one adds nothing to it
        (`fusion.one_sided`); both change only what hangs together with them
        (`fusion.near_the_click`).
    """
    answer = ask(encoder, view)
    heeded = heeding(view.previous, answer.logits, view.clicks, click.positive)
    voxel, _ = view.clicks[-1]
    return replace(answer, logits=near_the_click(view.previous, heeded, voxel))


def heeding(
    before: NDArray[np.floating],
    logits: NDArray[np.float32],
    clicks: Sequence[tuple[IJK, bool]],
    positive: bool,
) -> NDArray[np.float32]:
    """Return logits that obey all clicks and differ from those before in one direction only.

    Parameters
    ----------
    before : ndarray, float, (D, H, W)
        Logits before the newest click; NaN where nothing was known.
    logits : ndarray, float32, (D, H, W)
        The model's answer to it.
    clicks : sequence of (voxel, positive)
        Voxels (i, j, k) of the arrays, oldest click first.
    positive : bool
        The newest click, wherever it is.
    """
    heeded = obeying(one_sided(before, logits, positive), clicks)
    # Once more: where an older click had to be restored, its surroundings were moved too.
    return one_sided(before, heeded, positive)


def with_answer(
    encoder: PatchEncoder, state: SessionState, view: PatchView, answer: PatchAnswer
) -> SessionState:
    """Return a state with an answer for a patch blended in and brought to its mask.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    state : SessionState
        The state that was looked at.
    view : PatchView
        What the model was shown of it.
    answer : PatchAnswer
        What it said, after `heeding`: of two that obey every click the mean does so too.

    Returns
    -------
    SessionState
        With the same clicks and parent; the times are added up.
    """
    started = perf_counter()
    ramp = encoder.predictor.settings.patch_size // MARGIN_FRACTION
    weights = taper_weights(view.patch, encoder.grid.shape_kji, max(ramp, 1))
    fused = blended(view.previous, answer.logits, weights)
    logits = state.logits.written(view.patch, fused)
    known = view.patch in state.patches
    patches = state.patches if known else (*state.patches, view.patch)
    mask = mask_after(encoder, state, logits, patches, view.patch)
    times = {"encode_ms": answer.encode_ms, "decode_ms": answer.decode_ms}
    times["resample_ms"] = _since_ms(started)
    timings = {name: time + state.timings_ms.get(name, 0.0) for name, time in times.items()}
    return replace(state, logits=logits, mask=mask, patches=patches, timings_ms=timings)


def _mask_in(encoder: PatchEncoder, state: SessionState, patch: BoundingBox) -> bool:
    """Tell whether the mask reaches into a patch."""
    box = volume_bbox_of_grid_bbox(patch, encoder.grid, encoder.volume.geometry)
    return not state.mask.occupied_box(box).is_empty


def _since_ms(started: float) -> float:
    return 1000.0 * (perf_counter() - started)
