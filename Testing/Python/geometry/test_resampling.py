"""Patches and logits against SimpleITK's resampler, scipy and linear ramps."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from strategies import SIGNED_PERMUTATIONS, boxes_near, geometries, voxels

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.grid import BoundingBox, Geometry, model_grid
from CTSAM3DLib.geometry.resampling import (
    extract_patch,
    grid_bbox_of_volume_bbox,
    sample_on_volume,
    volume_bbox_of_grid_bbox,
)
from CTSAM3DLib.geometry.volume import Volume

FILL = -1024.0


def _image(array: NDArray[np.generic], geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float64))
    origin, spacing, direction = geometry.lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    return image


def _resampled(
    array: NDArray[np.generic], of: Geometry, onto: Geometry, fill: float
) -> NDArray[np.float64]:
    """The oracle: SimpleITK's linear resampling of one grid onto another."""
    empty = np.zeros(onto.shape_kji, dtype=np.uint8)
    result = sitk.Resample(
        _image(array, of), _image(empty, onto), sitk.Transform(), sitk.sitkLinear, fill
    )
    return sitk.GetArrayFromImage(result)


def _indices_in(source: Geometry, target: Geometry) -> NDArray[np.float64]:
    """Continuous source indices IJK of every voxel centre of the target: (K, J, I, 3)."""
    k, j, i = np.indices(target.shape_kji)
    return source.ijk_from_ras(target.ras_from_ijk(np.stack([i, j, k], axis=-1)))


