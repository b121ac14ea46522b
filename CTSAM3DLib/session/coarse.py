"""One look at a structure from further away: the same patch of the model with larger voxels.

A patch of 64 voxels of 1.5 mm shows 96 mm, of 3 mm 192 mm. What the model says there is brought
to the usual grid as logits, by linear interpolation, and stands wherever no finer patch has been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.resampling import extract_patch, sample_on_volume, volume_bbox_of_grid_bbox
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.faces import faces_of, leads_out
from CTSAM3DLib.session.mask import grid_voxel, mask_after
from CTSAM3DLib.session.patches import MARGIN_FRACTION, centred_patch
from CTSAM3DLib.session.rules import CLICK_LOGIT, LOGIT_LIMIT, obeying, taper_weights
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import PatchAnswer, PatchView, ask, clicks_in, heeding

_KNOWN_SHARE = 0.01  # of a coarse voxel; rounding alone leaves less


@dataclass(frozen=True, eq=False)
class CoarseLook:
    """What the model has said of a patch with larger voxels.

    Parameters
    ----------
    bbox : BoundingBox
        The voxels of the usual grid whose centres lie in the patch.
    logits : ndarray, float32, (D, H, W)
        The answer on those voxels.
    answer : PatchAnswer
        The answer as it was given, and its times: of all looks, where it took several.
    looks : int
        How many times the model was asked.
    """

    bbox: BoundingBox
    logits: NDArray[np.float32]
    answer: PatchAnswer
    looks: int

    def agreement(self, patch: BoundingBox, logits: NDArray[np.float32]) -> float:
        """Return the Dice of this look with an answer for a patch of the usual grid, in it."""
        shared = patch.intersection(self.bbox)
        if shared.is_empty:
            return 0.0
        own = self.logits[shared.relative_to(self.bbox).slices_kji] > 0
        return dice(own, logits[shared.relative_to(patch).slices_kji] > 0)


def look_from_afar(
    encoder: PatchEncoder,
    state: SessionState,
    click: Click,
    spacings_mm: Sequence[float],
    face_voxels: int,
) -> CoarseLook:
    """Look at a structure with larger voxels, the larger the further it extends.

    Parameters
    ----------
    encoder : PatchEncoder
        Of the usual grid; keeps the coarser ones.
    state : SessionState
        With all clicks. The model sees those in the coarse patch, and the logits that are known
        there, averaged as probabilities, as the earlier result.
    click : Click
        In the middle of the patch, as far as the grid allows.
    spacings_mm : sequence of float
        Voxel sizes to look with, smallest first. The next one is used where more than
        `face_voxels` voxels of a face of the coarse patch belong to the structure.
    face_voxels : int
        See above.

    Returns
    -------
    CoarseLook
        The last one.
    """
    encode_ms = decode_ms = 0.0
    looks = 0
    for spacing_mm in spacings_mm:
        coarse = encoder.coarser(spacing_mm)
        view = _view(encoder, coarse, state, click)
        answer = ask(coarse, view)
        looks += 1
        encode_ms, decode_ms = encode_ms + answer.encode_ms, decode_ms + answer.decode_ms
        if not _leaves(coarse.grid, view.patch, answer, face_voxels):
            break
    bbox = volume_bbox_of_grid_bbox(view.patch, coarse.grid, encoder.grid)
    limited = np.clip(answer.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    logits = sample_on_volume(
        limited, view.patch, coarse.grid, encoder.grid, bbox, fill=-LOGIT_LIMIT
    )
    return CoarseLook(bbox, logits, PatchAnswer(answer.logits, encode_ms, decode_ms), looks)


def with_look(
    encoder: PatchEncoder,
    state: SessionState,
    look: CoarseLook,
    shrink: bool = False,
    before: SessionState | None = None,
) -> SessionState:
    """Return a state with a coarse look wherever no patch of the usual grid has been.

    Near the faces of such patches both are blended as patches are among themselves. Nothing of
    a mask that was given is taken away, and every click is obeyed.

    Parameters
    ----------
    encoder : PatchEncoder
        Of the usual grid.
    state : SessionState
        The state that was looked at.
    look : CoarseLook
        What was seen.
    shrink : bool
        Keep nothing of the look that is not in the mask already.
    before : SessionState, optional
        The state before a positive click, of which nothing is taken away.

    Returns
    -------
    SessionState
        With the same clicks, patches and parent; the times are added up.
    """
    started = perf_counter()
    bbox = look.bbox
    new = look.logits
    if shrink:
        old = state.logits.read(bbox).astype(np.float32)
        new = np.minimum(new, np.where(np.isnan(old), -CLICK_LOGIT, old))
    new = np.fmax(new, state.given.logits.read(bbox))
    _keep_finer(encoder, state, bbox, new)
    clicks = clicks_in(encoder.grid, state.clicks, bbox)
    fused = obeying(new, clicks)
    if before is not None:
        fused = heeding(before.logits.read(bbox), fused, clicks, True)
    seen = state.coarse if bbox in state.coarse else (*state.coarse, bbox)
    state = replace(state, coarse=seen)
    logits = state.logits.written(bbox, fused)
    mask = mask_after(encoder, state, logits, state.patches, bbox)
    times = {"encode_ms": look.answer.encode_ms, "decode_ms": look.answer.decode_ms}
    times["resample_ms"] = 1000.0 * (perf_counter() - started)
    timings = {name: time + state.timings_ms.get(name, 0.0) for name, time in times.items()}
    return replace(state, logits=logits, mask=mask, timings_ms=timings)


def _view(
    encoder: PatchEncoder, coarse: PatchEncoder, state: SessionState, click: Click
) -> PatchView:
    """Return what the model is shown of the coarse patch round a click."""
    size = coarse.predictor.settings.patch_size
    patch = centred_patch(grid_voxel(click, coarse.grid), coarse.grid.shape_kji, size)
    clicks = clicks_in(coarse.grid, state.clicks, patch)
    return PatchView(patch, clicks, coarse_logits(encoder.grid, coarse.grid, state, patch))


def coarse_logits(
    grid: Geometry, coarse_grid: Geometry, state: SessionState, patch: BoundingBox
) -> NDArray[np.float16]:
    """Return the known logits at the voxels of a coarser grid.

    Parameters
    ----------
    grid, coarse_grid : Geometry
        The usual model grid and one of larger voxels over the same volume.
    state : SessionState
        Its logits lie on `grid`.
    patch : BoundingBox
        On the coarse grid; may reach over its border.

    Returns
    -------
    ndarray, float16, (D, H, W)
        Logits of the mean probability in the surroundings of each voxel, where unknown voxels
        count as background; NaN where nothing is known.
    """
    # More by two coarse voxels: what averaging and interpolation reach.
    reach = 2 * math.ceil(coarse_grid.spacing_mm[0] / grid.spacing_mm[0])
    box = volume_bbox_of_grid_bbox(patch, coarse_grid, grid).padded(reach).clipped(grid.shape_kji)
    logits = state.logits.read(box).astype(np.float32)
    known = ~np.isnan(logits)
    probability = np.nan_to_num(logits, copy=False, nan=-LOGIT_LIMIT)
    np.exp(np.negative(probability, out=probability), out=probability)
    np.reciprocal(np.add(probability, 1.0, out=probability), out=probability)
    part = grid.cropped(box)
    mean = extract_patch(Volume(probability, part), coarse_grid, patch, fill_hu=0.0)
    share = extract_patch(Volume(known.view(np.uint8), part), coarse_grid, patch, fill_hu=0.0)
    mean = np.clip(mean, 1e-6, 1.0 - 1e-6)
    result = np.where(share > _KNOWN_SHARE, np.log(mean / (1.0 - mean)), np.nan)
    return result.astype(np.float16)


def _leaves(grid: Geometry, patch: BoundingBox, answer: PatchAnswer, face_voxels: int) -> bool:
    """Tell whether an answer leaves its patch, inside the grid."""
    nothing = np.full(patch.shape_kji, np.nan, np.float16)
    return any(
        int((face.reached & leads_out(face, (), grid.shape_kji)).sum()) > face_voxels
        for face in faces_of(patch, answer, nothing)
    )


def _keep_finer(
    encoder: PatchEncoder, state: SessionState, bbox: BoundingBox, logits: NDArray[np.float32]
) -> None:
    """Blend what the patches of the usual grid have found into the logits of a box, in place."""
    ramp = max(encoder.predictor.settings.patch_size // MARGIN_FRACTION, 1)
    known = [patch.intersection(bbox) for patch in state.patches]
    region = BoundingBox.empty()
    for shared in known:
        region = region.union(shared)
    weights = np.zeros(region.shape_kji, np.float32)
    for patch, shared in zip(state.patches, known, strict=True):
        if not shared.is_empty:
            own = taper_weights(patch, encoder.grid.shape_kji, ramp)
            part = weights[shared.relative_to(region).slices_kji]
            np.maximum(part, own[shared.relative_to(patch).slices_kji], out=part)
    if not region.is_empty:
        old = state.logits.read(region).astype(np.float32)
        new = logits[region.relative_to(bbox).slices_kji]
        new += weights * (np.nan_to_num(old) - new)
