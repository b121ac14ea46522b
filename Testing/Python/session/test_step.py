"""One step as a pure function."""

from __future__ import annotations

import numpy as np
import pytest
from failing_predictor import FailingPredictor
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import ClickOutsideVolumeError, ModelAnswerError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import answered, blended, taper_weights


def encoder() -> PatchEncoder:
    volume = empty_volume(centred_geometry([100] * 3, [2] * 3))
    return PatchEncoder(volume, model_grid(volume.geometry, 2.0), BallPredictor())


def start(patches: PatchEncoder) -> SessionState:
    return SessionState.empty(patches.volume.geometry, patches.grid)


def test_a_step_leaves_the_earlier_state_as_it_was() -> None:
    patches = encoder()
    empty = start(patches)
    one = answered(patches, empty, Click((0.0, 0.0, 0.0)))
    before = one.mask.dense(), one.logits.dense()
    two = answered(patches, one, Click((8.0, 0.0, 0.0), positive=False))
    assert two.parent is one
    assert one.parent is empty
    np.testing.assert_array_equal(one.mask.dense(), before[0])
    np.testing.assert_array_equal(one.logits.dense(), before[1])
    assert not empty.mask.dense().any()
    assert np.isnan(empty.logits.dense()).all()
    assert (one.mask.dense() != two.mask.dense()).any()


def test_a_click_outside_is_refused_before_the_model_runs() -> None:
    patches = encoder()
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        answered(patches, start(patches), Click((0.0, 0.0, 51.0)))
    assert patches.predictor.encode_calls == 0


# Joining patches --------------------------------------------------------------------------------

GRID = (20, 30, 40)  # K, J, I


@pytest.mark.parametrize("start", [(10, 5, 2), (0, 14, -3), (24, -4, 4), (5, 0, 0)])
def test_the_taper_falls_only_at_faces_inside_the_grid(start) -> None:
    patch = BoundingBox(start, tuple(value + 16 for value in start))
    weights = taper_weights(patch, GRID)
    assert weights.dtype == np.float32
    for k, j, i in np.ndindex(16, 16, 16):
        expected = 1.0
        for index, first, size in zip((i, j, k), start, GRID[::-1], strict=True):
            low = {0: 0.25, 1: 0.75}.get(index, 1.0) if first > 0 else 1.0
            high = {15: 0.25, 14: 0.75}.get(index, 1.0) if first + 16 < size else 1.0
            expected *= min(low, high)
        assert weights[k, j, i] == pytest.approx(expected)


def test_blending_is_a_mean_where_something_was_known() -> None:
    old = np.array([[[np.nan, 4.0, 4.0, -20.0]]], np.float16)
    new = np.array([[[3.0, -4.0, -4.0, 1000.0]]], np.float32)
    weights = np.array([[[0.0, 1.0, 0.25, 0.5]]], np.float32)
    result = blended(old, new, weights)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[[3.0, -4.0, 2.0, 0.0]]])


@pytest.mark.parametrize("kind", ["answers NaN", "answers infinity", "answers too little"])
def test_an_answer_that_is_no_mask_is_an_error_and_no_step(kind: str) -> None:
    predictor = FailingPredictor()
    session = open_session(empty_volume(centred_geometry([100.0] * 3, [2.0] * 3)), predictor)
    session.add_click((0, 0, 0))
    before = session.state
    predictor.fail(kind, 1)
    with pytest.raises(ModelAnswerError, match=r"finite numbers .* choose the device 'cpu'"):
        session.add_click((4, 0, 0))
    assert session.state is before