def _off_border(indices: NDArray[np.float64], size_ijk: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where rounding cannot decide whether an index lies in the voxel box of `size_ijk`."""
    distance = np.minimum(np.abs(indices + 0.5), np.abs(indices - (np.array(size_ijk) - 0.5)))
    return (distance > 1e-5).all(axis=-1)


# --- patches -------------------------------------------------------------------------------------


@given(geometries(), st.floats(0.1, 1.99), st.data())
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_patches_without_averaging_agree_with_simpleitk(
    dtype: type, geometry: Geometry, ratio: float, data: st.DataObject
) -> None:
    array = voxels(geometry, 1, dtype)
    # Nowhere twice as coarse as the volume, so no voxels are averaged.
    grid = model_grid(geometry, ratio * min(geometry.spacing_mm))
    box = data.draw(boxes_near(grid))
    patch = extract_patch(Volume(array, geometry), grid, box, FILL)
    onto = grid.cropped(box)
    expected = _resampled(array, geometry, onto, FILL)
    sure = _off_border(_indices_in(geometry, onto), geometry.size_ijk)
    assert patch.dtype == np.float32
    assert patch[sure] == pytest.approx(expected[sure], abs=2e-3)


def _block_means(
    array: NDArray[np.float64], axis: int, length: int, from_end: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and centres of blocks along an axis, with plain loops; the last one may be short."""
    lines = np.moveaxis(array, axis, 0)
    indices = list(range(len(lines)))
    ordered = indices[::-1] if from_end else indices
    blocks = [ordered[first : first + length] for first in range(0, len(ordered), length)]
    blocks.sort(key=min)
    means = np.stack([lines[sorted(block)].mean(axis=0) for block in blocks])
    return np.moveaxis(means, 0, axis), np.array([np.mean(block) for block in blocks])


def _patch_by_scipy(
    array: NDArray[np.generic], geometry: Geometry, onto: Geometry
) -> NDArray[np.float64]:
    """The oracle for coarse grids: block means by loops, then scipy at every point by itself."""
    indices = _indices_in(geometry, onto)
    means = array.astype(np.float64)
    coordinates = []
    for volume_axis in range(3):
        direction = geometry.directions_ras[:, volume_axis]
        along = onto.directions_ras.T @ direction
        backwards = along[np.abs(along).argmax()] < 0
        length = int(onto.spacing_mm[0] / geometry.spacing_mm[volume_axis] + 1e-6)
        means, centres = _block_means(means, 2 - volume_axis, max(length, 1), bool(backwards))
        at = indices[..., volume_axis]
        coordinates.append(np.interp(at, centres, np.arange(len(centres))))
    patch = ndimage.map_coordinates(means, coordinates[::-1], order=1, mode="nearest")
    outside = (indices < -0.5) | (indices >= np.array(geometry.size_ijk) - 0.5)
    return np.where(outside.any(axis=-1), FILL, patch)


@given(geometries(largest_size=14), st.floats(0.3, 9.0), st.data())
def test_patches_of_coarse_grids_agree_with_scipy_on_block_means(
    geometry: Geometry, ratio: float, data: st.DataObject
) -> None:
    array = voxels(geometry, 2)
    grid = model_grid(geometry, ratio * float(np.median(geometry.spacing_mm)))
    box = data.draw(boxes_near(grid))
    patch = extract_patch(Volume(array, geometry), grid, box, FILL)
    onto = grid.cropped(box)
    sure = _off_border(_indices_in(geometry, onto), geometry.size_ijk)
    expected = _patch_by_scipy(array, geometry, onto)
    assert patch[sure] == pytest.approx(expected[sure], abs=2e-3)


@given(
    geometries(largest_size=16, spacings=st.floats(1.0, 2.5)),
    st.sampled_from([0.8, 1.0, 1.9, 2.0, 2.6, 3.0, 4.3]),
)
def test_a_ramp_is_read_at_its_true_place(geometry: Geometry, ratio: float) -> None:
    # Averages of a linear function are its values at the block centres: no half-voxel shift.
    k, j, i = np.indices(geometry.shape_kji)
    slope, level = np.array([0.7, -1.3, 0.4]), 5.0
    array = geometry.ras_from_ijk(np.stack([i, j, k], axis=-1)) @ slope + level
    grid = model_grid(geometry, ratio * min(geometry.spacing_mm))
    patch = extract_patch(Volume(array, geometry), grid, BoundingBox.from_shape(grid.shape_kji))
    indices = _indices_in(geometry, grid)
    # Inside the outermost block centres; beyond them the value is held.
    lengths = np.maximum(1, np.floor(grid.spacing_mm[0] / np.array(geometry.spacing_mm) + 1e-6))
    margin = (np.minimum(lengths, geometry.size_ijk) - 1) / 2
    inner = (indices >= margin) & (indices <= np.array(geometry.size_ijk) - 1 - margin)
    k, j, i = np.indices(grid.shape_kji)
    truth = grid.ras_from_ijk(np.stack([i, j, k], axis=-1)) @ slope + level
    inner = inner.all(axis=-1)
    assert patch[inner] == pytest.approx(truth[inner], abs=5e-3)


@pytest.mark.parametrize(
    ("spacing_mm", "change"),
    list(zip(itertools.cycle([0.9, 1.7, 3.3]), SIGNED_PERMUTATIONS, strict=False)),
)
def test_the_same_scene_stored_otherwise_gives_the_same_patch(
    change: NDArray[np.float64], spacing_mm: float, rng: np.random.Generator
) -> None:
    array = rng.integers(-1000, 1000, (7, 11, 13)).astype(np.int16)
    matrix = np.diag([0.8, 1.1, 1.6, 1.0])
    matrix[:3, 3] = (-30, 12, 100)
    one = Volume(array, Geometry(matrix, array.shape))
    # New axis n runs along old axis order[n], backwards where the sign is negative.
    order, signs = np.abs(change).argmax(axis=0), change.sum(axis=0)
    stored = array.transpose([2 - order[2], 2 - order[1], 2 - order[0]])
    stored = stored[tuple(slice(None, None, int(sign)) for sign in signs[::-1])]
    start = np.where(signs < 0, np.array(array.shape[::-1])[order] - 1, 0)
    other = np.eye(4)
    other[:3, :3] = matrix[:3, :3] @ change
    other[:3, 3] = matrix[:3, :3] @ np.abs(change) @ start + matrix[:3, 3]
    two = Volume(stored, Geometry(other, stored.shape))
    grid = model_grid(two.geometry, spacing_mm)
    assert grid.allclose(model_grid(one.geometry, spacing_mm), 1e-9)
    box = BoundingBox((-1, 0, 1), (6, 8, 5))
    assert extract_patch(two, grid, box) == pytest.approx(extract_patch(one, grid, box), abs=1e-3)


@given(geometries(largest_size=14), st.floats(0.5, 6.0), st.data())
def test_a_grid_voxel_has_the_same_value_in_every_patch(
    geometry: Geometry, ratio: float, data: st.DataObject
) -> None:
    volume = Volume(voxels(geometry, 3), geometry)
    grid = model_grid(geometry, ratio * min(geometry.spacing_mm))
    one, two = data.draw(boxes_near(grid)), data.draw(boxes_near(grid))
    both = one.intersection(two)
    first = extract_patch(volume, grid, one)[both.relative_to(one).slices_kji]
    second = extract_patch(volume, grid, two)[both.relative_to(two).slices_kji]
    assert np.allclose(first, second, rtol=0, atol=1e-3)


def test_outside_the_volume_is_air_and_up_to_its_edge_the_last_voxel_holds() -> None:
    row = np.array([[[100, 200]]], dtype=np.int16)
    volume = Volume(row, Geometry(np.diag([4.0, 9, 9, 1]), row.shape))
    matrix = np.eye(4)
    matrix[0, 3] = -3.5
    grid = Geometry(matrix, (1, 1, 12))
    patch = extract_patch(volume, grid, BoundingBox.from_shape(grid.shape_kji))
    # Centres at -3.5 ... 7.5 mm; edges at -2 and 6; voxel centres at 0 and 4.
    held = [100.0, 100.0, 112.5, 137.5, 162.5, 187.5, 200.0, 200.0]
    assert patch.ravel().tolist() == [FILL, FILL, *held, FILL, FILL]
    beside = BoundingBox((0, 20, 0), (3, 24, 2))
    assert np.unique(extract_patch(volume, grid, beside, fill_hu=-7)).tolist() == [-7]
    assert extract_patch(volume, grid, BoundingBox.empty()).shape == (0, 0, 0)


@pytest.mark.parametrize("shape", [(1, 40, 40), (40, 1, 40), (40, 40, 1), (1, 1, 1)])
def test_a_single_slice_fills_its_thickness(shape: tuple[int, int, int]) -> None:
    volume = Volume(np.full(shape, 55, dtype=np.int16), Geometry(np.diag([5.0, 5, 5, 1]), shape))
    grid = model_grid(volume.geometry, 1.5)
    patch = extract_patch(volume, grid, BoundingBox.from_shape(grid.shape_kji))
    assert np.unique(patch).tolist() == [55]
    assert patch.shape == tuple(4 if size == 1 else 134 for size in shape)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.float16, np.float64])
