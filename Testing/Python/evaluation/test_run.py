"""Methods on all cases, with clicks of their own or shared."""

from __future__ import annotations

import pytest
from fake_predictor import BallPredictor

from CTSAM3DLib.evaluation.cases import find_cases
from CTSAM3DLib.evaluation.methods import ModelMethod, baseline_method
from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.run import evaluate, patch_extent_mm


def test_shared_clicks_come_from_the_first_method(data_folder):
    methods = [ModelMethod(BallPredictor(radius=3.0)), baseline_method("confidence_connected")]
    protocol = ClickProtocol(max_clicks=4)
    cases = find_cases(data_folder, "validation")
    own, shared = (
        next(iter(evaluate(cases, methods, protocol, shared_clicks=flag)))[1]
        for flag in (False, True)
    )

    def clicks(result):
        return [step.click for step in result.trace.steps]

    assert clicks(shared[0]) == clicks(shared[1]) == clicks(own[0])
    assert clicks(own[0])[0] == clicks(own[1])[0]
    assert clicks(own[0]) != clicks(own[1])


def test_patch_extent_follows_the_model(ball):
    volume = ball[0]
    settings = BallPredictor(patch_size=32, spacing_mm=4.0).settings
    assert patch_extent_mm(volume, settings, None) == pytest.approx(128.0)
    assert patch_extent_mm(volume, settings, 3.0) == pytest.approx(96.0)
