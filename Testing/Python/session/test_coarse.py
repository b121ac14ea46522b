"""Where a answer with larger voxels lies, and what it is shown: against independent oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from fake_predictor import BallPredictor, ComponentPredictor, DecodeCall
from growing_case import (
    MIDDLE,
    PATCH,
    encoder_of,
    great_ball,
    start_of,
)
from phantoms import ORIENTATIONS, centred_geometry

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.coarse import (
    CoarseAnswer,
    coarse_answer,
    coarse_logits,
    with_coarse_answer,
)
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.growing import grown_state
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import PatchAnswer

# Geometry --------------------------------------------------------------------------------------


def sitk_image(values_kji: np.ndarray, geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(values_kji.astype(np.float64))
    lps = np.diag([-1.0, -1.0, 1.0])
    image.SetOrigin((lps @ geometry.origin_ras).tolist())
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection((lps @ geometry.directions_ras).ravel().tolist())
    return image


def part_of(grid: Geometry, box: BoundingBox) -> Geometry:
    """The grid of a box, also of one that reaches over the border."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] = grid.ras_from_ijk(np.array(box.start_ijk, float))
    return Geometry(matrix, box.shape_kji)


class Waves(BallPredictor):
    """An answer without any symmetry."""

    def logits(self, _call: DecodeCall):
        k, j, i = np.indices((self.patch_size,) * 3)
        return 3 * np.sin(0.31 * i) + 4 * np.sin(0.17 * j + 1) + 5 * np.cos(0.23 * k) + 0.1 * i


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_coarse_answer_lies_where_simpleitk_puts_it(name) -> None:
    geometry = centred_geometry((90, 170, 150), (1.3, 2.2, 3.1), ORIENTATIONS[name])
    hu = np.zeros(geometry.shape_kji, np.float32)
    encoder = PatchEncoder(Volume(hu, geometry), model_grid(geometry, 2.0), Waves(), 9)
    click = Click(tuple(ORIENTATIONS[name] @ (11.0, -20.0, 13.0)))
    state = SessionState.empty(geometry, encoder.grid).with_prompt(click)
    coarse_found = coarse_answer(encoder, state, click, (4.0,), 10**6)
    coarse = model_grid(geometry, 4.0)
    (call,) = encoder.predictor.decoded
    (patch,) = encoder.with_voxels_of(4.0)
    image = sitk_image(coarse_found.answer.logits, part_of(coarse, patch))
    target = part_of(encoder.grid, coarse_found.bbox)
    reference = sitk.Image([*target.size_ijk], sitk.sitkFloat64)
    reference.CopyInformation(sitk_image(np.zeros(target.shape_kji), target))
    expected = sitk.GetArrayFromImage(
        sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, -99.0)
    )
    inside = expected > -99.0
    assert inside.mean() > 0.9
    np.testing.assert_allclose(coarse_found.logits[inside], expected[inside], atol=1e-4)
    # The box is all of the usual grid whose centres lie in the coarse patch.
    k, j, i = np.indices(encoder.grid.shape_kji)
    centres = encoder.grid.ras_from_ijk(np.stack([i, j, k], axis=-1).astype(float))
    holders = np.floor(part_of(coarse, patch).ijk_from_ras(centres) + 0.5 + 1e-9)
    assert coarse_found.bbox == BoundingBox.from_mask(
        ((holders >= 0) & (holders < PATCH)).all(axis=-1)
    )
    assert call.labels.tolist() == [1]


@pytest.mark.parametrize("name", ["axial", "oblique", "oblique left-handed coronal"])
def test_what_is_known_is_shown_with_larger_voxels_where_it_lies(name) -> None:
    geometry = centred_geometry((90, 170, 150), (1.3, 2.2, 3.1), ORIENTATIONS[name])
    grid, coarse = model_grid(geometry, 2.0), model_grid(geometry, 5.0)
    known = BoundingBox((5, 20, 10), (37, 52, 42))
    middle = grid.ras_from_ijk((20.5, 35.5, 25.5))
    slope = np.array([0.006, -0.005, 0.004])

    def probability(points_ras):
        return 0.5 + (points_ras - middle) @ slope

    k, j, i = np.indices(known.shape_kji)
    voxels = np.stack([i, j, k], axis=-1) + np.array(known.start_ijk)
    share = probability(grid.ras_from_ijk(voxels.astype(float)))
    state = SessionState.empty(geometry, grid)
    logits = state.logits.written(known, np.log(share / (1 - share)))
    state = replace(state, logits=logits)
    patch = BoundingBox((5, 12, 8), (37, 44, 40))
    shown = coarse_logits(coarse, state, patch).astype(np.float64)
    k, j, i = np.indices(patch.shape_kji)
    at = coarse.ras_from_ijk((np.stack([i, j, k], axis=-1) + np.array(patch.start_ijk)) * 1.0)
    on_fine = grid.ijk_from_ras(at)
    start, stop = np.array(known.start_ijk), np.array(known.stop_ijk)
    deep = ((on_fine > start + 5) & (on_fine < stop - 6)).all(axis=-1)
    far = ((on_fine < start - 6) | (on_fine > stop + 5)).any(axis=-1)
    expected = probability(at[deep])
    assert deep.sum() > 200
    np.testing.assert_allclose(shown[deep], np.log(expected / (1 - expected)), atol=0.01)
    assert np.isnan(shown[far]).all()
    assert not np.isnan(shown[deep]).any()


def test_a_coarse_answer_changes_nothing_inside_the_patches_of_the_usual_grid() -> None:
    encoder = encoder_of(great_ball(np.eye(3)), ComponentPredictor())
    state = grown_state(encoder, start_of(encoder), MIDDLE, mode=GrowMode.OFF)
    (patch,) = state.patches
    bbox = BoundingBox.from_shape(encoder.grid.shape_kji)
    logits = np.full(bbox.shape_kji, -3.0, np.float32)
    times = {"encode_ms": 7.0, "decode_ms": 5.0}
    coarse_found = CoarseAnswer(bbox, logits, PatchAnswer(logits, times), 1)
    after = with_coarse_answer(state, coarse_found)
    spent = {name: time - state.timings_ms[name] for name, time in after.timings_ms.items()}
    assert (spent["encode_ms"], spent["decode_ms"]) == pytest.approx((7.0, 5.0))
    assert spent["resample_ms"] > 0
    before_kji, after_kji = (one.logits.read(patch) for one in (state, after))
    ramp = PATCH // 8
    deep = (slice(ramp, -ramp),) * 3
    np.testing.assert_array_equal(after_kji[deep], before_kji[deep])
    assert (after_kji != before_kji).any()
    outside = after.logits.dense()
    outside[patch.slices_kji] = -3.0
    assert (outside == -3.0).all()