def test_every_voxel_type_gives_the_same_patch(dtype: type, rng: np.random.Generator) -> None:
    array = rng.integers(0, 100, (9, 10, 11))
    geometry = Geometry(np.diag([-0.7, 0.7, 2.0, 1.0]), array.shape)
    grid, box = model_grid(geometry, 1.5), BoundingBox((0, 0, 0), (5, 5, 9))
    expected = extract_patch(Volume(array.astype(np.int16), geometry), grid, box)
    result = extract_patch(Volume(array.astype(dtype), geometry), grid, box)
    assert result.dtype == np.float32
    assert result == pytest.approx(expected, abs=1e-3)


def test_memory_is_bounded_by_the_patch_not_by_the_volume() -> None:
    # Eight thousand million voxels that all share one byte.
    array = np.broadcast_to(np.int8(7), (2000, 2000, 2000))
    geometry = Geometry(np.diag([0.5, 0.5, 0.5, 1]), array.shape)
    volume, grid = Volume(array, geometry), model_grid(geometry, 2.0)
    box = BoundingBox((240, 240, 240), (256, 256, 256))
    tracemalloc.start()
    try:
        patch = extract_patch(volume, grid, box)
        whole = volume_bbox_of_grid_bbox(box, grid, geometry)
        result = sample_on_volume(patch, box, grid, geometry, whole)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.unique(patch).tolist() == np.unique(result).tolist() == [7]
    assert result.shape == (64, 64, 64)
    assert peak < 8e6  # bytes; the footprint is 64^3 voxels, 1 MB as float32


