from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from strategies import boxes

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.box import BoundingBox

OFFSET = 16  # of a test array that holds every drawn box, also those with a negative start


def _painted(box: BoundingBox) -> NDArray[np.bool_]:
    """The voxels of a box, painted one axis at a time with numpy comparisons."""
    k, j, i = np.ogrid[-OFFSET:OFFSET, -OFFSET:OFFSET, -OFFSET:OFFSET]
    (i0, j0, k0), (i1, j1, k1) = box.start_ijk, box.stop_ijk
    return (k >= k0) & (k < k1) & (j >= j0) & (j < j1) & (i >= i0) & (i < i1)


def _tight(mask: NDArray[np.bool_]) -> BoundingBox:
    """The oracle: scipy's bounding slices of a mask, shifted back."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return BoundingBox.empty()
    k, j, i = found[0]
    start = (i.start - OFFSET, j.start - OFFSET, k.start - OFFSET)
    return BoundingBox(start, (i.stop - OFFSET, j.stop - OFFSET, k.stop - OFFSET))


@given(boxes(), boxes())
def test_intersection_and_union_are_those_of_the_voxels(a: BoundingBox, b: BoundingBox) -> None:
    assert np.array_equal(_painted(a.intersection(b)), _painted(a) & _painted(b))
    assert a.union(b) == _tight(_painted(a) | _painted(b))


@given(boxes(), st.tuples(*[st.integers(1, 9)] * 3))
def test_clipping_keeps_the_voxels_of_the_array(box: BoundingBox, shape: tuple[int, ...]) -> None:
    whole = BoundingBox((0, 0, 0), (shape[2], shape[1], shape[0]))
    assert np.array_equal(_painted(box.clipped(shape)), _painted(box) & _painted(whole))


@given(boxes(lowest=0))
def test_slices_select_the_voxels(box: BoundingBox) -> None:
    array = np.zeros((16, 16, 16), dtype=bool)
    array[box.slices_kji] = True
    assert np.array_equal(array, _painted(box)[OFFSET:, OFFSET:, OFFSET:])
    assert array[box.slices_kji].shape == box.shape_kji


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_from_mask_agrees_with_scipy(mask: NDArray[np.bool_]) -> None:
    found = ndimage.find_objects(mask.astype(np.uint8))
    expected = BoundingBox.from_mask(mask)
    assert expected.is_empty != bool(found)
    if found:
        assert expected.slices_kji == found[0]
    assert BoundingBox.from_mask(mask.astype(np.float32)) == expected
    assert BoundingBox.from_mask(np.asfortranarray(mask)) == expected


def test_padding_shifting_and_counting_from_another_box() -> None:
    box = BoundingBox((1, 2, 3), (2, 4, 6))
    assert box.padded(1) == BoundingBox((0, 1, 2), (3, 5, 7))
    assert box.shifted((10, 0, -5)) == BoundingBox((11, 2, -2), (12, 4, 1))
    assert box.relative_to(BoundingBox((1, 1, 1), (9, 9, 9))) == BoundingBox((0, 1, 2), (1, 3, 5))
    assert box.contains((1, 3, 5))
    assert not box.contains((1, 3, 6))
    assert not box.contains((0, 3, 5))


def test_operations_on_the_empty_box_give_the_empty_box() -> None:
    flat = BoundingBox((3, 3, 3), (3, 5, 5))
    assert flat.is_empty
    for result in (
        flat.padded(2),
        flat.shifted((1, 1, 1)),
        flat.union(flat),
        flat.intersection(BoundingBox((0, 0, 0), (9, 9, 9))),
        flat.clipped((9, 9, 9)),
    ):
        assert result == BoundingBox.empty()
    full = BoundingBox((1, 1, 1), (2, 2, 2))
    assert flat.union(full) == full.union(flat) == full


def test_numpy_integers_become_python_integers() -> None:
    box = BoundingBox(tuple(np.array([1, 2, 3])), tuple(np.array([4, 5, 6], dtype=np.uint8)))
    assert box == BoundingBox((1, 2, 3), (4, 5, 6))
    assert {type(value) for value in (*box.start_ijk, *box.stop_ijk)} == {int}


@pytest.mark.parametrize(
    ("start", "stop", "text"),
    [
        ((0, 0), (1, 1, 1), "three integers as the start of a box, got 2"),
        ((0, 0, 0), (1, 1, 1.5), "three integers as the stop of a box, got"),
        ((2, 0, 0), (1, 1, 1), r"stop >= start, got start \(2, 0, 0\) and stop \(1, 1, 1\)"),
    ],
)
def test_wrong_boxes_are_refused(start: tuple, stop: tuple, text: str) -> None:
    with pytest.raises(GeometryError, match=text):
        BoundingBox(start, stop)


def test_boxes_that_cannot_index_an_array_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"clipped to its array, got start \(-1, 0, 0\)"):
        _ = BoundingBox((-1, 0, 0), (1, 1, 1)).slices_kji
    with pytest.raises(GeometryError, match="padding >= 0 voxels, got -1"):
        BoundingBox((0, 0, 0), (1, 1, 1)).padded(-1)
    with pytest.raises(GeometryError, match=r"3D mask, got shape \(2, 2\)"):
        BoundingBox.from_mask(np.ones((2, 2)))
