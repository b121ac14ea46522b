"""Uncertainty of a mask: an expected error, made of calibrated probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor

from CTSAM3DLib.api import segment
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segment import Base, RegionMask
from CTSAM3DLib.models.calibration import Calibration
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.uncertainty import uncertainty_of

SHAPE = (100, 20, 30)
GRID = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE)
VOLUME = Volume(np.zeros(SHAPE, np.int16), GRID)


def state_of(logits: np.ndarray) -> SessionState:
    box = BoundingBox((0, 0, 0), logits.shape[::-1])
    return SessionState.empty(GRID, GRID).with_logits(box, logits)


def test_it_is_the_expected_error_of_structures_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(1, 2, SHAPE).astype(np.float16).astype(np.float64)
    one = Calibration((-6.0, 0.0, 6.0), (0.05, 0.4, 0.9))
    probabilities = one.probabilities(logits)
    mask = logits > 0
    errors = []
    for _ in range(20):
        drawn = rng.random(SHAPE) < probabilities
        errors.append(1 - 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum()))
    assert uncertainty_of(state_of(logits), one) == pytest.approx(np.mean(errors), abs=0.003)


def test_only_what_lies_near_the_mask_counts_and_is_scaled_up_to_one() -> None:
    logits = np.full((8, 8, 8), 3.0)
    small = state_of(np.pad(logits, ((0, 5), (0, 0), (0, 0)), constant_values=-2.0))  # 10 mm
    whole = state_of(np.pad(logits, ((0, 60), (0, 0), (0, 0)), constant_values=-2.0))
    found = uncertainty_of(small, Calibration())
    assert found is not None
    assert uncertainty_of(whole, Calibration()) == pytest.approx(found, abs=1e-6)
    assert uncertainty_of(small, Calibration(scale=2.0)) == pytest.approx(2 * found)
    assert uncertainty_of(small, Calibration(scale=99.0)) == 1.0


def test_of_two_masks_with_the_same_probabilities_the_smaller_one_is_less_sure() -> None:
    logits = np.full((8, 8, 8), 3.0)  # 512 voxels
    small, large = state_of(logits), state_of(np.repeat(logits, 4, axis=0))
    by_size = Calibration(size_power=0.5)
    plain = uncertainty_of(small, Calibration())
    assert plain is not None
    assert uncertainty_of(large, Calibration()) == pytest.approx(plain)
    assert uncertainty_of(small, by_size) == pytest.approx(plain * 0.512**-0.5)
    assert uncertainty_of(large, by_size) == pytest.approx(plain * 2.048**-0.5)


def test_an_empty_mask_is_as_uncertain_as_can_be_and_an_untouched_one_unknown() -> None:
    assert uncertainty_of(state_of(np.full((4, 4, 4), -1.0)), Calibration()) == 1.0
    assert uncertainty_of(SessionState.empty(GRID, GRID), Calibration()) is None


def test_a_session_and_a_result_tell_it() -> None:
    predictor = BallPredictor(radius=4)
    session = InteractiveSession.for_volume(VOLUME, predictor)
    assert session.uncertainty is None
    position = GRID.ras_from_ijk((15, 10, 50)).tolist()
    session.add_click(position)
    result = segment(VOLUME, {"a": {"positive": [position]}}, predictor)
    assert result.uncertainty == {"a": session.uncertainty}
    assert 0 < result.uncertainty["a"] < 1


def test_a_mask_that_was_kept_has_none() -> None:
    mask = RegionMask(np.ones((2, 2, 2), bool), BoundingBox((4, 4, 4), (6, 6, 6)))
    base = Base(mask, ClickHistory([Click((10.0, 10.0, 10.0))]))
    result = segment(VOLUME, {"a": base}, BallPredictor())
    assert result.uncertainty == {}
    assert result["a"].mask.voxel_count == 8