def test_patches_need_parallel_axes() -> None:
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    volume = Volume.from_array(np.zeros((4, 4, 4), np.int16), (1, 1, 1))
    grid, box = Geometry(turned, (4, 4, 4)), BoundingBox((0, 0, 0), (4, 4, 4))
    with pytest.raises(GeometryError, match=r"parallel axes, got 36\.870 degrees"):
        extract_patch(volume, grid, box)
    with pytest.raises(GeometryError, match=r"parallel axes, got 36\.870 degrees"):
        sample_on_volume(np.zeros((4, 4, 4)), box, grid, volume.geometry, box)


# --- logits --------------------------------------------------------------------------------------


@given(geometries(), st.floats(0.25, 4.0), st.data())
def test_values_on_the_volume_agree_with_simpleitk(
    geometry: Geometry, ratio: float, data: st.DataObject
) -> None:
    grid = model_grid(geometry, ratio * float(np.median(geometry.spacing_mm)))
    box, onto = data.draw(boxes_near(grid)), data.draw(boxes_near(geometry))
    values = np.random.default_rng(4).normal(0, 8, box.shape_kji).astype(np.float32)
    result = sample_on_volume(values, box, grid, geometry, onto, fill=-50.0)
    crop, target = grid.cropped(box), geometry.cropped(onto)
    expected = _resampled(values, crop, target, -50.0)
    sure = _off_border(_indices_in(crop, target), crop.size_ijk)
    assert result.dtype == np.float32
    assert result[sure] == pytest.approx(expected[sure], abs=1e-4)


def test_logits_go_back_to_where_the_patch_came_from(rng: np.random.Generator) -> None:
    # The grid of an isotropic volume holds the same voxels in another order: nothing is lost.
    array = rng.integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    matrix = np.array([[0, 0, -2.0, 9], [2, 0, 0, 8], [0, -2, 0, 7], [0, 0, 0, 1]])
    volume = Volume(array, Geometry(matrix, array.shape))
    grid = model_grid(volume.geometry, 2.0)
    box = BoundingBox.from_shape(grid.shape_kji)
    whole = BoundingBox.from_shape(array.shape)
    patch = extract_patch(volume, grid, box)
    assert patch.shape != array.shape
    assert np.array_equal(sample_on_volume(patch, box, grid, volume.geometry, whole), array)


def test_outside_the_crop_is_background_by_default() -> None:
    geometry = Geometry(np.eye(4), (4, 4, 4))
    box, whole = BoundingBox((0, 0, 0), (1, 1, 1)), BoundingBox.from_shape((4, 4, 4))
    result = sample_on_volume(np.full((1, 1, 1), 5.0), box, geometry, geometry, whole)
    assert result[0, 0, 0] == 5
    assert np.unique(result).tolist() == [-32, 5]
    away = BoundingBox((9, 9, 9), (10, 10, 10))
    nothing = sample_on_volume(np.full((1, 1, 1), 5.0), away, geometry, geometry, whole)
    assert np.unique(nothing).tolist() == [-32]
    empty = sample_on_volume(np.zeros((0, 0, 0)), BoundingBox.empty(), geometry, geometry, whole)
    assert np.unique(empty).tolist() == [-32]


