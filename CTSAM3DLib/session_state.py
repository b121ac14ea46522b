"""One step of a session as a pure function: earlier state and a click give the next state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.block_array import BlockArray
from CTSAM3DLib.bounding_box import IJK, BoundingBox
from CTSAM3DLib.fusion import LOGIT_LIMIT, blended, obeying, taper_weights
from CTSAM3DLib.geometry import Geometry
from CTSAM3DLib.patch_encoder import PatchEncoder
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.resampling import (
    grid_bbox_of_volume_bbox,
    sample_on_volume,
    volume_bbox_of_grid_bbox,
)
from CTSAM3DLib.roi import MARGIN_FRACTION, plan_patch

LOGITS_BLOCK = 32
MASK_BLOCK = 64


@dataclass(frozen=True, eq=False)
class SessionState:
    """Everything that a list of clicks has made of one structure. Never changed.

    Parameters
    ----------
    clicks : ClickHistory
        The clicks, oldest first.
    logits : BlockArray
        float16 on the model grid; NaN where no patch has been.
    mask : BlockArray
        bool on the volume's own grid.
    patches : tuple of BoundingBox
        Patches of the model grid that were decoded, in the order of first use.
    parent : SessionState or None
        State of the same clicks without the last one.
    timings_ms : mapping
        ``encode_ms``, ``decode_ms`` and ``resample_ms`` of the last click; empty when the model
        was not asked. Not part of the result.
    """

    clicks: ClickHistory
    logits: BlockArray
    mask: BlockArray
    patches: tuple[BoundingBox, ...] = ()
    parent: SessionState | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def empty(cls, volume_geometry: Geometry, grid: Geometry) -> SessionState:
        """Return the state without clicks: an empty mask.

        Parameters
        ----------
        volume_geometry, grid : Geometry
            Voxel grid of the volume and of the model.

        Examples
        --------
        >>> geometry = Geometry(np.eye(4), (4, 5, 6))
        >>> SessionState.empty(geometry, geometry).mask.dense().any()
        np.False_
        """
        return cls(
            clicks=ClickHistory(),
            logits=BlockArray(grid.shape_kji, np.float16, np.nan, LOGITS_BLOCK),
            mask=BlockArray(volume_geometry.shape_kji, np.bool_, False, MASK_BLOCK),
        )


@dataclass(frozen=True, eq=False)
class _PatchAnswer:
    """Fused logits of a patch, and what they cost."""

    logits: NDArray[np.float32]
    timings_ms: dict[str, float]


def next_state(encoder: PatchEncoder, state: SessionState, click: Click) -> SessionState:
    """Return the state after one more click.

    The click goes to a patch of the model grid (`roi.plan_patch`). The model sees all clicks of
    the structure in that patch and the earlier logits there; its answer is blended into the
    field of logits, corrected where it disobeys a click, brought to the volume's own voxels and
    cut at 0. A negative click where there is neither mask nor positive click has nothing to
    correct: it is remembered and counts as soon as a patch reaches it.

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
    patch = patch_for(encoder, state, click)
    clicks = state.clicks.added(click)
    previous = state.logits.read(patch)
    inside = _clicks_in_patch(clicks, encoder.grid, patch)
    if not any(positive for _, positive in inside) and not (previous > 0).any():
        return SessionState(clicks, state.logits, state.mask, state.patches, state)
    answer = _decoded(encoder, patch, inside, previous)
    started = perf_counter()
    logits = state.logits.written(patch, answer.logits)
    mask = _mask_after(encoder, state, clicks, logits, patch)
    timings = {**answer.timings_ms, "resample_ms": _since_ms(started)}
    patches = state.patches if patch in state.patches else (*state.patches, patch)
    return SessionState(clicks, logits, mask, patches, state, timings)


def replayed(
    encoder: PatchEncoder, known: Iterable[SessionState], clicks: ClickHistory
) -> SessionState:
    """Return the state of a list of clicks, starting from the best state at hand.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model.
    known : iterable of SessionState
        States of the same encoder; the states that they came from count too. Of states with
        equal clicks the later one is taken.
    clicks : ClickHistory
        The wanted list.

    Returns
    -------
    SessionState
        A known state itself, if it has these clicks.

    Raises
    ------
    ClickOutsideVolumeError
        If a click is not inside the volume.
    """
    by_clicks: dict[ClickHistory, SessionState] = {}
    for latest in known:
        ancestor: SessionState | None = latest
        while ancestor is not None:
            by_clicks[ancestor.clicks] = ancestor
            ancestor = ancestor.parent
    length = len(clicks)
    while clicks[:length] not in by_clicks:
        length -= 1
    state = by_clicks[clicks[:length]]
    for click in clicks[length:]:
        state = next_state(encoder, state, click)
    return state


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


