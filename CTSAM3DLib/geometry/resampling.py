"""Between the volume's voxels and the model grid: patches in, logits out.

Both grids have parallel axes (`geometry.model_grid`), so all resampling is separable: one axis
after the other, float32, with memory bounded by the box that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.axis import (
    Blocks,
    LinearTaps,
    block_mean,
    interpolate_axes,
    nearest_indices,
)
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import AxisMap, Geometry
from CTSAM3DLib.geometry.volume import Volume

AIR_HU = -1024.0
# Probability 1e-14: background, yet finite, so that logits can be added and averaged.
BACKGROUND_LOGIT = -32.0


@dataclass(frozen=True)
class _AxisRead:
    """How the outputs along one axis are read from a source axis."""

    outputs: slice  # outputs whose centre lies inside the source
    source: slice  # samples of the source that they need
    blocks: Blocks  # of those samples
    taps: LinearTaps  # into those blocks


def extract_patch(
    volume: Volume, grid: Geometry, bbox_on_grid: BoundingBox, fill_hu: float = AIR_HU
) -> NDArray[np.float32]:
    """Return the HU of a volume at the voxel centres of a box of the model grid, (D, H, W) float32.

    Linear interpolation. Along an axis where the grid is coarser than the volume by 2 or more,
    blocks of floor(ratio) voxels are averaged first and interpolation runs between the block
    centres, against aliasing. Between the last voxel (or block) centre and the edge of the volume
    the outermost value holds; outside the voxel edges, `fill_hu`. The box may reach outside grid
    and volume. Raises GeometryError: the axes of grid and volume are not parallel.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import model_grid
    >>> row = np.arange(8, dtype=np.int16).reshape(1, 1, 8)
    >>> volume = Volume.from_array(row, (1, 4, 4))
    >>> grid = model_grid(volume.geometry, 4.0)
    >>> extract_patch(volume, grid, BoundingBox((0, 0, 0), (3, 1, 1))).tolist()
    [[[1.5, 5.5, -1024.0]]]
    """
    axis_map = AxisMap.between(volume.geometry, grid)
    patch = np.full(bbox_on_grid.shape_kji, fill_hu, dtype=np.float32)
    # Seen in the axis order of the volume, so that only the small result is reordered.
    target = patch.transpose(_grid_axes_in_volume_order(axis_map))
    reads = []
    for axis in range(3):
        grid_axis = axis_map.volume_axes.index(2 - axis)
        first, last = bbox_on_grid.start_ijk[grid_axis], bbox_on_grid.stop_ijk[grid_axis]
        scale, offset = axis_map.scales[grid_axis], axis_map.offsets[grid_axis]
        positions = np.arange(first, last, dtype=np.float64) * scale + offset
        read = _read_axis(positions, volume.array_kji.shape[axis], scale)
        if read is None:
            return patch
        reads.append(read)
    values: NDArray[Any] = volume.array_kji[tuple(read.source for read in reads)]
    for axis, read in enumerate(reads):
        if read.blocks.length > 1:
            values = block_mean(values, axis, read.blocks)
    inside = target[tuple(read.outputs for read in reads)]
    interpolate_axes(values.astype(np.float32, copy=False), [read.taps for read in reads], inside)
    return patch


def sample_on_volume(
    values_kji: NDArray[Any],
    values_bbox_on_grid: BoundingBox,
    grid: Geometry,
    volume_geometry: Geometry,
    volume_bbox: BoundingBox,
    fill: float = BACKGROUND_LOGIT,
) -> NDArray[np.float32]:
    """Return a crop of the model grid, such as logits, at voxel centres of the volume, as float32.

    Linear interpolation; between the last centre and the edge of the crop the outermost value
    holds, outside the voxel edges of the crop `fill`. `values_bbox_on_grid` is the place of the
    values, which may reach outside the grid; `volume_bbox` the voxels of the volume to compute.
    Raises GeometryError: values of another shape than their box, or axes that are not parallel.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import model_grid
    >>> volume = Geometry(np.eye(4), (1, 1, 8))
    >>> grid, box = model_grid(volume, 2.0), BoundingBox((1, 0, 0), (3, 1, 1))
    >>> whole = BoundingBox.from_shape(volume.shape_kji)
    >>> sample_on_volume(np.array([[[0.0, 4.0]]]), box, grid, volume, whole, fill=-9).tolist()
    [[[-9.0, -9.0, 0.0, 1.0, 3.0, 4.0, -9.0, -9.0]]]
    """
    if values_kji.shape != values_bbox_on_grid.shape_kji:
        raise GeometryError(
            f"expected values of shape {values_bbox_on_grid.shape_kji}, got {values_kji.shape}"
        )
    axis_map = AxisMap.between(volume_geometry, grid)
    result = np.full(volume_bbox.shape_kji, fill, dtype=np.float32)
    source = values_kji.transpose(_grid_axes_in_volume_order(axis_map))
    reads = []
    for axis in range(3):
        voxels = np.arange(volume_bbox.start_ijk[2 - axis], volume_bbox.stop_ijk[2 - axis])
        grid_axis = axis_map.volume_axes.index(2 - axis)
        positions = _grid_positions(axis_map, grid_axis, voxels)
        read = _read_axis(positions - values_bbox_on_grid.start_ijk[grid_axis], source.shape[axis])
        if read is None:
            return result
        reads.append(read)
    source = source[tuple(read.source for read in reads)].astype(np.float32, copy=False)
    inside = result[tuple(read.outputs for read in reads)]
    interpolate_axes(source, [read.taps for read in reads], inside)
    return result


def volume_bbox_of_grid_bbox(
    bbox_on_grid: BoundingBox, grid: Geometry, volume_geometry: Geometry
) -> BoundingBox:
    """Return the voxels of the volume whose centres lie inside a box of the grid.

    Clipped to the volume. A centre on a border belongs to the grid voxel after it, so boxes that
    tile the grid tile the volume. Raises GeometryError: the axes of grid and volume are not
    parallel.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import model_grid
    >>> volume = Geometry(np.eye(4), (8, 8, 8))
    >>> box = BoundingBox((1, 0, 0), (3, 1, 99))
    >>> volume_bbox_of_grid_bbox(box, model_grid(volume, 2.0), volume)
    BoundingBox(start_ijk=(2, 0, 0), stop_ijk=(6, 2, 8))
    """
    axis_map = AxisMap.between(volume_geometry, grid)
    start, stop = [0, 0, 0], [0, 0, 0]
    for grid_axis, volume_axis in enumerate(axis_map.volume_axes):
        voxels = np.arange(volume_geometry.size_ijk[volume_axis])
        holders = nearest_indices(_grid_positions(axis_map, grid_axis, voxels))
        first, last = bbox_on_grid.start_ijk[grid_axis], bbox_on_grid.stop_ijk[grid_axis]
        found = np.flatnonzero((holders >= first) & (holders < last))
        if found.size == 0:
            return BoundingBox.empty()
        start[volume_axis], stop[volume_axis] = int(found[0]), int(found[-1]) + 1
    return BoundingBox((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def grid_bbox_of_volume_bbox(
    volume_bbox: BoundingBox, grid: Geometry, volume_geometry: Geometry
) -> BoundingBox:
    """Return the smallest box of the grid that holds the centres of a box of volume voxels.

    The inverse of `volume_bbox_of_grid_bbox`, whose result for this box contains `volume_bbox`
    (where that lies in the volume). Not clipped. Raises GeometryError: the axes of grid and volume
    are not parallel.
    """
    axis_map = AxisMap.between(volume_geometry, grid)
    if volume_bbox.is_empty:
        return BoundingBox.empty()
    start, stop = [0, 0, 0], [0, 0, 0]
    for grid_axis, volume_axis in enumerate(axis_map.volume_axes):
        ends = (volume_bbox.start_ijk[volume_axis], volume_bbox.stop_ijk[volume_axis] - 1)
        holders = nearest_indices(_grid_positions(axis_map, grid_axis, np.array(ends)))
        start[grid_axis], stop[grid_axis] = int(holders.min()), int(holders.max()) + 1
    return BoundingBox((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _grid_axes_in_volume_order(axis_map: AxisMap) -> list[int]:
    """Return, for the K, J, I axes of the volume, the matching axes of a grid array."""
    return [2 - axis_map.volume_axes.index(volume_axis) for volume_axis in (2, 1, 0)]


def _grid_positions(
    axis_map: AxisMap, grid_axis: int, voxels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the continuous grid index of volume voxels along the axis that they share."""
    return (voxels.astype(np.float64) - axis_map.offsets[grid_axis]) / axis_map.scales[grid_axis]


def _read_axis(positions: NDArray[np.float64], size: int, step: float = 1.0) -> _AxisRead | None:
    """Return how to read a source axis at positions a step apart; None if all lie outside."""
    holders = nearest_indices(positions)
    inside = np.flatnonzero((holders >= 0) & (holders < size))
    if inside.size == 0:
        return None
    outputs = slice(int(inside[0]), int(inside[-1]) + 1)
    blocks = Blocks.of_axis(size, step)
    count = blocks.edges.size - 1
    # Piecewise linear between block centres: exact next to an incomplete block too.
    on_blocks = np.interp(positions[outputs], blocks.centres, np.arange(count))
    taps = LinearTaps.at(on_blocks, count)
    first, last = int(taps.lower.min()), int(taps.upper.max())
    source = slice(int(blocks.edges[first]), int(blocks.edges[last + 1]))
    return _AxisRead(outputs, source, blocks.part(first, last), taps.shifted(first))
