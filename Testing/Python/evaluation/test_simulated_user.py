"""The simulated users against hand-made errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.evaluation.simulated_user import STRATEGIES, next_click

ISOTROPIC = (1.0, 1.0, 1.0)
CAREFUL = [strategy for strategy in STRATEGIES if strategy != "hurried"]


def fresh(seed=0):
    return np.random.default_rng(seed)


def value_at(mask_kji, ijk):
    return bool(mask_kji[ijk[::-1]])


@pytest.fixture
def two_boxes():
    """Give a large and a small target on a grid whose axes all differ in length."""
    truth = np.zeros((20, 30, 40), bool)
    truth[4:13, 5:16, 20:33] = True
    truth[16:19, 20:23, 2:5] = True
    return truth


@pytest.mark.parametrize("strategy", CAREFUL)
@pytest.mark.parametrize("seed", range(5))
def test_first_click_is_positive_and_inside(two_boxes, strategy, seed):
    for before in (None, np.zeros_like(two_boxes)):
        ijk, positive = next_click(two_boxes, before, ISOTROPIC, fresh(seed), strategy)
        assert positive
        assert value_at(two_boxes, ijk)


@pytest.mark.parametrize("seed", range(5))
def test_largest_error_clicks_the_core_of_the_larger_box(two_boxes, seed):
    (i, j, k), _ = next_click(two_boxes, None, ISOTROPIC, fresh(seed))
    depth = ndimage.distance_transform_edt(two_boxes)
    assert depth[k, j, i] >= 0.75 * depth.max()
    assert 20 <= i < 33
    assert 5 <= j < 16
    assert 4 <= k < 13


def test_largest_error_corrects_a_leak_with_a_negative_click(two_boxes):
    prediction = two_boxes.copy()
    prediction[0:4, 18:30, 25:40] = True
    ijk, positive = next_click(two_boxes, prediction, ISOTROPIC, fresh())
    assert not positive
    assert value_at(prediction & ~two_boxes, ijk)


def test_largest_error_looks_at_connected_parts_not_at_totals():
    """Many single missed voxels are more in all, but one leak is the largest mistake."""
    truth = np.zeros((15, 15, 30), bool)
    truth[::3, ::3, :15:3] = True
    prediction = np.zeros_like(truth)
    prediction[5:9, 5:9, 20:24] = True
    assert truth.sum() > prediction.sum()
    ijk, positive = next_click(truth, prediction, ISOTROPIC, fresh())
    assert not positive
    assert value_at(prediction, ijk)


def test_depth_is_measured_in_mm():
    """Thick slices make the middle of a plate deep; in voxels the plate would be flat."""
    truth = np.zeros((7, 40, 40), bool)
    truth[1:6, 1:39, 1:39] = True
    chosen = [next_click(truth, None, (1.0, 1.0, 8.0), fresh(s))[0] for s in range(40)]
    in_plane = [min(i, 39 - i, j, 39 - j) for i, j, _ in chosen]
    slices = {k for *_, k in chosen}
    assert min(in_plane) >= 13  # 18 mm to the rim is the deepest; 0.75 of it is kept
    assert slices <= {2, 3, 4}
    thin = [next_click(truth, None, (1.0, 1.0, 0.2), fresh(s))[0] for s in range(40)]
    assert min(min(i, 39 - i, j, 39 - j) for i, j, _ in thin) < 13
    assert {k for *_, k in thin} == {3}


def test_uniform_error_balances_missed_and_added_by_size():
    truth = np.zeros((10, 10, 40), bool)
    prediction = np.zeros_like(truth)
    truth[:, :, :10] = True
    prediction[:, :, 10:40] = True
    rng = fresh(1)
    signs = [next_click(truth, prediction, ISOTROPIC, rng, "uniform_error")[1] for _ in range(400)]
    assert 0.18 < np.mean(signs) < 0.32


def test_uniform_error_prefers_deep_voxels_but_reaches_the_rim(two_boxes):
    rng = fresh(2)
    depth = ndimage.distance_transform_edt(two_boxes)
    found = [
        depth[next_click(two_boxes, None, ISOTROPIC, rng, "uniform_error")[0][::-1]]
        for _ in range(300)
    ]
    expected = (depth[two_boxes] ** 2).sum() / depth[two_boxes].sum()
    assert np.mean(found) == pytest.approx(expected, rel=0.08)
    assert min(found) == 1.0


def test_a_hurried_click_is_near_the_border_and_sometimes_just_outside(two_boxes):
    rng = fresh(3)
    depth = ndimage.distance_transform_edt(two_boxes)
    beyond = ndimage.distance_transform_edt(~two_boxes)
    clicks = [next_click(two_boxes, None, ISOTROPIC, rng, "hurried") for _ in range(400)]
    assert all(positive for _, positive in clicks)
    slipped = [not value_at(two_boxes, ijk) for ijk, _ in clicks]
    assert 0.08 < np.mean(slipped) < 0.22
    assert all(
        beyond[ijk[::-1]] == 1.0 for (ijk, _), slip in zip(clicks, slipped, strict=True) if slip
    )
    rim = [depth[ijk[::-1]] for (ijk, _), slip in zip(clicks, slipped, strict=True) if not slip]
    assert max(rim) <= 0.35 * depth.max()
    assert {ijk[0] for ijk, _ in clicks} <= set(range(19, 34))  # the larger box, and its skin


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_same_seed_same_click_and_other_seeds_differ(two_boxes, strategy):
    one = [next_click(two_boxes, None, ISOTROPIC, fresh(s), strategy) for s in range(8)]
    two = [next_click(two_boxes, None, ISOTROPIC, fresh(s), strategy) for s in range(8)]
    assert one == two
    assert len(set(one)) > 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_error_no_click(two_boxes, strategy):
    empty = np.zeros_like(two_boxes)
    assert next_click(two_boxes, two_boxes, ISOTROPIC, fresh(), strategy) is None
    assert next_click(empty, empty, ISOTROPIC, fresh(), strategy) is None
    assert next_click(empty, None, ISOTROPIC, fresh(), strategy) is None


@pytest.mark.parametrize("strategy", CAREFUL)
def test_single_wrong_voxel_in_the_corner_is_found(strategy):
    truth = np.zeros((3, 4, 5), bool)
    truth[0, 0, 4] = True
    assert next_click(truth, None, ISOTROPIC, fresh(), strategy) == ((4, 0, 0), True)
    assert next_click(np.zeros_like(truth), truth, ISOTROPIC, fresh(), strategy) == (
        (4, 0, 0),
        False,
    )


def test_wrong_input_is_named(two_boxes):
    with pytest.raises(GeometryError, match="two 3D masks of one shape"):
        next_click(two_boxes, two_boxes[1:], ISOTROPIC, fresh())
    with pytest.raises(GeometryError, match="3 finite spacings"):
        next_click(two_boxes, None, (1.0, -1.0, 1.0), fresh())
    with pytest.raises(ValueError, match="strategy of largest_error, uniform_error, hurried"):
        next_click(two_boxes, None, ISOTROPIC, fresh(), "x")
