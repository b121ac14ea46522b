"""Linear interpolation and block averages along one axis: the parts of separable resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A centre exactly on a border belongs to the voxel after it; rounding must not undo that.
BORDER_TOLERANCE = 1e-6


def nearest_indices(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the voxel that holds each continuous index: [v - 0.5, v + 0.5) is voxel v."""
    return np.floor(positions + 0.5 + BORDER_TOLERANCE).astype(np.int64)


@dataclass(frozen=True)
class LinearTaps:
    """Between which two samples of an axis each output lies, and how far along.

    output = source[lower] + weight * (source[upper] - source[lower])
    """

    # (N,) int64: sample indices
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    weight: NDArray[np.float32]  # (N,) float32: in [0, 1)

    @classmethod
    def at(cls, positions: NDArray[np.float64], size: int) -> LinearTaps:
        """Return the taps at continuous indices of an axis of `size` samples, clamped to it.

        Examples
        --------
        >>> taps = LinearTaps.at(np.array([-0.4, 0.25, 1.3]), 2)
        >>> taps.lower.tolist(), taps.upper.tolist(), taps.weight.tolist()
        ([0, 0, 1], [1, 1, 1], [0.0, 0.25, 0.0])
        """
        clamped = np.clip(positions, 0, size - 1)
        lower = np.floor(clamped).astype(np.int64)
        upper = np.minimum(lower + 1, size - 1)
        return cls(lower, upper, (clamped - lower).astype(np.float32))

    def shifted(self, offset: int) -> LinearTaps:
        """Return the taps into a source that starts `offset` samples later."""
        return LinearTaps(self.lower - offset, self.upper - offset, self.weight)


@dataclass(frozen=True)
class Blocks:
    """Runs of samples of an axis that are averaged before it is read more coarsely.

    Every block has `length` samples but one, at the end that the reader reaches last, which has
    the remainder. Counting from the reader's side makes the result independent of the direction
    in which the axis is stored.

    Examples
    --------
    >>> Blocks.of_axis(7, 2.5).edges.tolist(), Blocks.of_axis(7, -2.5).edges.tolist()
    ([0, 2, 4, 6, 7], [0, 1, 3, 5, 7])
    >>> Blocks.of_axis(7, 2.5).centres.tolist()
    [0.5, 2.5, 4.5, 6.0]
    """

    # (B + 1,) int64: first sample of every block, and the size of the axis
    edges: NDArray[np.int64]
    length: int  # Samples in a full block; 1 means no averaging

    @classmethod
    def of_axis(cls, size: int, step: float) -> Blocks:
        """Return blocks of floor(|step|) samples for reading an axis every `step` samples."""
        length = max(1, int(np.floor(abs(step) + BORDER_TOLERANCE)))
        first = (size % length or length) - length if step < 0 else 0
        return cls(np.clip(np.arange(first, size + length, length), 0, size), length)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centre of every block as a continuous sample index, float64."""
        return (self.edges[:-1] + self.edges[1:] - 1) / 2.0

    def part(self, first: int, last: int) -> Blocks:
        """Return blocks `first` to `last` inclusive, their edges counted from the first one."""
        return Blocks(self.edges[first : last + 2] - self.edges[first], self.length)


def block_mean(array: NDArray[Any], axis: int, blocks: Blocks) -> NDArray[np.float32]:
    """Return the mean of every block along `axis`, as float32; the array has any real dtype."""
    sizes = np.diff(blocks.edges)
    shape = list(array.shape)
    shape[axis] = sizes.size
    means = np.empty(shape, dtype=np.float32)
    # Strided adds of whole slices are five times as fast as np.add.reduceat.
    source, target = np.moveaxis(array, axis, 0), np.moveaxis(means, axis, 0)
    full = np.flatnonzero(sizes == blocks.length)
    if full.size:
        start, stop = blocks.edges[full[0]], blocks.edges[full[-1] + 1]
        sums = target[full[0] : full[-1] + 1]
        sums[...] = source[start : stop : blocks.length]
        for offset in range(1, blocks.length):
            sums += source[start + offset : stop : blocks.length]
        sums /= np.float32(blocks.length)
    for index in np.flatnonzero(sizes != blocks.length):
        part = source[blocks.edges[index] : blocks.edges[index + 1]]
        target[index] = part.mean(axis=0, dtype=np.float32)
    return means


def interpolate_axis(
    array: NDArray[np.float32],
    axis: int,
    taps: LinearTaps,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return `array` read at `taps` along `axis`; `out`, if given, is written and returned.

    The number of taps is the new size of the axis. `out` may be any strided view.
    """
    if out is None:
        shape = list(array.shape)
        shape[axis] = taps.lower.size
        out = np.empty(shape, dtype=np.float32)
    if axis == array.ndim - 1:
        lower, step = array.take(taps.lower, axis=axis), array.take(taps.upper, axis=axis)
        step -= lower
        step *= taps.weight
        return np.add(lower, step, out=out)
    # One plane after another stays in the cache and needs one plane of scratch memory.
    source, target = np.moveaxis(array, axis, 0), np.moveaxis(out, axis, 0)
    scratch = np.empty(source.shape[1:], dtype=np.float32)
    for index, (lower, upper) in enumerate(zip(taps.lower, taps.upper, strict=True)):
        np.subtract(source[upper], source[lower], out=scratch)
        scratch *= taps.weight[index]
        np.add(source[lower], scratch, out=target[index])
    return out


def interpolate_axes(
    array: NDArray[np.float32], taps: Sequence[LinearTaps], out: NDArray[np.float32]
) -> None:
    """Fill `out` with a 3D array read at one set of taps per axis.

    The axis that shrinks most comes first and the one that grows most last, so that the work is
    done on the smallest arrays. Ties are ordered so that the largest array is read along
    the slowest axis.
    """
    growth = [one.lower.size / size for one, size in zip(taps, array.shape, strict=True)]
    order = sorted(
        range(3), key=lambda axis: (round(growth[axis], 3), axis if growth[axis] < 1 else -axis)
    )
    for axis in order[:2]:
        array = interpolate_axis(array, axis, taps[axis])
    interpolate_axis(array, order[2], taps[order[2]], out=out)
