"""Half-open boxes of voxels: which part of a voxel grid something occupies."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError

IJK = tuple[int, int, int]


def three_ints(values: Sequence[int], what: str) -> IJK:
    """Return `values` as three Python integers; GeometryError naming `what` otherwise."""
    try:
        numbers = tuple(operator.index(value) for value in values)
    except TypeError as error:
        raise GeometryError(f"expected three integers as {what}, got {values!r}") from error
    if len(numbers) != 3:
        raise GeometryError(f"expected three integers as {what}, got {len(numbers)}: {values!r}")
    return numbers[0], numbers[1], numbers[2]


@dataclass(frozen=True)
class BoundingBox:
    """A box of voxels, half-open: voxel `v` is inside when start <= v < stop on every axis.

    A box may reach outside its grid (negative start) and may be empty. Operations whose
    result is empty return the one empty box ``BoundingBox.empty()``, so that empty results
    compare equal. Raises GeometryError: not three integers, or a stop before its start.

    Examples
    --------
    >>> box = BoundingBox((1, 2, 3), (4, 4, 4))
    >>> box.size_ijk, box.shape_kji
    ((3, 2, 1), (1, 2, 3))
    >>> np.zeros((9, 8, 7))[box.slices_kji].shape
    (1, 2, 3)
    """

    start_ijk: IJK  # First voxel along i, j, k (x fastest)
    stop_ijk: IJK  # One past the last voxel

    def __post_init__(self) -> None:
        start = three_ints(self.start_ijk, "the start of a box")
        stop = three_ints(self.stop_ijk, "the stop of a box")
        if any(last < first for first, last in zip(start, stop, strict=True)):
            raise GeometryError(
                f"expected a box with stop >= start, got start {start} and stop {stop}"
            )
        object.__setattr__(self, "start_ijk", start)
        object.__setattr__(self, "stop_ijk", stop)

    @classmethod
    def empty(cls) -> BoundingBox:
        """Return the box without voxels."""
        return cls((0, 0, 0), (0, 0, 0))

    @classmethod
    def from_shape(cls, shape_kji: Sequence[int]) -> BoundingBox:
        """Return the box of a whole array of shape `shape_kji`."""
        k, j, i = three_ints(shape_kji, "the shape of an array")
        return cls((0, 0, 0), (i, j, k))

    @classmethod
    def from_mask(cls, mask_kji: NDArray[Any]) -> BoundingBox:
        """Return the smallest box round the non-zero voxels; the empty box if there are none.

        Raises GeometryError: the array is not 3D.

        Examples
        --------
        >>> mask = np.zeros((5, 6, 7), dtype=bool)
        >>> mask[1:3, 2, 4] = True
        >>> BoundingBox.from_mask(mask)
        BoundingBox(start_ijk=(4, 2, 1), stop_ijk=(5, 3, 3))
        """
        if mask_kji.ndim != 3:
            raise GeometryError(f"expected a 3D mask, got shape {mask_kji.shape}")
        slices = np.flatnonzero(mask_kji.any(axis=(1, 2)))
        if slices.size == 0:
            return cls.empty()
        # Only the occupied slices are read a second time, and flattened to one plane.
        plane: NDArray[np.bool_] = np.any(mask_kji[slices[0] : slices[-1] + 1], axis=0)
        rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        return cls(
            (int(columns[0]), int(rows[0]), int(slices[0])),
            (int(columns[-1]) + 1, int(rows[-1]) + 1, int(slices[-1]) + 1),
        )

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no voxel."""
        return 0 in self.size_ijk

    @property
    def size_ijk(self) -> IJK:
        """Number of voxels along i, j, k."""
        (i0, j0, k0), (i1, j1, k1) = self.start_ijk, self.stop_ijk
        return i1 - i0, j1 - j0, k1 - k0

    @property
    def shape_kji(self) -> IJK:
        """Shape of a KJI array with the content of this box."""
        i, j, k = self.size_ijk
        return k, j, i

    @property
    def slices_kji(self) -> tuple[slice, slice, slice]:
        """Slices that cut this box out of a KJI array; GeometryError for a negative start."""
        if min(self.start_ijk) < 0:
            raise GeometryError(f"expected a box clipped to its array, got start {self.start_ijk}")
        (i0, j0, k0), (i1, j1, k1) = self.start_ijk, self.stop_ijk
        return slice(k0, k1), slice(j0, j1), slice(i0, i1)

    @property
    def corners_ijk(self) -> NDArray[np.float64]:
        """The eight outer corners of its voxels, (8, 3), continuous indices."""
        edges = zip(np.array(self.start_ijk) - 0.5, np.array(self.stop_ijk) - 0.5, strict=True)
        return np.stack(np.meshgrid(*edges), axis=-1).reshape(-1, 3)

    def contains(self, ijk: Sequence[int]) -> bool:
        """Whether voxel `ijk` lies in the box."""
        voxel = three_ints(ijk, "a voxel")
        bounds = zip(self.start_ijk, voxel, self.stop_ijk, strict=True)
        return all(first <= here < last for first, here, last in bounds)

    def union(self, other: BoundingBox) -> BoundingBox:
        """Return the smallest box round both boxes; an empty box adds nothing."""
        if self.is_empty or other.is_empty:
            box = other if self.is_empty else self
            return BoundingBox.empty() if box.is_empty else box
        return BoundingBox(
            _each(min, self.start_ijk, other.start_ijk), _each(max, self.stop_ijk, other.stop_ijk)
        )

    def intersection(self, other: BoundingBox) -> BoundingBox:
        """Return the box of the voxels in both boxes."""
        start = _each(max, self.start_ijk, other.start_ijk)
        stop = _each(min, self.stop_ijk, other.stop_ijk)
        if any(last <= first for first, last in zip(start, stop, strict=True)):
            return BoundingBox.empty()
        return BoundingBox(start, stop)

    def clipped(self, shape_kji: Sequence[int]) -> BoundingBox:
        """Return the part of the box inside an array of shape `shape_kji`."""
        return self.intersection(BoundingBox.from_shape(shape_kji))

    def padded(self, voxels: int) -> BoundingBox:
        """Return the box grown by `voxels` >= 0 on all six sides; an empty box stays empty."""
        if voxels < 0:
            raise GeometryError(f"expected padding >= 0 voxels, got {voxels}")
        if self.is_empty:
            return BoundingBox.empty()
        margin = (voxels, voxels, voxels)
        return BoundingBox(
            _each(operator.sub, self.start_ijk, margin), _each(operator.add, self.stop_ijk, margin)
        )

    def parts(self, edge: int) -> Iterator[BoundingBox]:
        """Yield the parts in each cell of a lattice of cubes of `edge` voxels.

        Examples
        --------
        >>> [part.size_ijk for part in BoundingBox((3, 0, 0), (9, 4, 4)).parts(8)]
        [(5, 4, 4), (1, 4, 4)]
        """
        if self.is_empty:
            return
        bounds = zip(self.start_ijk, self.stop_ijk, strict=True)
        cells = [range(start // edge, (stop - 1) // edge + 1) for start, stop in bounds]
        for i, j, k in product(*cells):
            start = (i * edge, j * edge, k * edge)
            stop = (start[0] + edge, start[1] + edge, start[2] + edge)
            yield self.intersection(BoundingBox(start, stop))

    def shifted(self, offset_ijk: Sequence[int]) -> BoundingBox:
        """Return the box moved by `offset_ijk` voxels; an empty box stays empty."""
        offset = three_ints(offset_ijk, "an offset")
        if self.is_empty:
            return BoundingBox.empty()
        return BoundingBox(
            _each(operator.add, self.start_ijk, offset), _each(operator.add, self.stop_ijk, offset)
        )

    def relative_to(self, outer: BoundingBox) -> BoundingBox:
        """Return this box counted from the first voxel of `outer`, to index a crop of it.

        Examples
        --------
        >>> BoundingBox((4, 4, 4), (5, 5, 5)).relative_to(BoundingBox((3, 2, 1), (9, 9, 9)))
        BoundingBox(start_ijk=(1, 2, 3), stop_ijk=(2, 3, 4))
        """
        i, j, k = outer.start_ijk
        return self.shifted((-i, -j, -k))


def _each(function: Any, first: IJK, second: IJK) -> IJK:
    """Apply `function` to the two values of every axis."""
    i, j, k = (function(a, b) for a, b in zip(first, second, strict=True))
    return i, j, k
