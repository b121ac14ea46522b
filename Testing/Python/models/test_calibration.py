"""Calibrations: the bundled model has one, others are taken as they are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from CTSAM3DLib.models.calibration import Calibration, calibration_of
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.store import resolve_model


def test_what_was_measured_is_found_by_id_and_version() -> None:
    settings = replace(resolve_model(None).settings, model_id="ctsam3d-lite", version=1)
    assert calibration_of(settings).is_measured
    other = calibration_of(replace(settings, version=1000))
    assert other == Calibration()
    learnt = replace(settings, model_id="mine", calibrated_as="ctsam3d-lite")
    stored = json.loads(json.dumps(learnt.to_dict()))
    assert calibration_of(ModelSettings.from_dict(stored)) == calibration_of(settings)


def test_without_a_curve_probabilities_are_those_of_the_sigmoid_without_overflow() -> None:
    logits = np.array([-1e4, -2.0, 0.0, 2.0, 1e4], np.float16)
    found = Calibration().probabilities(logits)
    assert found.dtype == np.float32
    assert np.allclose(found, 1 / (1 + np.exp(-np.clip(logits.astype(float), -50, 50))), atol=1e-6)


def test_the_curve_of_the_bundled_model_rises() -> None:
    one = calibration_of(replace(resolve_model(None).settings, model_id="ctsam3d-lite", version=1))
    found = one.probabilities(np.linspace(-20, 20, 401))
    assert (np.diff(found) >= 0).all()
    assert found[0] < 0.05
    assert found[-1] > 0.8
