"""Persistent sparse arrays: every write gives a new array that shares all untouched blocks.

A session keeps one array of logits and one mask per undo step. With blocks that are shared
between steps, a step takes the memory of the blocks that it changed, whatever the size of the
volume; a region that was never written takes no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.box import BoundingBox

BlockIndex = tuple[int, int, int]


class BlockArray:
    """Immutable 3D array made of cubic blocks; a missing block holds the fill value.

    Blocks of bool are stored as bits. The fill may be NaN. `block_size` is the edge in voxels.
    Raises GeometryError if a dimension or the block size is below 1.

    Examples
    --------
    >>> empty = BlockArray((100, 200, 300), bool)
    >>> box = BoundingBox((10, 20, 30), (12, 22, 32))
    >>> array = empty.written(box, np.ones(box.shape_kji, bool))
    >>> int(array.read(box.padded(1)).sum()), empty.nbytes, array.nbytes
    (8, 0, 32768)
    """

    __slots__ = ("_blocks", "block_size", "dtype", "fill", "shape_kji")

    def __init__(
        self,
        shape_kji: tuple[int, int, int],
        dtype: DTypeLike,
        fill: float | bool = 0,
        block_size: int = 64,
    ) -> None:
        """Make an array that holds the fill value everywhere."""
        if min(shape_kji) < 1 or block_size < 1:
            raise GeometryError(
                "expected positive numbers as shape and a block size of at least 1, "
                f"got {shape_kji} and {block_size}"
            )
        self.shape_kji = (int(shape_kji[0]), int(shape_kji[1]), int(shape_kji[2]))
        self.dtype = np.dtype(dtype)
        self.fill: Any = np.array(fill, self.dtype)[()]
        self.block_size = int(block_size)
        self._blocks: Mapping[BlockIndex, NDArray[Any]] = MappingProxyType({})

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks, shared ones included."""
        return sum(block.nbytes for block in self._blocks.values())

    def own_nbytes(self, other: BlockArray) -> int:
        """Return the bytes of the blocks that `other` does not share with this array."""
        return sum(
            block.nbytes
            for index, block in self._blocks.items()
            if other._blocks.get(index) is not block
        )

    def read(self, bbox: BoundingBox) -> NDArray[Any]:
        """Return a box as a new dense array of `bbox.shape_kji`.

        The box may reach over the border of the array; the fill value is there.
        """
        dense: NDArray[Any] = np.full(bbox.shape_kji, self.fill, self.dtype)
        for index, part in self._parts(bbox):
            if index in self._blocks:
                inside = part.relative_to(self._block_box(index)).slices_kji
                dense[part.relative_to(bbox).slices_kji] = self._block(index)[inside]
        return dense

    def dense(self) -> NDArray[Any]:
        """Return the whole array."""
        return self.read(self._whole_box())

    def written(self, bbox: BoundingBox, values: NDArray[Any]) -> BlockArray:
        """Return an array with the box replaced; this array stays as it is.

        Blocks whose content does not change are shared, blocks that hold nothing but the fill value
        are dropped. `values` has the shape of the box and is cast; the part beyond the border of
        the array is ignored. Raises GeometryError if the shape of `values` is not that of the box.
        """
        if values.shape != bbox.shape_kji:
            raise GeometryError(
                f"expected values of shape {bbox.shape_kji} (KJI), got {values.shape}"
            )
        blocks = dict(self._blocks)
        for index, part in self._parts(bbox):
            old = self._block(index)
            new = old.copy()
            new[part.relative_to(self._block_box(index)).slices_kji] = values[
                part.relative_to(bbox).slices_kji
            ]
            if not _differs(new, self.fill).any():
                blocks.pop(index, None)
            elif _differs(new, old).any():
                blocks[index] = _packed(new)
        return self._with_blocks(blocks)

    def changed_box(self, other: BlockArray) -> BoundingBox:
        """Return the tight box of all voxels in which two arrays differ; empty when they are equal.

        Shared blocks are not compared, so that the time follows the size of the change. Raises
        GeometryError if shape or block size differ.

        Examples
        --------
        >>> empty = BlockArray((9, 9, 9), bool)
        >>> box = BoundingBox((1, 2, 3), (4, 5, 6))
        >>> empty.changed_box(empty.written(box, np.ones((3, 3, 3), bool))) == box
        True
        """
        if self._layout() != other._layout():
            raise GeometryError(
                f"expected an array of layout {self._layout()}, got {other._layout()}"
            )
        changed = BoundingBox.empty()
        for index in self._blocks.keys() | other._blocks.keys():
            if self._blocks.get(index) is other._blocks.get(index):
                continue
            differs = _differs(self._block(index), other._block(index))
            found = BoundingBox.from_mask(differs)
            changed = changed.union(found.shifted(self._block_box(index).start_ijk))
        return changed

    def occupied_box(self, bbox: BoundingBox | None = None) -> BoundingBox:
        """Return the tight box of what differs from the fill value, inside a box if one is given.

        Only blocks that were written are read, one after the other.

        Examples
        --------
        >>> array = BlockArray((99, 99, 99), bool)
        >>> box = BoundingBox((1, 2, 3), (4, 5, 6))
        >>> array = array.written(box, np.ones((3, 3, 3), bool))
        >>> array.occupied_box(BoundingBox((2, 0, 0), (99, 99, 99)))
        BoundingBox(start_ijk=(2, 2, 3), stop_ijk=(4, 5, 6))
        """
        occupied = BoundingBox.empty()
        for index, part in self._parts(self._whole_box() if bbox is None else bbox):
            if index in self._blocks:
                inside = part.relative_to(self._block_box(index)).slices_kji
                found = BoundingBox.from_mask(_differs(self._block(index)[inside], self.fill))
                occupied = occupied.union(found.shifted(part.start_ijk))
        return occupied

    def __repr__(self) -> str:
        """Name the layout and the number of stored blocks."""
        return f"BlockArray(layout={self._layout()}, blocks={len(self._blocks)})"

    def _layout(self) -> tuple[tuple[int, int, int], str, int]:
        return self.shape_kji, self.dtype.name, self.block_size

    def _with_blocks(self, blocks: dict[BlockIndex, NDArray[Any]]) -> BlockArray:
        new = BlockArray(self.shape_kji, self.dtype, self.fill, self.block_size)
        new._blocks = MappingProxyType(blocks)
        return new

    def _whole_box(self) -> BoundingBox:
        return BoundingBox.from_shape(self.shape_kji)

    def _block_box(self, index: BlockIndex) -> BoundingBox:
        """Return the box of a block, cut at the border of the array."""
        size = self.block_size
        start = (index[0] * size, index[1] * size, index[2] * size)
        stop = (start[0] + size, start[1] + size, start[2] + size)
        return BoundingBox(start, stop).intersection(self._whole_box())

    def _parts(self, bbox: BoundingBox) -> Iterator[tuple[BlockIndex, BoundingBox]]:
        """Yield each block (index in I, J, K order) that a box touches, and the part in it."""
        for part in bbox.intersection(self._whole_box()).parts(self.block_size):
            i, j, k = (at // self.block_size for at in part.start_ijk)
            yield (i, j, k), part

    def _block(self, index: BlockIndex) -> NDArray[Any]:
        """Return the content of a block; not to be written to."""
        shape_kji = self._block_box(index).shape_kji
        block = self._blocks.get(index)
        if block is None:
            return np.full(shape_kji, self.fill, self.dtype)
        if self.dtype != np.bool_:
            return block
        bits = np.unpackbits(block, count=math.prod(shape_kji))
        return bits.view(np.bool_).reshape(shape_kji)


def _packed(block: NDArray[Any]) -> NDArray[Any]:
    """Return the stored, read-only form of a block: bool as bits."""
    stored = np.packbits(block) if block.dtype == np.bool_ else block
    stored.setflags(write=False)
    return stored


def _differs(one: NDArray[Any], other: NDArray[Any] | np.generic) -> NDArray[np.bool_]:
    """Return where two arrays differ; NaN equals NaN."""
    differs = np.asarray(one != other, np.bool_)
    if one.dtype.kind == "f":
        differs &= ~(np.isnan(one) & np.isnan(other))
    return differs