def test_values_must_fill_their_box() -> None:
    geometry = Geometry(np.eye(4), (4, 4, 4))
    box = BoundingBox((0, 0, 0), (1, 2, 3))
    with pytest.raises(GeometryError, match=r"values of shape \(3, 2, 1\), got \(1, 2, 3\)"):
        sample_on_volume(np.zeros((1, 2, 3)), box, geometry, geometry, box)


# --- boxes ---------------------------------------------------------------------------------------


@given(geometries(), st.floats(0.3, 5.0), st.data())
def test_the_volume_box_holds_exactly_the_voxels_centred_in_the_grid_box(
    geometry: Geometry, ratio: float, data: st.DataObject
) -> None:
    grid = model_grid(geometry, ratio * min(geometry.spacing_mm))
    box = data.draw(boxes_near(grid))
    found = volume_bbox_of_grid_bbox(box, grid, geometry)
    painted = np.zeros(geometry.shape_kji, dtype=bool)
    painted[found.slices_kji] = True
    at = _indices_in(grid, geometry) - np.array(box.start_ijk)
    inside = ((at >= -0.5) & (at < np.array(box.size_ijk) - 0.5)).all(axis=-1)
    sure = _off_border(at, box.size_ijk)
    assert np.array_equal(painted[sure], inside[sure])


@given(geometries(), st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 3.7]), st.integers(1, 4))
def test_boxes_that_tile_the_grid_tile_the_volume(
    geometry: Geometry, ratio: float, edge: int
) -> None:
    grid = model_grid(geometry, ratio * min(geometry.spacing_mm))
    edge *= max(1, max(grid.size_ijk) // 3)
    counts = np.zeros(geometry.shape_kji, dtype=int)
    starts = [range(0, size, edge) for size in grid.size_ijk]
    for i, j, k in itertools.product(*starts):
        tile = BoundingBox((i, j, k), (i + edge, j + edge, k + edge))
        counts[volume_bbox_of_grid_bbox(tile, grid, geometry).slices_kji] += 1
    assert (counts == 1).all()


@given(geometries(), st.floats(0.3, 5.0), st.data())
def test_the_grid_box_of_a_volume_box_is_the_smallest_that_holds_it(
    geometry: Geometry, ratio: float, data: st.DataObject
) -> None:
    grid = model_grid(geometry, ratio * min(geometry.spacing_mm))
    box = data.draw(boxes_near(geometry)).clipped(geometry.shape_kji)
    if box.is_empty:
        assert grid_bbox_of_volume_bbox(box, grid, geometry).is_empty
        return
    found = grid_bbox_of_volume_bbox(box, grid, geometry)
    at = _indices_in(grid, geometry)[box.slices_kji]
    lowest, highest = at.min(axis=(0, 1, 2)), at.max(axis=(0, 1, 2))
    # Every centre lies in the box, and its outer voxels each hold one.
    assert (lowest >= np.array(found.start_ijk) - 0.5 - 1e-5).all()
    assert (highest < np.array(found.stop_ijk) - 0.5 + 1e-5).all()
    assert (lowest < np.array(found.start_ijk) + 0.5 + 1e-5).all()
    assert (highest >= np.array(found.stop_ijk) - 1.5 - 1e-5).all()
    back = volume_bbox_of_grid_bbox(found, grid, geometry)
    assert back.union(box) == back


@given(geometries(), st.floats(0.5, 4.0), st.tuples(*[st.floats(-200, 200)] * 3))
def test_a_point_on_the_grid_is_where_simpleitk_puts_it(
    geometry: Geometry, spacing_mm: float, position_ras: tuple[float, ...]
) -> None:
    grid = model_grid(geometry, spacing_mm)
    position_lps = np.array(position_ras) * (-1, -1, 1)
    image = _image(np.zeros(grid.shape_kji), grid)
    expected = image.TransformPhysicalPointToContinuousIndex(position_lps.tolist())
    assert grid.ijk_from_ras(position_ras) == pytest.approx(np.array(expected), abs=1e-6)
