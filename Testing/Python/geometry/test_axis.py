"""The parts of separable resampling against numpy.interp and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTSAM3DLib.geometry.axis import (
    Blocks,
    LinearTaps,
    block_mean,
    interpolate_axes,
    interpolate_axis,
    nearest_indices,
)

sizes = st.integers(1, 12)


def test_a_centre_on_a_border_belongs_to_the_voxel_after_it_whatever_the_rounding() -> None:
    positions = np.array([-0.5, 0.5, 1.5]) + np.array([[-1e-9], [0], [1e-9]])
    assert nearest_indices(positions).tolist() == [[0, 1, 2]] * 3


@given(sizes, st.lists(st.floats(-3, 15), min_size=1, max_size=9), st.integers(0, 2))
def test_interpolation_agrees_with_numpy(size: int, positions: list[float], axis: int) -> None:
    shape = [2, 3, 4]
    shape[axis] = size
    source = np.random.default_rng(size).normal(size=shape).astype(np.float32)
    result = interpolate_axis(source, axis, LinearTaps.at(np.array(positions), size))
    expected = np.apply_along_axis(
        lambda line: np.interp(positions, np.arange(size), line), axis, source
    )
    assert result.dtype == np.float32
    assert result == pytest.approx(expected, abs=1e-5)


# Not next to a whole number: see the test after this one.
steps = st.floats(0.1, 9).filter(lambda step: abs(step - round(step)) > 1e-3)
whole_steps = st.integers(1, 9).map(float)


@given(sizes, steps | whole_steps | (steps | whole_steps).map(lambda step: -step))
def test_blocks_tile_the_axis(size: int, step: float) -> None:
    blocks = Blocks.of_axis(size, step)
    lengths = np.diff(blocks.edges).tolist()
    assert blocks.edges[0] == 0
    assert blocks.edges[-1] == size
    assert blocks.length == max(1, int(abs(step)))
    # All are full but the last one that a reader in this direction meets.
    in_reading_order = lengths[::-1] if step < 0 else lengths
    assert in_reading_order[:-1] == [blocks.length] * (len(lengths) - 1)
    assert 1 <= in_reading_order[-1] <= blocks.length


def test_a_whole_ratio_is_not_lost_to_rounding() -> None:
    assert Blocks.of_axis(9, 3 - 1e-12).length == 3
    assert Blocks.of_axis(9, -3 + 1e-12).length == 3


@given(sizes, st.sampled_from([1.0, 2.0, 2.5, 3.0, 5.0, -2.0, -3.0]), st.integers(0, 2))
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_block_means_are_the_means_of_the_blocks(
    dtype: type, size: int, step: float, axis: int
) -> None:
    shape = [2, 3, 4]
    shape[axis] = size
    source = np.random.default_rng(size).integers(0, 250, shape).astype(dtype)
    blocks = Blocks.of_axis(size, step)
    lines = np.moveaxis(source, axis, 0).astype(np.float64)
    expected = [lines[a:b].mean(axis=0) for a, b in itertools.pairwise(blocks.edges)]
    result = block_mean(source, axis, blocks)
    assert result.dtype == np.float32
    assert np.moveaxis(result, axis, 0) == pytest.approx(np.array(expected), rel=1e-6)


def test_sums_of_extreme_voxels_do_not_overflow() -> None:
    for value in (-32768, 32767):
        voxels = np.full((8, 1, 1), value, dtype=np.int16)
        assert block_mean(voxels, 0, Blocks.of_axis(8, 4)).ravel().tolist() == [value, value]


@given(st.tuples(sizes, sizes, sizes), st.tuples(sizes, sizes, sizes))
def test_three_axes_at_once_are_three_times_one(source_size: tuple, result_size: tuple) -> None:
    source = np.random.default_rng(0).normal(size=source_size).astype(np.float32)
    positions = [
        np.linspace(-0.4, old - 0.6, new) for old, new in zip(source_size, result_size, strict=True)
    ]
    taps = [LinearTaps.at(at, old) for at, old in zip(positions, source_size, strict=True)]
    out = np.full((*result_size[::-1],), np.nan, dtype=np.float32)
    interpolate_axes(source, taps, out.transpose())
    expected = source
    for axis, at in enumerate(positions):
        expected = np.apply_along_axis(
            lambda line, at=at: np.interp(at, np.arange(line.size), line), axis, expected
        )
    assert out.transpose() == pytest.approx(expected, abs=1e-5)
