"""The occupied part of a mask, and which masks and voxels are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.region import MaskPart, checked_mask, checked_spacing_kji, checked_voxels

SHAPE = (5, 6, 7)
voxels = st.tuples(*[st.integers(0, size - 1) for size in SHAPE])


def mask_with(places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


@given(st.lists(voxels), st.tuples(*[st.floats(0, 9)] * 3))
def test_part_and_whole_are_inverse_and_the_margin_stays_inside(places, margin) -> None:
    mask = mask_with(places)
    part = MaskPart.of(mask, margin)
    np.testing.assert_array_equal(part.whole(part.mask_kji), mask)
    assert part.mask_kji.shape == part.bbox.shape_kji
    if places:
        low, high = np.min(places, axis=0), np.max(places, axis=0) + 1
        grow = np.ceil(margin).astype(int)
        assert part.bbox.start_ijk[::-1] == tuple(np.maximum(low - grow, 0))
        assert part.bbox.stop_ijk[::-1] == tuple(np.minimum(high + grow, SHAPE))


@given(st.lists(voxels, min_size=1), st.lists(voxels))
def test_local_voxels_mean_the_same_place(places, clicks) -> None:
    mask = mask_with(places)
    part = MaskPart.of(mask)
    local = part.local(clicks)
    known = [click for click in clicks if part.bbox.contains(click[::-1])]
    assert len(local) == len(known)
    assert part.mask_kji[tuple(local.T)].tolist() == [bool(mask[click]) for click in known]


def test_part_is_a_view_and_the_whole_is_new() -> None:
    mask = mask_with([(1, 2, 3)])
    part = MaskPart.of(mask)
    assert np.shares_memory(part.mask_kji, mask)
    assert not np.shares_memory(part.whole(part.mask_kji), mask)


def test_an_empty_mask_has_an_empty_part() -> None:
    part = MaskPart.of(mask_with([]), (2, 2, 2))
    assert part.bbox.is_empty
    assert part.local([(0, 0, 0)]).shape == (0, 3)
    assert part.whole(part.mask_kji).shape == SHAPE


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (np.zeros((2, 3)), "float64 of shape (2, 3)"),
        (np.zeros((2, 3, 4), np.uint8), "uint8 of shape (2, 3, 4)"),
        (np.zeros((2, 3), bool), "bool of shape (2, 3)"),
        ([[[True]]], "list of shape (1, 1, 1)"),
    ],
)
def test_other_arrays_are_refused(mask, got) -> None:
    for function in (checked_mask, MaskPart.of):
        with pytest.raises(GeometryError) as error:
            function(mask)
        assert str(error.value) == f"expected a 3D bool mask, got {got}"


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, -1, 1), (1, np.nan, 1)])
def test_spacings_that_are_none_are_refused(spacing) -> None:
    with pytest.raises(GeometryError, match="expected 3 finite spacings > 0 mm, got"):
        checked_spacing_kji(spacing)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([(0, 0, 7)], r"expected voxels KJI inside \(5, 6, 7\), got \(0, 0, 7\)"),
        ([(0, 0, 0), (0, -1, 0)], r"expected voxels KJI inside \(5, 6, 7\), got \(0, -1, 0\)"),
        ([(0.5, 0, 0)], r"expected voxels as \(N, 3\) integers, got float64 of shape \(1, 3\)"),
        ((0, 0, 0), r"expected voxels as \(N, 3\) integers, got int64 of shape \(3,\)"),
        ([(0, 0)], r"expected voxels as \(N, 3\) integers, got int64 of shape \(1, 2\)"),
    ],
)
def test_voxels_that_are_none_are_refused(places, message) -> None:
    with pytest.raises(GeometryError, match=message):
        checked_voxels(np.array(places), SHAPE)
