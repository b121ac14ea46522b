"""World positions against SimpleITK and nibabel; the model grid against three other packages."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sitk_case import FLIP, corners_ijk, sitk_image
from strategies import boxes_near, geometries

from CTSAM3DLib.errors import ClickOutsideVolumeError, GeometryError
from CTSAM3DLib.geometry.grid import (
    BoundingBox,
    Geometry,
    lps_from_ras,
    ras_from_lps,
)

points = st.tuples(*[st.floats(-30, 30)] * 3)


@given(geometries(), points)
def test_points_agree_with_simpleitk(geometry: Geometry, point: tuple[float, ...]) -> None:
    image = sitk_image(geometry)
    expected = np.array(image.TransformContinuousIndexToPhysicalPoint(point)) * FLIP
    assert geometry.ras_from_ijk(point) == pytest.approx(expected, abs=1e-8)
    back = image.TransformPhysicalPointToContinuousIndex((expected * FLIP).tolist())
    assert geometry.ijk_from_ras(expected) == pytest.approx(np.array(back), abs=1e-7)


@given(geometries())
def test_lps_is_what_simpleitk_says_in_both_directions(geometry: Geometry) -> None:
    image = sitk_image(geometry)
    origin, spacing, direction = geometry.lps()
    assert origin == pytest.approx(image.GetOrigin(), abs=1e-9)
    assert spacing == pytest.approx(image.GetSpacing(), rel=1e-12)
    assert direction == pytest.approx(image.GetDirection(), abs=1e-12)
    again = Geometry.from_lps(
        image.GetOrigin(), image.GetSpacing(), image.GetDirection(), image.GetSize()[::-1]
    )
    assert again.allclose(geometry, 1e-9)
    assert again.size_ijk == image.GetSize()


@given(geometries(), st.lists(points, min_size=1, max_size=5))
def test_points_agree_with_nibabel(geometry: Geometry, ijk: list[tuple[float, ...]]) -> None:
    image = nib.Nifti1Image(np.zeros(geometry.size_ijk, np.uint8), np.array(geometry.ijk_to_ras))
    expected = nib.affines.apply_affine(image.affine, np.array(ijk))
    assert geometry.ras_from_ijk(ijk) == pytest.approx(expected, abs=1e-9)
    assert geometry.spacing_mm == pytest.approx(nib.affines.voxel_sizes(image.affine))
    inverse = nib.affines.apply_affine(np.linalg.inv(image.affine), expected)
    assert geometry.ijk_from_ras(expected) == pytest.approx(inverse, abs=1e-8)
    assert geometry.ijk_from_ras(expected) == pytest.approx(np.array(ijk), abs=1e-8)


def test_an_axial_ct_by_hand() -> None:
    # First voxel at the patient's right, front, feet (DICOM order: i to the left, j to the back).
    matrix = [[-0.8, 0, 0, 200], [0, -0.8, 0, 180], [0, 0, 2.5, -400], [0, 0, 0, 1]]
    geometry = Geometry(np.array(matrix), (200, 512, 512))
    assert geometry.origin_ras == (200.0, 180.0, -400.0)
    assert geometry.ras_from_ijk((110, 57.5, 70)) == pytest.approx([112, 134, -225])
    assert geometry.voxel_from_ras((112, 134.1, -225)) == (110, 57, 70)
    assert geometry.lps()[0] == (-200.0, -180.0, -400.0)
    assert geometry.lps()[2] == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert not geometry.is_left_handed
    assert geometry.extent_ras == pytest.approx(
        np.array([[200.4 - 409.6, 180.4 - 409.6, -401.25], [200.4, 180.4, 98.75]])
    )


@given(geometries(), st.tuples(*[st.floats(-0.3, 1.3)] * 3))
def test_the_voxel_of_a_position_is_that_of_simpleitk(
    geometry: Geometry, fraction: tuple[float, ...]
) -> None:
    ijk = np.array(fraction) * geometry.size_ijk - 0.5
    distance_to_border = np.abs((ijk + 0.5) - np.round(ijk + 0.5)).min()
    assume(distance_to_border > 1e-6)  # rounding decides there
    image = sitk_image(geometry)
    position_ras = np.array(image.TransformContinuousIndexToPhysicalPoint(ijk.tolist())) * FLIP
    expected = image.TransformPhysicalPointToIndex((position_ras * FLIP).tolist())
    if all(0 <= at < size for at, size in zip(expected, image.GetSize(), strict=True)):
        assert geometry.voxel_from_ras(position_ras) == expected
    else:
        with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
            geometry.voxel_from_ras(position_ras)


def test_voxel_borders_are_half_open() -> None:
    geometry = Geometry(np.eye(4), (4, 4, 4))
    # Python's round would give 0, 2, 2, 4 here.
    for position, voxel in ((-0.5, 0), (0.5, 1), (1.5, 2), (2.5, 3), (3.4999, 3)):
        assert geometry.voxel_from_ras((position, 0, 0)) == (voxel, 0, 0)
        assert geometry.voxel_from_ras((0, 0, position)) == (0, 0, voxel)


def test_a_click_outside_is_told_where_it_is_and_where_the_volume_is() -> None:
    geometry = Geometry(np.diag([-1.0, -1, 2, 1]), (10, 5, 5))
    text = (
        r"RAS \[-4.5, -4.5, -1.0\] to \[0.5, 0.5, 19.0\] mm; got RAS "
        r"\[-1.0, -2.0, 19.0\] mm at IJK \[1.0, 2.0, 9.5\], size \(5, 5, 10\)"
    )
    with pytest.raises(ClickOutsideVolumeError, match=text):
        geometry.voxel_from_ras((-1, -2, 19))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_click_that_is_nowhere_is_refused(bad: float) -> None:
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        Geometry(np.eye(4), (4, 4, 4)).voxel_from_ras((0, bad, 0))


@given(geometries(), st.data())
def test_a_crop_keeps_every_voxel_where_it_is(geometry: Geometry, data: st.DataObject) -> None:
    box = data.draw(boxes_near(geometry))
    crop = geometry.cropped(box)
    size = [stop - start for start, stop in zip(box.start_ijk, box.stop_ijk, strict=True)]
    assert crop.size_ijk == tuple(size)
    image = sitk_image(geometry)
    for corner in corners_ijk(crop):
        index = (corner + box.start_ijk).tolist()
        expected = np.array(image.TransformContinuousIndexToPhysicalPoint(index)) * FLIP
        assert crop.ras_from_ijk(corner) == pytest.approx(expected, abs=1e-8)


@given(geometries())
def test_handedness_is_the_sign_of_the_triple_product(geometry: Geometry) -> None:
    i, j, k = geometry.directions_ras.T
    assert geometry.is_left_handed == bool(np.cross(i, j) @ k < 0)
    assert geometry.directions_ras.T @ geometry.directions_ras == pytest.approx(np.eye(3), abs=1e-9)


def test_points_keep_their_shape() -> None:
    geometry = Geometry(np.diag([1.0, 2, 3, 1]), (4, 4, 4))
    assert geometry.ras_from_ijk(np.ones((2, 5, 3))).shape == (2, 5, 3)
    assert geometry.ijk_from_ras(np.ones((0, 3))).shape == (0, 3)
    assert lps_from_ras([[1, 2, 3]]).tolist() == [[-1, -2, 3]]
    assert ras_from_lps(np.float32([1, 2, 3])).dtype == np.float64
    with pytest.raises(GeometryError, match=r"points of shape \(..., 3\), got \(2,\)"):
        geometry.ras_from_ijk((1, 2))


def test_a_geometry_cannot_be_changed() -> None:
    matrix = np.eye(4)
    geometry = Geometry(matrix, (4, 4, 4))
    matrix[0, 3] = 99
    assert geometry.origin_ras == (0.0, 0.0, 0.0)
    for array in (geometry.ijk_to_ras, geometry.ras_to_ijk):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 2
    with pytest.raises(AttributeError, match="cannot assign"):
        geometry.shape_kji = (1, 1, 1)  # type: ignore[misc]


def test_equality_is_exact_and_closeness_is_in_mm() -> None:
    matrix = np.diag([-1.0, -1, 2, 1])
    one, same = (
        Geometry(matrix, (3, 4, 5)),
        Geometry(np.where(matrix == 0, -0.0, matrix), (3, 4, 5)),
    )
    assert one == same
    assert hash(one) == hash(same)
    matrix[0, 3] = 1e-5
    moved = Geometry(matrix, (3, 4, 5))
    assert one != moved
    assert one.allclose(moved)
    assert not one.allclose(moved, 1e-6)
    assert not one.allclose(Geometry(np.diag([-1.0, -1, 2, 1]), (3, 4, 6)))
    assert one != "a geometry"
    # A spacing that is wrong by 0.01 % is only seen at the far corner.
    stretched = np.diag([-1.0, -1, 2 * 1.0001, 1])
    assert one.allclose(Geometry(stretched, (3, 4, 5)), 1e-3)
    assert not Geometry(stretched, (300, 4, 5)).allclose(
        Geometry(np.diag([-1.0, -1, 2, 1]), (300, 4, 5)), 1e-3
    )


def _with(row: int, column: int, value: float) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "shape", "text"),
    [
        (np.eye(3), (1, 1, 1), r"matrix of shape \(4, 4\), got shape \(3, 3\)"),
        ("matrix", (1, 1, 1), "a matrix of numbers, got 'matrix'"),
        (_with(0, 3, np.nan), (1, 1, 1), "a matrix of finite numbers, got"),
        (_with(3, 0, 1), (1, 1, 1), r"last row \(0, 0, 0, 1\), got \[1.0, 0.0, 0.0, 1.0\]"),
        (_with(1, 1, 0), (1, 1, 1), r"spacing > 0 mm along every axis, got \[1.0, 0.0, 1.0\]"),
        (_with(0, 2, 0.2), (1, 1, 1), "orthogonal axes, got 78.690 degrees between i and k"),
        (_with(0, 2, -0.2), (1, 1, 1), "orthogonal axes, got 101.310 degrees between i and k"),
        (_with(0, 1, 0.002), (1, 1, 1), "orthogonal axes, got 89.885 degrees between i and j"),
        (np.eye(4), (1, 0, 1), r"at least one voxel along every axis, got \(1, 0, 1\)"),
        (np.eye(4), (1, 1), "three integers as the shape of a volume, got 2"),
        (np.eye(4), (1, 1, 2.5), "three integers as the shape of a volume, got"),
    ],
)
def test_wrong_geometries_are_refused(matrix: object, shape: tuple, text: str) -> None:
    with pytest.raises(GeometryError, match=text):
        Geometry(matrix, shape)  # type: ignore[arg-type]


def test_a_shear_within_rounding_is_kept() -> None:
    matrix = _with(0, 1, 0.0005)
    assert np.array_equal(Geometry(matrix, (2, 2, 2)).ijk_to_ras, matrix)


@pytest.mark.parametrize(
    ("origin", "spacing", "direction", "text"),
    [
        ((0, 0), (1, 1, 1), np.eye(3), r"an origin of shape \(3,\)"),
        ((0, 0, 0), (1, -1, 1), np.eye(3), r"spacing > 0 mm along every axis, got \[1.0, -1.0"),
        ((0, 0, 0), (1, 1, np.inf), np.eye(3), "a spacing of finite numbers"),
        ((0, 0, 0), (1, 1, 1), np.eye(4), r"directions of shape \(3, 3\), got shape \(4, 4\)"),
    ],
)
def test_wrong_itk_geometries_are_refused(
    origin: tuple, spacing: tuple, direction: NDArray[np.float64], text: str
) -> None:
    with pytest.raises(GeometryError, match=text):
        Geometry.from_lps(origin, spacing, direction, (2, 2, 2))


def test_a_crop_without_voxels_has_no_geometry() -> None:
    with pytest.raises(GeometryError, match="expected a box with voxels"):
        Geometry(np.eye(4), (2, 2, 2)).cropped(BoundingBox.empty())
