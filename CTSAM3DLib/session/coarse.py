"""One answer for a structure with larger voxels: the same patch of the model shows more of it.

A patch of 64 voxels of 1.5 mm shows 96 mm, of 3 mm 192 mm. What the model says there is brought
to the usual grid as logits, by linear interpolation, and holds wherever no finer patch has been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.resampling import extract_patch, sample_on_volume, volume_bbox_of_grid_bbox
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Prompt
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.faces import faces_of, leads_out
from CTSAM3DLib.session.patches import centred_patch
from CTSAM3DLib.session.points import anchor_voxel, cut_off, obeyed_in, shown_in
from CTSAM3DLib.session.rules import LOGIT_LIMIT, PROMPT_LOGIT, allowed_change
from CTSAM3DLib.session.state import SessionState, added_times
from CTSAM3DLib.session.step import PatchAnswer, PatchView, asked, taper_weights

_KNOWN_SHARE = 0.01  # of a coarse voxel; rounding alone leaves less


@dataclass(frozen=True, eq=False)
class CoarseAnswer:
    """What the model has said of a patch with larger voxels."""

    bbox: BoundingBox  # The voxels of the usual grid whose centres lie in the patch
    logits: NDArray[np.float32]  # (D, H, W): the answer on those voxels
    # The answer as it was given; its times are those of all answers, where it took several
    answer: PatchAnswer
    count: int  # How many times the model was asked

    def agreement(self, patch: BoundingBox, logits: NDArray[np.float32]) -> float:
        """Return the Dice of this answer with one for a patch of the usual grid, in it."""
        shared = patch.intersection(self.bbox)
        if shared.is_empty:
            return 0.0
        own = self.logits[shared.relative_to(self.bbox).slices_kji] > 0
        return dice(own, logits[shared.relative_to(patch).slices_kji] > 0)


def coarse_answer(
    encoder: PatchEncoder,
    state: SessionState,
    prompt: Prompt,
    spacings_mm: Sequence[float],
    face_voxels: int,
) -> CoarseAnswer:
    """Ask the model for a structure with larger voxels, the larger the further it extends.

    The model sees the prompts in the coarse patch, and the logits that are known there, averaged as
    probabilities, as the earlier result. The anchor of the newest prompt is in the middle of the
    patch, as far as the grid allows. Of `spacings_mm`, smallest first, the next one is used where
    more than `face_voxels` voxels of a face of the coarse patch belong to the structure. The answer
    with the last one is returned.
    """
    times: dict[str, float] = {}
    count = 0
    for spacing_mm in spacings_mm:
        coarse = encoder.with_voxels_of(spacing_mm)
        view = _view(coarse, state, prompt)
        answer = asked(coarse, view)
        count += 1
        times = added_times(times, answer.timings_ms)
        if not _leaves(coarse.grid, view.patch, answer, face_voxels):
            break
    bbox = volume_bbox_of_grid_bbox(view.patch, coarse.grid, encoder.grid)
    limited = np.clip(answer.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    logits = sample_on_volume(
        limited, view.patch, coarse.grid, encoder.grid, bbox, fill=-LOGIT_LIMIT
    )
    logits = cut_off(prompt, encoder.grid, bbox, logits, state.logits.read(bbox))
    return CoarseAnswer(bbox, logits, replace(answer, timings_ms=times), count)


def with_coarse_answer(
    state: SessionState,
    coarse: CoarseAnswer,
    shrink: bool = False,
    before: SessionState | None = None,
) -> SessionState:
    """Return a state with a coarse answer wherever no patch of the usual grid has been.

    Near the faces of such patches both are blended as patches are among themselves. Nothing of a
    mask that was given is taken away, nor of the state `before` a positive prompt; every prompt is
    obeyed. `shrink` keeps nothing of the answer that is not in the mask already.
    """
    bbox, new = coarse.bbox, coarse.logits
    if shrink:
        old = state.logits.read(bbox).astype(np.float32)
        new = np.minimum(new, np.where(np.isnan(old), -PROMPT_LOGIT, old))
    new = np.fmax(new, state.given.logits.read(bbox))
    _keep_finer(state, bbox, new)
    points_kji, labels = obeyed_in(state.prompts, state.grid, bbox)
    logits = allowed_change(np.full_like(new, np.nan), new, points_kji, labels, True)
    if before is not None:
        known = before.logits.read(bbox)
        logits = allowed_change(known, logits, points_kji, labels, True)
    return state.with_logits(bbox, logits, coarse=True, timings_ms=coarse.answer.timings_ms)


def _view(coarse: PatchEncoder, state: SessionState, prompt: Prompt) -> PatchView:
    """Return what the model is shown of the coarse patch round a prompt."""
    size = coarse.predictor.settings.patch_size
    patch = centred_patch(anchor_voxel(prompt, coarse.grid), coarse.grid.shape_kji, size)
    points_kji, labels = shown_in(state.prompts, coarse.grid, patch)
    return PatchView(state, patch, points_kji, labels, coarse_logits(coarse.grid, state, patch))


def coarse_logits(
    coarse_grid: Geometry, state: SessionState, patch: BoundingBox
) -> NDArray[np.float16]:
    """Return the known logits at the voxels of a patch of a coarser grid, float16 (D, H, W).

    They are those of the mean probability in the surroundings of each voxel, where unknown voxels
    count as background; NaN where nothing is known. The patch may reach over the border of the
    grid.
    """
    grid = state.grid
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


def _keep_finer(state: SessionState, bbox: BoundingBox, logits: NDArray[np.float32]) -> None:
    """Blend what the patches of the usual grid have found into the logits of a box, in place."""
    known = [patch.intersection(bbox) for patch in state.patches]
    region = BoundingBox.empty()
    for shared in known:
        region = region.union(shared)
    weights = np.zeros(region.shape_kji, np.float32)
    for patch, shared in zip(state.patches, known, strict=True):
        if not shared.is_empty:
            own = taper_weights(patch, state.grid.shape_kji)
            part = weights[shared.relative_to(region).slices_kji]
            np.maximum(part, own[shared.relative_to(patch).slices_kji], out=part)
    if not region.is_empty:
        old = state.logits.read(region).astype(np.float32)
        new = logits[region.relative_to(bbox).slices_kji]
        new += weights * (np.nan_to_num(old) - new)
