"""Tidied masks against the filters of SimpleITK and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.session.tidying import fill_holes, keep_components, smooth

SPACING = (0.8, 1.1, 2.5)  # i, j, k
masks = st.builds(
    lambda seed, share, shape: np.random.default_rng(seed).random(shape) < share,
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.6, 0.8, 1.0]),
    st.tuples(*[st.integers(1, 9)] * 3),
)


@pytest.fixture(scope="module")
def sitk():
    """Give the other program."""
    return pytest.importorskip("SimpleITK")


def itk_parts(sitk, mask):
    """Label parts that touch at a face, edge or corner."""
    return sitk.GetArrayFromImage(
        sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True)
    )


def ball(shape, centre_kji, radius_mm, spacing=SPACING):
    places = np.indices(shape) - np.reshape(centre_kji, (3, 1, 1, 1))
    return ((places * np.reshape(spacing[::-1], (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius_mm**2


@given(masks, st.data())
def test_components_with_a_click_are_those_of_itk(sitk, mask, data) -> None:
    places = st.tuples(*[st.integers(0, size - 1) for size in mask.shape])
    seeds = data.draw(st.lists(places, max_size=3))
    labels = itk_parts(sitk, mask)
    hit = [labels[seed] for seed in seeds if mask[seed]]
    kept = keep_components(mask, seeds)
    if hit:
        np.testing.assert_array_equal(kept, np.isin(labels, hit))
    elif mask.any():
        sizes = np.bincount(labels.ravel())[1:]
        assert kept.sum() == sizes.max()
        assert len(np.unique(labels[kept])) == 1
    else:
        assert not kept.any()


@given(masks)
def test_filled_cavities_are_those_of_itk(sitk, mask) -> None:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    expected = sitk.GetArrayFromImage(sitk.BinaryFillhole(image)) > 0
    np.testing.assert_array_equal(fill_holes(mask), expected)


def test_a_cavity_with_a_negative_click_stays_open() -> None:
    mask = np.zeros((7, 7, 15), bool)
    mask[1:6, 1:6, 1:14] = True
    mask[3, 3, 3:5] = mask[3, 3, 9:11] = False
    filled = fill_holes(mask, negatives_kji=[(3, 3, 4), (0, 0, 0)])
    assert not filled[3, 3, 3:5].any()
    assert filled[3, 3, 9:11].all()
    assert filled.sum() == mask.sum() + 2


def itk_blurred(sitk, mask, sigma_mm):
    image = sitk.GetImageFromArray(mask.astype(np.float32))
    image.SetSpacing(SPACING)
    return sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, sigma_mm))


@pytest.mark.parametrize("sigma_mm", [3.0, 5.0])
@pytest.mark.parametrize("at_the_border", [False, True])
def test_smoothing_is_that_of_itk(sitk, sigma_mm, at_the_border) -> None:
    shape = (24, 50, 70)
    mask = ball(shape, (2, 3, 4) if at_the_border else (12, 24, 30), 18.0)
    mask |= ball(shape, (10, 20, 50), 8.0)
    mask &= np.random.default_rng(1).random(shape) < 0.9
    blurred = itk_blurred(sitk, mask, sigma_mm)
    kept = smooth(mask, SPACING, sigma_mm)
    level = np.partition(blurred, -mask.sum(), axis=None)[-mask.sum()]
    sure = np.abs(blurred - level) > 0.02  # recursive and sampled Gaussians differ a little
    np.testing.assert_array_equal(kept[sure], blurred[sure] > level)


@pytest.mark.parametrize("radius_mm", [4.0, 8.0, 20.0])
def test_smoothing_keeps_the_volume(radius_mm) -> None:
    mask = ball((40, 60, 80), (20.2, 30.3, 40.1), radius_mm)
    volume = mask.sum()
    assert abs(int(smooth(mask, SPACING, 3.0).sum()) - volume) <= max(2, 0.001 * volume)


def test_smoothing_of_a_symmetric_mask_is_symmetric_and_of_about_the_same_volume() -> None:
    mask = np.zeros((21, 21, 21), bool)
    mask[5:16, 5:16, 5:16] = True
    rounded = smooth(mask, (1, 1, 1), 2.0)
    for axis in range(3):
        np.testing.assert_array_equal(rounded, np.flip(rounded, axis))
        np.testing.assert_array_equal(rounded, np.moveaxis(rounded, 0, axis))
    assert not rounded[5, 5, 5]
    assert abs(int(rounded.sum()) - 11**3) <= 24  # half of the largest group of equal voxels


def test_smoothing_brings_a_rough_ball_nearer_to_the_smooth_one() -> None:
    truth = ball((40, 60, 80), (20, 30, 40), 20.0)
    rough = truth ^ (np.random.default_rng(3).random(truth.shape) < 0.1)
    rough &= ball(truth.shape, (20, 30, 40), 24.0)
    assert dice(rough, truth) < 0.95
    assert dice(smooth(rough, SPACING, 2.0), truth) > 0.97


def test_smoothing_obeys_the_clicks_that_the_mask_obeyed() -> None:
    mask = ball((30, 50, 60), (15, 25, 30), 15.0)
    mask[15, 25, 49:58] = True  # a thin branch
    mask[15, 25, 29:31] = False  # a small hole
    tip, hole, elsewhere = (15, 25, 56), (15, 25, 30), (2, 2, 2)
    plain = smooth(mask, SPACING, 3.0)
    assert not plain[tip]
    assert plain[hole]
    told = smooth(mask, SPACING, 3.0, positives_kji=[tip, elsewhere], negatives_kji=[hole])
    assert told[tip]
    assert not told[hole]
    assert not told[elsewhere]  # the mask did not obey it either
    far = ~(ball(mask.shape, tip, 6.0) | ball(mask.shape, hole, 6.0))
    np.testing.assert_array_equal(told[far], plain[far])


def test_a_small_mask_far_from_the_border_is_smoothed_alike_in_any_volume() -> None:
    small = ball((20, 30, 40), (10, 15, 20), 8.0)
    large = np.zeros((60, 90, 80), bool)
    large[30:50, 40:70, 20:60] = small
    expected = np.zeros_like(large)
    expected[30:50, 40:70, 20:60] = smooth(small, SPACING, 2.0)
    np.testing.assert_array_equal(smooth(large, SPACING, 2.0), expected)


ALL = {
    "keep_components": lambda mask, clicks=(): keep_components(mask, clicks),
    "fill_holes": lambda mask, clicks=(): fill_holes(mask, clicks),
    "smooth": lambda mask, clicks=(): smooth(mask, SPACING, 2.0, clicks),
    "smooth, negative": lambda mask, clicks=(): smooth(mask, SPACING, 2.0, (), clicks),
    "smooth by 0": lambda mask, clicks=(): smooth(mask, SPACING, 0.0, clicks),
}


@pytest.mark.parametrize("name", ALL)
def test_masks_that_are_empty_full_or_one_voxel_thick(name) -> None:
    for shape in [(1, 1, 1), (1, 8, 9), (6, 1, 9), (6, 8, 1)]:
        for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
            found = ALL[name](mask)
            np.testing.assert_array_equal(found, mask)
            assert found.dtype == np.bool_
            assert not np.shares_memory(found, mask)
    assert not ALL[name](np.zeros((0, 4, 5), bool)).size


@pytest.mark.parametrize("name", ALL)
def test_the_given_mask_is_not_changed(name) -> None:
    mask = ball((10, 12, 14), (5, 6, 7), 6.0)
    mask[5, 6, 7] = False
    mask[0, 0, 0] = True
    before = mask.copy()
    mask.flags.writeable = False
    ALL[name](mask, [(0, 0, 0), (5, 6, 7)])
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("name", ALL)
def test_wrong_masks_and_clicks_are_refused(name) -> None:
    with pytest.raises(GeometryError, match="expected a 3D bool mask, got uint8 of shape"):
        ALL[name](np.zeros((2, 3, 4), np.uint8))
    for mask in (np.zeros((2, 3, 4), bool), np.ones((2, 3, 4), bool)):
        with pytest.raises(GeometryError, match=r"voxels KJI inside \(2, 3, 4\), got \(2, 0, 0\)"):
            ALL[name](mask, [(2, 0, 0)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: smooth(m, (1, 1), 1.0), "expected 3 finite spacings > 0 mm, got"),
        (lambda m: smooth(m, SPACING, -0.5), "expected a finite sigma_mm >= 0, got -0.5"),
        (lambda m: smooth(m, SPACING, np.inf), "expected a finite sigma_mm >= 0, got inf"),
    ],
)
def test_wrong_numbers_are_refused(call, message) -> None:
    with pytest.raises(GeometryError, match=message):
        call(np.ones((2, 3, 4), bool))
