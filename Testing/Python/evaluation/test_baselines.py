"""Classical methods find what clicks ask for."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_case import CENTRE, OUTSIDE

from CTSAM3DLib.evaluation.baselines import (
    BASELINES,
    ConfidenceConnected,
    GrowFromSeeds,
    RandomWalker,
)
from CTSAM3DLib.evaluation.seeds import seeded_box
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click

NEEDS = {
    "confidence_connected": "SimpleITK",
    "grow_from_seeds": "slicer_core",
    "random_walker": "skimage",
}


@pytest.mark.parametrize("name", BASELINES)
def test_classical_method_finds_a_bright_ball(ball, name):
    pytest.importorskip(NEEDS[name])
    volume, truth = ball
    options = {"multiplier": 3.0, "smoothing": 0} if name == "confidence_connected" else {}
    mask = BASELINES[name](margin_mm=40.0, **options).mask(volume, [CENTRE, OUTSIDE])
    assert mask.shape == truth.shape
    assert mask.dtype == bool
    assert dice(mask, truth) > 0.93


@pytest.mark.parametrize("name", BASELINES)
def test_without_a_positive_click_nothing_is_found(ball, name):
    assert not BASELINES[name]().mask(ball[0], [OUTSIDE]).any()
    assert not BASELINES[name]().mask(ball[0], []).any()


@pytest.mark.parametrize("name", BASELINES)
def test_negative_click_takes_away(name):
    """Two halves of one bright bar can only be told apart by the clicks."""
    pytest.importorskip(NEEDS[name])
    rng = np.random.default_rng(0)
    hu = np.full((24, 24, 60), 20.0)
    hu[8:16, 8:16, 6:54] = 150.0
    volume = Volume.from_array((hu + rng.normal(0, 3, hu.shape)).astype(np.int16), (2, 2, 2))
    good, bad = Click((36.0, 24.0, 24.0)), Click((84.0, 24.0, 24.0), positive=False)
    method = BASELINES[name](margin_mm=60.0)
    alone, both = method.mask(volume, [good]), method.mask(volume, [good, bad])
    assert both[12, 12, 18]
    assert not both[12, 12, 42]
    assert both[:, :, 36:].sum() < alone[:, :, 36:].sum() or not alone[:, :, 36:].any()
    assert both[:, :, 36:].sum() < 0.2 * both.sum()


def test_masks_stay_inside_the_box(ball):
    volume, _ = ball
    mask = ConfidenceConnected(margin_mm=8.0, multiplier=9.0).mask(volume, [CENTRE])
    outside = np.ones_like(mask)
    outside[seeded_box(volume, [CENTRE], 8.0).bbox.slices_kji] = False
    assert mask.any()
    assert not mask[outside].any()


def test_random_walker_thins_out_large_boxes(ball):
    pytest.importorskip("skimage")
    volume, truth = ball
    mask = RandomWalker(margin_mm=60.0, max_voxels=9000).mask(volume, [CENTRE, OUTSIDE])
    assert mask.shape == truth.shape
    assert dice(mask, truth) > 0.75


def test_seed_locality_reaches_the_filter(ball):
    pytest.importorskip("slicer_core")
    volume, _ = ball
    near, far = (
        GrowFromSeeds(margin_mm=40.0, locality=penalty).mask(volume, [CENTRE])
        for penalty in (0.0, 1000.0)
    )
    assert not np.array_equal(near, far)
