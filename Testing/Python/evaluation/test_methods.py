"""Models and classical methods by name, driven by clicks."""

from __future__ import annotations

import sys

import pytest
from evaluation_case import CENTRE
from fake_predictor import BallPredictor

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.methods import ModelMethod, baseline_method, model_options
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.prompts import Click


def test_missing_slicer_core_is_named_before_the_first_click(ball, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer_core", None)
    with pytest.raises(CTSAM3DError, match="grow_from_seeds needs slicer-core and vtk"):
        baseline_method("grow_from_seeds").start(ball[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("magic", "expected a method of model, confidence_connected.*got 'magic'"),
        ("grow_from_seeds[size=3]", "expected an option of margin_mm, .*got 'size'"),
        ("random_walker[beta=much]", "expected a number for beta, got 'much'"),
        ("random_walker[beta=True]", "expected a number for beta, got 'True'"),
    ],
)
def test_unknown_methods_and_options_are_named(text, message):
    with pytest.raises(CTSAM3DError, match=message):
        baseline_method(text)


def test_model_is_driven_through_a_session_of_its_own_for_each_structure(ball):
    volume, truth = ball
    method = ModelMethod(BallPredictor(radius=9.0, spacing_mm=2.0))
    first = method.start(volume)
    mask = first(CENTRE)
    # A ball of 18 mm against one of 20 mm.
    assert dice(mask, truth) == pytest.approx(2 * 18**3 / (18**3 + 20**3), abs=0.01)
    elsewhere = method.start(volume)(Click((40.0, 40.0, 40.0)))
    assert elsewhere.sum() == pytest.approx(mask.sum(), rel=0.1)
    encoded = method.predictor.encode_calls
    method.start(volume)(CENTRE)
    assert method.predictor.encode_calls == encoded


def test_a_model_can_grow() -> None:
    assert model_options("model") == (None, "off")
    assert model_options("model[grow=auto]") == (None, "auto")
    assert model_options("model:mine[grow=coarse]") == ("mine", "coarse")
    for wrong in ("model[grow=up]", "model[speed=2]", "model:", "model:a[grow=auto"):
        with pytest.raises(CTSAM3DError):
            model_options(wrong)
