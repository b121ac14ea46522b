"""Structures that the model decodes with an adapter, by their names, wherever one is segmented.

With an adapter the stand-in answers with a ball twice as large. In ``test_voxel_sizes.py`` the same
ball is compared with distances by SimpleITK.
"""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume
from waiting import HANG_S

import CTSAM3DLib
from CTSAM3DLib.engine import ClickRequest, ModelChoice, SegmentationEngine
from CTSAM3DLib.evaluation.methods import ModelMethod
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session import InteractiveSession

MIDDLE = (0.0, 0.0, 0.0)
USUAL, ADAPTED = (4 / 3 * np.pi * radius**3 for radius in (6.0, 12.0))
EXPECTED = {"Sacrum": ADAPTED, "femur_left": ADAPTED, "liver": USUAL, "my lesion": USUAL}


@pytest.fixture
def predictor() -> BallPredictor:
    return BallPredictor(adapters={"sacrum": "pelvis", "femur_left": "pelvis"})


@pytest.fixture
def volume():
    return empty_volume(centred_geometry([100] * 3, [2.0] * 3))


def near(mask: np.ndarray, voxels: float) -> bool:
    return abs(np.count_nonzero(mask) / voxels - 1.0) < 0.1


def test_names_choose_the_adapter(volume, predictor) -> None:
    clicks = {"positive": [MIDDLE]}
    found = CTSAM3DLib.segment(volume, dict.fromkeys(EXPECTED, clicks), predictor)
    for name, voxels in EXPECTED.items():
        assert near(found.mask(name), voxels), name
    assert predictor.encode_calls == 1


def test_a_wish_for_a_voxel_size_leaves_the_adapter(volume, predictor) -> None:
    clicks = {"positive": [MIDDLE]}
    found = CTSAM3DLib.segment(volume, {"sacrum": clicks}, predictor, spacing_mm=3.0)
    assert near(found.mask("sacrum"), ADAPTED * 1.5**3)


def test_the_engine_and_an_evaluation_answer_alike(volume, predictor) -> None:
    engine = SegmentationEngine(lambda model, device: predictor)
    prompts = ClickHistory([Click(MIDDLE)])
    try:
        for name, voxels in EXPECTED.items():
            choice = ModelChoice(anatomy=name)
            request = ClickRequest(volume, "ct", name, ClickHistory(), prompts, choice)
            update = engine.request(request).result(HANG_S).update
            assert near(update.mask_kji, voxels), name
            assert near(ModelMethod(predictor).start(volume, name)(Click(MIDDLE)), voxels), name
    finally:
        engine.close()


def test_a_structure_that_is_named_later_is_decoded_with_the_adapter(volume, predictor) -> None:
    engine = SegmentationEngine(lambda model, device: predictor)
    first = ClickHistory([Click(MIDDLE)])
    both = first.added(Click((2.0, 0.0, 0.0)))
    try:
        request = ClickRequest(volume, "ct", 1, ClickHistory(), first, ModelChoice())
        shown = engine.request(request).result(HANG_S).update
        renamed = ModelChoice(anatomy="sacrum")
        request = ClickRequest(volume, "ct", 1, first, both, renamed, present=shown)
        update = engine.request(request).result(HANG_S).update
    finally:
        engine.close()
    assert np.count_nonzero(update.mask_kji) > 5 * USUAL


def test_a_growing_session_keeps_the_adapter(volume, predictor) -> None:
    predictor.radius = 9.0  # so that the answer reaches the faces of its patch
    session = InteractiveSession.for_volume(volume, predictor, grow="coarse")
    session.for_another_structure(anatomy="sacrum").add_click(MIDDLE)
    assert len(predictor.decoded) > 1
    assert {call.adapter for call in predictor.decoded} == {"pelvis"}