def grid_voxel(click: Click, grid: Geometry) -> IJK:
    """Return the voxel of the model grid that holds a click of the volume.

    Parameters
    ----------
    click : Click
        Inside the volume.
    grid : Geometry
        Model grid, which covers the volume.

    Examples
    --------
    >>> grid_voxel(Click((3.2, 0.0, 1.0)), Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (9, 9, 9)))
    (2, 0, 1)
    """
    # Rounding may push a click on the volume's very edge past the grid by 1e-16: hence the clip.
    nearest = np.floor(grid.ijk_from_ras(click.position_ras) + 0.5).astype(int)
    i, j, k = np.clip(nearest, 0, np.array(grid.size_ijk) - 1).tolist()
    return i, j, k


def logits_on_volume(
    logits: BlockArray, grid: Geometry, geometry: Geometry, bbox: BoundingBox
) -> NDArray[np.float32]:
    """Return a field of logits at voxels of the volume, -20 where no patch has been.

    Parameters
    ----------
    logits : BlockArray
        On the model grid, NaN where nothing was computed.
    grid, geometry : Geometry
        The model grid and the volume it covers.
    bbox : BoundingBox
        Voxels of the volume; not empty, inside the volume.

    Returns
    -------
    ndarray, float32, (K, J, I)
        Logits before the sigmoid, of `bbox.shape_kji`.

    Examples
    --------
    >>> geometry = Geometry(np.eye(4), (4, 4, 4))
    >>> state = SessionState.empty(geometry, geometry)
    >>> box = BoundingBox((0, 0, 0), (1, 1, 1))
    >>> float(logits_on_volume(state.logits, geometry, geometry, box)[0, 0, 0])
    -20.0
    """
    crop = grid_bbox_of_volume_bbox(bbox, grid, geometry).padded(1).clipped(grid.shape_kji)
    values = np.nan_to_num(logits.read(crop), nan=-LOGIT_LIMIT)
    return sample_on_volume(values, crop, grid, geometry, bbox, fill=-LOGIT_LIMIT)


def _decoded(
    encoder: PatchEncoder,
    patch: BoundingBox,
    inside: list[tuple[IJK, bool]],
    previous: NDArray[np.float16],
) -> _PatchAnswer:
    """Ask the model and blend its answer with what was there before."""
    started = perf_counter()
    embedding = encoder.embedding(patch)
    encode_ms = _since_ms(started)
    points_kji = np.array([voxel[::-1] for voxel, _ in inside], np.float32)
    labels = np.array([int(positive) for _, positive in inside], np.int64)
    known = not np.isnan(previous).all()
    shown = np.nan_to_num(previous.astype(np.float32), nan=-LOGIT_LIMIT) if known else None
    started = perf_counter()
    answer = encoder.predictor.decode(embedding, points_kji, labels, shown)
    decode_ms = _since_ms(started)
    ramp = encoder.predictor.settings.patch_size // MARGIN_FRACTION
    weights = taper_weights(patch, encoder.grid.shape_kji, max(ramp, 1))
    fused = obeying(blended(previous, answer, weights), inside)
    return _PatchAnswer(fused, {"encode_ms": encode_ms, "decode_ms": decode_ms})


def _clicks_in_patch(
    clicks: ClickHistory, grid: Geometry, patch: BoundingBox
) -> list[tuple[IJK, bool]]:
    """Return patch voxel (i, j, k) and sign of all clicks that lie in a patch, oldest first."""
    i0, j0, k0 = patch.start_ijk
    found = []
    for click in clicks:
        voxel = grid_voxel(click, grid)
        if patch.contains(voxel):
            i, j, k = voxel
            found.append(((i - i0, j - j0, k - k0), click.positive))
    return found


def _mask_after(
    encoder: PatchEncoder,
    state: SessionState,
    clicks: ClickHistory,
    logits: BlockArray,
    patch: BoundingBox,
) -> BlockArray:
    """Return the mask on the volume's voxels after the logits in a patch have changed.

    A voxel is positive only where a grid voxel next to it is; so only the surroundings of grid
    voxels that are or were positive are resampled, most often a small part of the patch.
    """
    geometry = encoder.volume.geometry
    region = patch.padded(1)
    positive = (state.logits.read(region) > 0) | (logits.read(region) > 0)
    changed = BoundingBox.from_mask(positive).shifted(region.start_ijk)
    box = volume_bbox_of_grid_bbox(changed.padded(1), encoder.grid, geometry)
    voxels = [(geometry.voxel_from_ras(click.position_ras), click.positive) for click in clicks]
    for click, ((i, j, k), _) in zip(clicks, voxels, strict=True):
        if patch.contains(grid_voxel(click, encoder.grid)):
            box = box.union(BoundingBox((i, j, k), (i + 1, j + 1, k + 1)))
    values = logits_on_volume(logits, encoder.grid, geometry, box) > 0
    for voxel, is_positive in voxels:
        if box.contains(voxel):
            i, j, k = (a - b for a, b in zip(voxel, box.start_ijk, strict=True))
            values[k, j, i] = is_positive
    return state.mask.written(box, values)


def _since_ms(started: float) -> float:
    return 1000.0 * (perf_counter() - started)
