"""The border of an answer by the intensities of the CT."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from scipy import ndimage, stats

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.intensities import sharpened
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import PatchAnswer, PatchView, edged

SHAPE = (32, 32, 32)


def _distance(centre) -> np.ndarray:
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return np.sqrt((k - centre[0]) ** 2 + (j - centre[1]) ** 2 + (i - centre[2]) ** 2)


TRUTH = _distance((16, 16, 16)) < 8
SHIFTED = (8 - _distance((16, 16, 18))).astype(np.float32)  # two voxels beside the truth


def _image(inside_hu: float, outside_hu: float, noise_hu: float = 10.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0.0, noise_hu, SHAPE)
    return (np.where(TRUTH, inside_hu, outside_hu) + noise).astype(np.float32)


@pytest.mark.parametrize(("inside_hu", "outside_hu"), [(150, 50), (50, 150), (-850, 40), (0, 60)])
def test_the_border_goes_where_the_intensities_change(inside_hu, outside_hu) -> None:
    better = sharpened(SHIFTED, _image(inside_hu, outside_hu), 1.5)
    assert dice(TRUTH, SHIFTED > 0) < 0.85
    assert dice(TRUTH, better > 0) > 0.95


def test_the_change_is_the_logarithm_of_the_ratio_of_two_densities() -> None:
    logits = (8 - _distance((16, 16, 16))).astype(np.float32)
    noise = np.random.default_rng(0).normal(0.0, 30.0, SHAPE)
    image = (np.where(TRUTH, 100.0, 20.0) + noise).astype(np.float32)
    change = sharpened(logits, image, 2.0) - logits
    near = (np.abs(logits) < 1.5) & (np.abs(image - 60.0) < 45.0)
    spread = np.hypot(30, 14)  # of the noise, and of the smoothing of histograms
    expected = stats.norm.logpdf(image, 100, spread) - stats.norm.logpdf(image, 20, spread)
    wrong = np.abs(change / 2.0 - np.clip(expected, -3.0, 3.0))[near]
    assert np.median(wrong) < 0.2


def test_what_is_brighter_everywhere_has_the_same_border() -> None:
    image = _image(150, 50)
    np.testing.assert_allclose(
        sharpened(SHIFTED, image + np.float32(512), 1.0), sharpened(SHIFTED, image, 1.0), atol=1e-3
    )


def test_only_the_surroundings_of_the_border_change() -> None:
    mask = SHIFTED > 0
    change = sharpened(SHIFTED, _image(150, 50), 1.5) != SHIFTED
    outside = ndimage.distance_transform_cdt(~mask, "chessboard")
    inside = ndimage.distance_transform_cdt(mask, "chessboard")
    assert change.any()
    assert not change[(outside > 3) | (inside > 3)].any()


def test_intensities_that_tell_nothing_move_nearly_nothing() -> None:
    image = np.random.default_rng(1).normal(40.0, 20.0, SHAPE).astype(np.float32)
    assert dice(SHIFTED > 0, sharpened(SHIFTED, image, 1.5) > 0) > 0.97


@pytest.mark.parametrize(
    "logits",
    [
        np.full(SHAPE, -5.0, np.float32),  # nothing found
        (1.6 - _distance((16, 16, 16))).astype(np.float32),  # sure of too few voxels
        np.full(SHAPE, 5.0, np.float32),  # without surroundings
    ],
)
def test_without_two_sides_an_answer_stays_as_it_is(logits) -> None:
    assert sharpened(logits, _image(150, 50), 1.5) is logits


def test_what_is_given_stays_as_it_is() -> None:
    logits, image = SHIFTED.copy(), _image(150, 50)
    sharpened(logits, image, 1.5)
    np.testing.assert_array_equal(logits, SHIFTED)
    assert sharpened(logits, image, 0.0) is logits


def _bright_box() -> tuple[Volume, np.ndarray]:
    truth = np.zeros((40, 40, 40), bool)
    truth[14:26, 14:26, 14:28] = True
    hu = np.where(truth, 160.0, 20.0) + np.random.default_rng(2).normal(0.0, 10.0, truth.shape)
    return Volume.from_array(hu.astype(np.float32), (2.0, 2.0, 2.0)), truth


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_a_session_follows_them_as_far_as_the_model_wants(weight) -> None:
    volume, truth = _bright_box()
    session = InteractiveSession.for_volume(
        volume, BallPredictor(radius=8.5, intensity_weight=weight), spacing_mm=2.0
    )
    session.add_click(tuple(volume.geometry.ras_from_ijk(np.array([20.0, 19.0, 19.0]))))
    overlap = dice(truth, session.mask)
    assert overlap > 0.93 if weight else overlap < 0.9


def test_a_click_is_obeyed_where_the_intensities_say_no() -> None:
    volume, truth = _bright_box()
    session = InteractiveSession.for_volume(
        volume, BallPredictor(radius=8.5, intensity_weight=50.0), spacing_mm=2.0
    )
    outside = volume.geometry.ras_from_ijk(np.array([20.0, 29.0, 19.0]))
    session.add_click(tuple(volume.geometry.ras_from_ijk(np.array([20.0, 19.0, 19.0]))))
    before = session.mask.copy()
    session.add_click(tuple(outside))
    assert not truth[19, 29, 20]
    assert session.mask[19, 29, 20]
    assert (session.mask & before == before).all()


class _Plate(BallPredictor):
    """Always finds the plate."""

    def decode(self, *_arguments):
        return _plate_logits()


def _plate_logits() -> np.ndarray:
    plate = np.zeros((32, 32, 32), bool)
    plate[14:18, 3:29, 3:29] = True
    depth = [ndimage.distance_transform_edt(one) - 0.5 for one in (plate, ~plate)]
    return np.where(plate, 1.5 * depth[0], -1.5 * depth[1]).astype(np.float32)


def test_a_first_click_on_an_intensity_of_the_surroundings_keeps_its_structure() -> None:
    plate = _plate_logits() > 0
    hole = plate & (_distance((16, 16, 16)) < 4)
    noise = np.random.default_rng(3).normal(0.0, 10.0, SHAPE)
    hu = (np.where(plate & ~hole, 120.0, 0.0) + noise).astype(np.float32)
    session = InteractiveSession.for_volume(
        Volume.from_array(hu, (2.0, 2.0, 2.0)), _Plate(intensity_weight=1.5), spacing_mm=2.0
    )
    session.add_click((32.0, 32.0, 32.0))
    assert dice(plate, session.mask) > 0.95


def test_the_same_frame_again_has_the_same_border() -> None:
    volume, truth = _bright_box()
    session = InteractiveSession.for_volume(
        volume, BallPredictor(radius=8.5, intensity_weight=1.5), spacing_mm=2.0
    )
    session.add_click(tuple(volume.geometry.ras_from_ijk(np.array([20.0, 19.0, 19.0]))))
    first, prompts = session.mask.copy(), session.prompts
    box = BoundingBox.from_mask(first)
    session.carry(prompts, MaskUpdate(first[box.slices_kji], box))
    assert dice(truth, first) > 0.93
    assert dice(first, session.mask) > 0.99


def test_air_beyond_the_volume_is_no_surroundings() -> None:
    thin, _ = _bright_box()
    box = BoundingBox((0, 0, 12), (40, 40, 28))
    slab = Volume(thin.array_kji[box.slices_kji], thin.geometry.cropped(box))
    predictor = BallPredictor(patch_size=32, radius=8.5, intensity_weight=1.5)
    encoder = PatchEncoder(slab, slab.geometry, predictor)
    patch = BoundingBox((4, 3, -8), (36, 35, 24))
    click = Click(tuple(slab.geometry.ras_from_ijk(np.array([20.0, 19.0, 7.0]))))
    state = SessionState.empty(slab.geometry, slab.geometry).with_prompt(click)
    view = PatchView.of(state, patch)
    plain = 8.5 - np.sqrt(((np.argwhere(np.ones((32,) * 3)) - (15, 16, 16)) ** 2).sum(1))
    plain = plain.reshape(32, 32, 32).astype(np.float32)
    answer = edged(encoder, view, PatchAnswer(plain)).logits
    inside = (slice(8, 24), slice(None), slice(None))
    image = slab.array_kji[:, 3:35, 4:36].astype(np.float32)
    np.testing.assert_allclose(answer[inside], sharpened(plain[inside], image, 1.5), atol=1e-4)
    np.testing.assert_array_equal(answer[:8], plain[:8])
