"""The grid that a model looks at, and the way from it to the volume, against other packages."""

from __future__ import annotations

from itertools import cycle, permutations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sitk_case import FLIP, corners_ijk, sitk_image
from strategies import SIGNED_PERMUTATIONS, geometries, rotations

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.affine import tie_slack
from CTSAM3DLib.geometry.grid import (
    AxisMap,
    Geometry,
    model_grid,
)

points = st.tuples(*[st.floats(-30, 30)] * 3)


@given(geometries(largest_degrees=30, spacings=st.just(1.25)))
def test_the_grid_of_an_isotropic_volume_is_the_volume_reoriented(geometry: Geometry) -> None:
    grid = model_grid(geometry, 1.25)
    by_itk = sitk.DICOMOrient(sitk_image(geometry), "RAS")
    assert grid.size_ijk == by_itk.GetSize()
    for corner in corners_ijk(grid):
        expected = np.array(by_itk.TransformContinuousIndexToPhysicalPoint(corner.tolist())) * FLIP
        assert grid.ras_from_ijk(corner) == pytest.approx(expected, abs=1e-7)
    image = nib.Nifti1Image(np.zeros(geometry.size_ijk, np.uint8), np.array(geometry.ijk_to_ras))
    by_nibabel = nib.as_closest_canonical(image)
    assert grid.size_ijk == by_nibabel.shape
    assert np.asarray(grid.ijk_to_ras) == pytest.approx(by_nibabel.affine, abs=1e-7)


@given(geometries(), st.floats(0.4, 8.0))
def test_the_grid_covers_the_volume_and_shares_its_centre(
    geometry: Geometry, spacing_mm: float
) -> None:
    grid = model_grid(geometry, spacing_mm)
    assert grid.spacing_mm == pytest.approx([spacing_mm] * 3)
    image, volume = sitk_image(grid), sitk_image(geometry)
    corners = np.array(
        [
            image.TransformPhysicalPointToContinuousIndex(
                volume.TransformContinuousIndexToPhysicalPoint(corner.tolist())
            )
            for corner in corners_ijk(geometry)
        ]
    )
    size = np.array(grid.size_ijk)
    slack = tie_slack(spacing_mm) + 2e-6  # of a voxel: last digits of a header add no layer
    assert (corners > -0.5 - slack).all()
    assert (corners < size - 0.5 + slack).all()
    # No layer of voxels beyond need: less than half a voxel of overhang on each side.
    assert (corners.min(axis=0) < 0.5).all() or (size == 1).any()
    assert ((corners.min(axis=0) < 0) | (size == 1)).all()
    assert corners.min(axis=0) + corners.max(axis=0) == pytest.approx(size - 1, abs=1e-6)


@given(geometries(), st.floats(0.4, 8.0))
def test_the_axes_of_the_grid_run_nearest_to_right_front_and_up(
    geometry: Geometry, spacing_mm: float
) -> None:
    grid = model_grid(geometry, spacing_mm)
    cosines = geometry.directions_ras
    rows, columns = linear_sum_assignment(-np.abs(cosines))
    best = np.abs(cosines)[rows, columns].sum()
    # The trace of the grid's directions is the score of its own assignment.
    assert np.trace(grid.directions_ras) == pytest.approx(best, abs=1e-8)
    assert (np.diag(grid.directions_ras) > 0).all()
    assert not grid.is_left_handed
    # A permutation: every axis of the volume is used once, forwards or backwards.
    overlap = np.abs(cosines.T @ grid.directions_ras)
    assert np.sort(overlap, axis=0) == pytest.approx(
        np.array([[0] * 3, [0] * 3, [1] * 3]), abs=1e-7
    )
    assert overlap.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-6)


@given(rotations(), st.sampled_from(SIGNED_PERMUTATIONS), st.floats(0.5, 4.0))
def test_the_grid_does_not_depend_on_how_the_volume_is_stored(
    rotation: NDArray[np.float64], change: NDArray[np.float64], spacing_mm: float
) -> None:
    size, spacing = np.array([4, 5, 7]), np.array([0.8, 1.1, 2.0])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * spacing
    one = Geometry(matrix, tuple(size[::-1].tolist()))
    # The same box of voxels, stored in another axis order and direction.
    order = np.abs(change)
    new_size = np.round(order.T @ size).astype(int)
    start = np.where(change.sum(axis=0) < 0, new_size - 1, 0)
    other = np.eye(4)
    other[:3, :3] = matrix[:3, :3] @ change
    other[:3, 3] = -other[:3, :3] @ start
    two = Geometry(other, tuple(new_size[::-1].tolist()))
    assert two.extent_ras == pytest.approx(one.extent_ras, abs=1e-9)
    sums = sorted(np.abs(rotation)[range(3), order].sum() for order in permutations((0, 1, 2)))
    if sums[-1] - sums[-2] > 1e-3:  # no tie between ways to pair the axes
        assert model_grid(two, spacing_mm).allclose(model_grid(one, spacing_mm), 1e-8)


@pytest.mark.parametrize(
    ("axis", "change"), list(zip(cycle([0, 1, 2]), SIGNED_PERMUTATIONS, strict=False))
)
def test_at_45_degrees_the_grid_is_still_a_grid(change: NDArray[np.float64], axis: int) -> None:
    half = np.sqrt(0.5)
    turn = np.eye(3)
    first, second = (index for index in range(3) if index != axis)
    turn[[first, second], [first, second]] = half
    turn[first, second], turn[second, first] = -half, half
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ change
    grid = model_grid(Geometry(matrix, (5, 6, 7)), 1.0)
    assert sorted(grid.size_ijk) == [5, 6, 7]
    assert (np.diag(grid.directions_ras) > 0.7).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_wrong_grid_spacings_are_refused(bad: float) -> None:
    with pytest.raises(GeometryError, match="finite grid spacing > 0 mm, got"):
        model_grid(Geometry(np.eye(4), (2, 2, 2)), bad)


def test_a_huge_spacing_gives_one_voxel_at_the_centre() -> None:
    geometry = Geometry(np.diag([-1.0, -1, 2, 1]), (3, 4, 5))
    grid = model_grid(geometry, 500.0)
    assert grid.shape_kji == (1, 1, 1)
    assert grid.origin_ras == pytest.approx((-2, -1.5, 2))


@given(geometries(), st.floats(0.4, 8.0), points)
def test_the_axis_map_leads_from_grid_to_volume(
    geometry: Geometry, spacing_mm: float, point: tuple[float, ...]
) -> None:
    grid = model_grid(geometry, spacing_mm)
    axes = AxisMap.between(geometry, grid)
    assert sorted(axes.volume_axes) == [0, 1, 2]
    position = sitk_image(grid).TransformContinuousIndexToPhysicalPoint(point)
    expected = sitk_image(geometry).TransformPhysicalPointToContinuousIndex(position)
    for g, (axis, scale, offset) in enumerate(
        zip(axes.volume_axes, axes.scales, axes.offsets, strict=True)
    ):
        assert scale * point[g] + offset == pytest.approx(expected[axis], abs=1e-6)


def test_grids_that_are_turned_against_each_other_have_no_axis_map() -> None:
    matrix = np.eye(4)
    angle = np.radians(1.0)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    with pytest.raises(GeometryError, match=r"parallel axes, got 1\.000 degrees between them"):
        AxisMap.between(Geometry(matrix, (2, 2, 2)), Geometry(np.eye(4), (2, 2, 2)))
