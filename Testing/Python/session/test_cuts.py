"""Straight cuts of a mask, on a tube that is longer than several patches."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import ComponentPredictor
from growing_case import MIDDLE, long_tube
from phantoms import ORIENTATIONS, centred_geometry, phantom, tube
from slow_values import slow
from waiting import HANG_S

from CTSAM3DLib.api import open_session, segment
from CTSAM3DLib.engine import ClickRequest, SegmentationEngine
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session.cuts import cut_mm2, cut_notices

DISC_MM2 = np.pi * 12.0**2
"""Cross-section of the tube."""


def place(name: str, along_mm: float) -> np.ndarray:
    return ORIENTATIONS[name] @ np.array([0.0, 0.0, along_mm])


@pytest.mark.parametrize("name", ["oblique left-handed coronal", *slow("axial", "oblique")])
def test_the_area_is_that_of_the_cross_sections_at_which_it_ends(name: str) -> None:
    truth = long_tube(ORIENTATIONS[name])
    session = open_session(truth.volume, ComponentPredictor())
    assert cut_notices(session.state) == ()
    session.add_click(place(name, 0.0))
    assert cut_mm2(session.state) == pytest.approx(2 * DISC_MM2, rel=0.1)
    session.add_click(place(name, 105.0))  # in a patch that does not touch the first one
    assert cut_mm2(session.state) == pytest.approx(3 * DISC_MM2, rel=0.1)
    session.add_click(place(name, 55.0))  # between them
    assert cut_mm2(session.state) == pytest.approx(DISC_MM2, rel=0.1)
    session.undo()
    assert cut_mm2(session.state) == pytest.approx(3 * DISC_MM2, rel=0.1)


@pytest.mark.parametrize("slices", [38, 39])
def test_thick_slices_hide_no_cut(slices: int) -> None:
    geometry = centred_geometry((60, 60, 7 * slices), (2, 2, 7))
    truth = phantom(geometry, tube((0, 0, -999), (0, 0, 999), 12.0))
    session = open_session(truth.volume, ComponentPredictor())
    session.add_click(MIDDLE.position_ras)
    assert cut_mm2(session.state) == pytest.approx(2 * DISC_MM2, rel=0.1)


def test_a_structure_that_was_followed_to_its_ends_has_none() -> None:
    session = open_session(long_tube().volume, ComponentPredictor(), grow="frontier")
    session.add_click(MIDDLE.position_ras)
    assert cut_mm2(session.state) == 0.0


def test_the_border_of_the_volume_is_no_cut() -> None:
    truth = phantom(centred_geometry((60, 60, 40), (2, 2, 2)), tube((0, 0, -99), (0, 0, 99), 12.0))
    session = open_session(truth.volume, ComponentPredictor(), grow="frontier")
    session.add_click(MIDDLE.position_ras)
    assert session.mask[0].any()
    assert session.mask[-1].any()
    assert cut_mm2(session.state) == 0.0


def test_a_given_mask_that_goes_on_is_no_cut() -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor())
    session.rebase([], MaskUpdate(truth.mask_kji, BoundingBox.from_shape(truth.mask_kji.shape)))
    session.add_click(MIDDLE.position_ras)
    assert cut_notices(session.state) == ()


def test_a_small_cut_is_not_told() -> None:
    truth = phantom(centred_geometry((60, 60, 110), (2, 2, 2)), tube((0, 0, -99), (0, 0, 99), 6.0))
    session = open_session(truth.volume, ComponentPredictor())
    session.add_click(MIDDLE.position_ras)
    assert 100.0 < cut_mm2(session.state) < 400.0
    assert cut_notices(session.state) == ()


def test_segment_names_the_structure() -> None:
    truth = long_tube()
    clicks = {"aorta": Prompts([MIDDLE])}
    (notice,) = segment(truth.volume, clicks, ComponentPredictor()).notices
    assert notice.startswith("structure 'aorta': The mask ends in a straight cut (9 cm2)")
    assert segment(truth.volume, clicks, ComponentPredictor(), grow="frontier").notices == ()


def test_the_engine_tells_it_with_the_answer() -> None:
    truth = long_tube()
    engine = SegmentationEngine(lambda _model, _device: ComponentPredictor())
    try:
        request = ClickRequest(truth.volume, "ct", "aorta", Prompts(), Prompts([MIDDLE]))
        (notice,) = engine.request(request).result(HANG_S).cuts
    finally:
        engine.close()
    assert "straight cut" in notice
