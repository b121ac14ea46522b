"""Negative prompts deep in the mask take away the part that they lie in."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor, DecodeCall

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Box, Click, Scribble
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.opposite import less_the_opposite, share_of_part
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import PatchAnswer, PatchView, opposed

SHAPE = (32, 32, 32)


def _ball(centre_kji, radius: float) -> np.ndarray:
    """Signed distance in voxels, positive inside."""
    places = np.moveaxis(np.indices(SHAPE), 0, -1)
    return radius - np.linalg.norm(places - np.array(centre_kji), axis=-1)


LEFT, RIGHT = _ball((16, 16, 8), 6.5), _ball((16, 16, 21), 6.5)
BRIDGE = _ball((16, 16, 15), 2.5)


class _TwoBalls(BallPredictor):
    """Takes two balls for one, unless it is asked for one with a click against the other.

    A negative click takes a small ball alone, as models do.
    """

    def logits(self, call: DecodeCall) -> np.ndarray:
        points = call.points_kji.astype(int)
        positive, negative = (points[call.labels == one] for one in (1, 0))
        if call.previous_logits is None and len(negative):
            i = positive[0][2]
            return LEFT if i < 15 else RIGHT
        logits = np.maximum(np.maximum(LEFT, RIGHT), BRIDGE)
        for point in negative:
            logits = np.minimum(logits, -_ball(point, 2.0))
        return logits


def _session(weight: float) -> InteractiveSession:
    volume = Volume.from_array(np.zeros(SHAPE, np.float32), (2.0, 2.0, 2.0))
    predictor = _TwoBalls(patch_size=32, opposite_weight=weight)
    return InteractiveSession.for_volume(volume, predictor, spacing_mm=2.0)


def _ras(i: float, j: float = 16, k: float = 16) -> tuple[float, float, float]:
    return (2.0 * i, 2.0 * j, 2.0 * k)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_leak_goes_as_a_whole_if_the_model_wants_it(weight) -> None:
    session = _session(weight)
    session.add_click(_ras(8))
    assert session.mask[16, 16, 21]
    session.add_click(_ras(21), positive=False)
    overlap = dice(LEFT > 0, session.mask)
    assert overlap > 0.97 if weight else overlap < 0.75
    assert len(session.predictor.decoded) == (3 if weight else 2)


def test_a_stroke_in_the_leak_does_the_same() -> None:
    session = _session(1.0)
    session.add_click(_ras(8))
    session.add(Scribble([_ras(19), _ras(23)], positive=False))
    assert dice(LEFT > 0, session.mask) > 0.97


@pytest.mark.parametrize("shown", [[True, True], [False, False]])
def test_without_points_of_both_kinds_in_the_patch_nothing_is_asked(shown) -> None:
    volume = Volume.from_array(np.zeros(SHAPE, np.float32), (2.0, 2.0, 2.0))
    predictor = _TwoBalls(patch_size=32, opposite_weight=1.0)
    encoder = PatchEncoder(volume, volume.geometry, predictor)
    state = SessionState.empty(volume.geometry, volume.geometry)
    known = np.maximum(np.maximum(LEFT, RIGHT), BRIDGE).astype(np.float16)
    points, patch = np.array([[16, 16, 8], [16, 16, 21]]), BoundingBox.from_shape(SHAPE)
    answer = PatchAnswer(known.astype(np.float32))
    click = Click(_ras(21), False)
    view = PatchView(state, patch, points, np.array(shown), known)
    assert opposed(encoder, view, click, answer) is answer
    both = PatchView(state, patch, points, np.array([True, False]), known)
    assert opposed(encoder, both, click, answer).logits[16, 16, 21] < 0


def test_a_leak_stays_away_in_the_next_frame() -> None:
    session = _session(1.0)
    session.add_click(_ras(8))
    session.add_click(_ras(21), positive=False)
    mask, prompts = session.mask.copy(), session.prompts
    box = BoundingBox.from_mask(mask)
    session.carry(prompts, MaskUpdate(mask[box.slices_kji], box))
    assert dice(LEFT > 0, session.mask) > 0.97
    assert not session.mask[16, 16, 23]


def test_near_the_border_a_click_corrects_the_border() -> None:
    session = _session(1.0)
    session.add_click(_ras(8))
    before = session.mask.copy()
    session.add_click(_ras(27), positive=False)
    assert len(session.predictor.decoded) == 2
    assert session.mask[16, 16, 21]
    assert 0 < (before & ~session.mask).sum() < 0.05 * before.sum()


def test_a_box_says_by_itself_how_much_is_wrong() -> None:
    session = _session(1.0)
    session.add_click(_ras(8))
    session.add(Box.of_corners(_ras(20, 15, 15), _ras(22, 17, 17), positive=False))
    assert len(session.predictor.decoded) == 2
    assert session.mask[16, 16, 25]


def test_without_a_positive_prompt_in_the_patch_no_more_goes_than_without() -> None:
    volume = Volume.from_array(np.zeros((32, 32, 120), np.float32), (2.0, 2.0, 2.0))
    predictor = BallPredictor(patch_size=32, radius=6.0, opposite_weight=1.0)
    whole = np.zeros((32, 32, 120), bool)
    whole[8:24, 8:24, 4:116] = True
    box = BoundingBox.from_mask(whole)
    session = InteractiveSession.for_volume(volume, predictor, spacing_mm=2.0)
    session.rebase([Click(_ras(10))], MaskUpdate(whole[box.slices_kji], box))
    session.add_click(_ras(90), positive=False)
    assert len(predictor.decoded) == 1
    assert session.mask[16, 16, 80]
    session.add_click(_ras(22), positive=False)
    assert len(predictor.decoded) > 2


def test_positive_clicks_and_what_is_near_them_stay() -> None:
    session = _session(50.0)
    session.add_click(_ras(8))
    session.add_click(_ras(19), positive=False)
    near = _ball((16, 16, 8), 4.0) > 0
    assert session.mask[near].all()
    session.undo()
    assert session.mask[16, 16, 19]


def test_what_was_taken_away_can_be_put_back() -> None:
    session = _session(1.0)
    for position, positive in ((_ras(8), True), (_ras(21), False), (_ras(21, 13), True)):
        session.add(Click(position, positive))
    assert session.mask[16, 13, 21]
    assert not session.mask[16, 16, 21]


def test_how_deep_is_relative_to_the_mask() -> None:
    for radius in (5.0, 12.0):
        mask = _ball((16, 16, 16), radius) > 0
        deep, shallow = (16, 16, 16), (16, 16, int(16 + radius - 1))
        assert share_of_part(mask, np.array([deep])) == 1.0
        assert share_of_part(mask, np.array([shallow])) == 0.0
        assert share_of_part(mask, np.array([shallow, deep])) == 1.0
    assert share_of_part(mask, np.zeros((0, 3), np.intp)) == 0.0
    assert share_of_part(np.zeros(SHAPE, bool), np.array([deep])) == 0.0
    for corner in ((2, 2, 2), (29, 29, 29)):  # no border in sight, in no direction
        assert share_of_part(np.ones(SHAPE, bool), np.array([corner])) == 0.0


def test_it_counts_by_the_distance_to_both_kinds_of_prompts() -> None:
    points, labels = np.array([[16, 16, 4], [16, 16, 28]]), np.array([True, False])
    logits, opposite = np.zeros(SHAPE, np.float32), np.full(SHAPE, 3.0, np.float32)
    opposite[:8] = -3.0
    result = less_the_opposite(logits, opposite, points, labels, 0.5)
    distance = [np.linalg.norm(np.moveaxis(np.indices(SHAPE), 0, -1) - p, axis=-1) for p in points]
    share = 2 * distance[0] / (distance[0] + distance[1])
    np.testing.assert_allclose(result[8:], -1.5 * share[8:], rtol=1e-5)
    np.testing.assert_array_equal(result[:8], 0.0)
    assert not logits.any()
