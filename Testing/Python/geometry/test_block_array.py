"""Block arrays against dense numpy arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.grid import BoundingBox

SHAPE = (9, 14, 11)


@st.composite
def boxes(draw: st.DrawFn) -> BoundingBox:
    """Boxes that may reach over the border of SHAPE or lie outside it."""
    start = tuple(draw(st.integers(-4, 13)) for _ in range(3))
    size = tuple(draw(st.integers(0, 9)) for _ in range(3))
    stop = tuple(first + length for first, length in zip(start, size, strict=True))
    return BoundingBox(start, stop)


def write_dense(dense: np.ndarray, box: BoundingBox, values: np.ndarray) -> None:
    """Assign voxel by voxel: slow and plain."""
    for k, j, i in np.ndindex(*box.shape_kji):
        x, y, z = box.start_ijk[0] + i, box.start_ijk[1] + j, box.start_ijk[2] + k
        if 0 <= x < SHAPE[2] and 0 <= y < SHAPE[1] and 0 <= z < SHAPE[0]:
            dense[z, y, x] = values[k, j, i]


def differing_box(one: np.ndarray, other: np.ndarray) -> tuple[tuple[int, ...], ...]:
    same = np.isclose(one, other, rtol=0, atol=0, equal_nan=True)
    places = np.argwhere(~same)
    if len(places) == 0:
        return (0, 0, 0), (0, 0, 0)
    return tuple(places.min(0)[::-1].tolist()), tuple((places.max(0) + 1)[::-1].tolist())


@pytest.mark.parametrize(("dtype", "fill"), [(bool, False), (np.float16, np.nan), (np.int16, -7)])
@given(st.lists(boxes(), min_size=1, max_size=5), boxes(), st.integers(0, 2**32 - 1))
def test_writes_and_reads_like_a_dense_array(dtype, fill, written, read, seed) -> None:
    rng = np.random.default_rng(seed)
    array, dense = BlockArray(SHAPE, dtype, fill, block_size=4), np.full(SHAPE, fill, dtype)
    first, first_dense = array, dense.copy()
    for box in written:
        values = rng.integers(0, 2, box.shape_kji).astype(dtype)
        before, before_dense = array, dense.copy()
        array = array.written(box, values)
        write_dense(dense, box, values)
        np.testing.assert_array_equal(before.dense(), before_dense)
        changed = before.changed_box(array)
        assert (changed.start_ijk, changed.stop_ijk) == differing_box(before_dense, dense)
    np.testing.assert_array_equal(array.dense(), dense)
    assert array.dense().dtype == np.dtype(dtype)
    expected = np.full(read.shape_kji, fill, dtype)
    for k, j, i in np.ndindex(*read.shape_kji):
        x, y, z = read.start_ijk[0] + i, read.start_ijk[1] + j, read.start_ijk[2] + k
        if 0 <= x < SHAPE[2] and 0 <= y < SHAPE[1] and 0 <= z < SHAPE[0]:
            expected[k, j, i] = dense[z, y, x]
    np.testing.assert_array_equal(array.read(read), expected)
    changed = first.changed_box(array)
    assert (changed.start_ijk, changed.stop_ijk) == differing_box(first_dense, dense)


def test_untouched_blocks_are_shared() -> None:
    half = BoundingBox((0, 0, 0), (8, 16, 16))
    one = BlockArray((16, 16, 16), np.float16, block_size=8).written(half, np.ones((16, 16, 8)))
    spot = BoundingBox((1, 1, 1), (2, 2, 2))
    two = one.written(spot, np.full((1, 1, 1), 3.0))
    block = 8**3 * 2
    assert one.nbytes == two.nbytes == 4 * block
    assert two.own_nbytes(one) == block


def test_a_write_without_change_shares_everything() -> None:
    box = BoundingBox((0, 0, 0), (5, 5, 5))
    values = np.arange(125.0).reshape(5, 5, 5)
    one = BlockArray((16, 16, 16), np.float16, block_size=8).written(box, values)
    assert one.written(box, values).own_nbytes(one) == 0


def test_blocks_of_fill_are_dropped() -> None:
    box = BoundingBox((3, 3, 3), (13, 13, 13))
    ones = np.ones(box.shape_kji, bool)
    array = BlockArray((16, 16, 16), bool, block_size=8).written(box, ones)
    assert array.nbytes == 8 * 8**3 // 8
    assert array.written(box, ~ones).nbytes == 0
    undefined = BlockArray((16, 16, 16), np.float16, np.nan).written(
        box, np.full(ones.shape, np.nan)
    )
    assert undefined.nbytes == 0


def test_a_large_array_costs_only_what_is_written() -> None:
    array = BlockArray((1500, 512, 512), bool)
    box = BoundingBox((200, 200, 700), (300, 300, 800))
    array = array.written(box, np.ones(box.shape_kji, bool))
    assert array.nbytes <= 3**3 * 64**3 // 8
    assert array.read(box.padded(2)).sum() == 100**3


def test_results_do_not_alias_the_blocks() -> None:
    box = BoundingBox((0, 0, 0), (4, 4, 4))
    values = np.ones((4, 4, 4), np.float16)
    array = BlockArray((4, 4, 4), np.float16, block_size=4).written(box, values)
    values[:] = 5
    array.read(box)[:] = 7
    assert array.dense().max() == 1


def test_the_occupied_box_is_that_of_the_dense_array(rng: np.random.Generator) -> None:
    array = BlockArray((40, 50, 60), bool, block_size=16)
    dense = np.zeros((40, 50, 60), bool)
    for _ in range(6):
        start = [int(rng.integers(0, size - 3)) for size in (60, 50, 40)]
        box = BoundingBox(
            (start[0], start[1], start[2]), (start[0] + 3, start[1] + 2, start[2] + 1)
        )
        array = array.written(box, np.ones(box.shape_kji, bool))
        dense[box.slices_kji] = True
        asked = BoundingBox((-5, 3, 2), (int(rng.integers(5, 70)), 40, 39))
        inside = asked.clipped(dense.shape)
        expected = BoundingBox.from_mask(dense[inside.slices_kji]).shifted(inside.start_ijk)
        assert array.occupied_box(asked) == expected


def test_wrong_shapes_are_refused() -> None:
    array = BlockArray((4, 4, 4), bool)
    box = BoundingBox((0, 0, 0), (2, 3, 4))
    with pytest.raises(GeometryError, match=r"shape \(4, 3, 2\) \(KJI\), got \(2, 3, 4\)"):
        array.written(box, np.ones((2, 3, 4), bool))
    with pytest.raises(GeometryError, match="positive numbers"):
        BlockArray((4, 0, 4), bool)
    with pytest.raises(GeometryError, match="expected an array of layout"):
        array.changed_box(BlockArray((4, 4, 5), bool))
