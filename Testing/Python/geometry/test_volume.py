from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.errors import GeometryError, VolumeError
from CTSAM3DLib.geometry.grid import BoundingBox, Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume


def _geometry(shape: tuple[int, int, int]) -> Geometry:
    return Geometry(np.eye(4), shape)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64, ">i2"])
def test_voxels_are_neither_copied_nor_converted(dtype: object) -> None:
    array = np.zeros((2, 3, 4), dtype=dtype)
    volume = Volume(array, _geometry(array.shape), "head")
    assert np.shares_memory(volume.array_kji, array)
    assert volume.array_kji.dtype == np.dtype(dtype)
    assert volume.name == "head"


def test_voxels_cannot_be_changed_through_the_volume_and_stay_writeable_for_their_owner() -> None:
    array = np.zeros((2, 3, 4), dtype=np.int16)
    volume = Volume(array, _geometry(array.shape))
    with pytest.raises(ValueError, match="read-only"):
        volume.array_kji[0, 0, 0] = 1
    array[0, 0, 0] = 7
    assert volume.array_kji[0, 0, 0] == 7
    with pytest.raises(AttributeError, match="cannot assign"):
        volume.name = "other"  # type: ignore[misc]


def test_strided_views_are_taken_as_they_are() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    view = array.transpose()[::-1]
    volume = Volume(view, _geometry(view.shape))
    assert np.array_equal(volume.array_kji, view)
    assert np.shares_memory(volume.array_kji, array)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        ([[[1, 2]]], "voxels as a numpy array, got list"),
        (np.zeros((2, 2, 2), complex), "integer or real voxels, got dtype complex128"),
        (np.zeros((2, 2, 2), bool), r"got dtype bool \(a mask, not HU\)"),
        (np.full((2, 2, 2), "a"), "integer or real voxels, got dtype <U1"),
        (np.zeros((2, 2), np.int16), r"a 3D scalar volume, got shape \(2, 2\)"),
        (np.zeros((2, 2, 2, 3), np.uint8), r"a 3D scalar volume, got shape \(2, 2, 2, 3\)"),
        (np.zeros((2, 0, 2), np.int16), r"a volume with voxels, got shape \(2, 0, 2\)"),
        (np.ma.masked_less(np.eye(2, 2)[None], 1), r"got 2 that are masked; .*filled\(-1024\)"),
    ],
)
def test_what_is_not_a_ct_is_refused(array: object, text: str) -> None:
    with pytest.raises(VolumeError, match=text):
        Volume(array, _geometry((2, 2, 2)))  # type: ignore[arg-type]


def test_voxels_must_fit_their_geometry() -> None:
    text = r"voxels of shape \(2, 3, 4\), got \(4, 3, 2\)"
    with pytest.raises(VolumeError, match=text):
        Volume(np.zeros((4, 3, 2), np.int16), _geometry((2, 3, 4)))
    with pytest.raises(VolumeError, match="a Geometry, got ndarray"):
        Volume(np.zeros((4, 3, 2), np.int16), np.eye(4))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
def test_voxels_that_are_no_number_are_refused(dtype: type, bad: list[float]) -> None:
    array = np.zeros((4, 5, 6), dtype=dtype)
    array[2, 3, 1 : 1 + len(bad)] = bad
    text = rf"finite voxels, got {len(bad)} NaN or infinite, the first at IJK \(1, 3, 2\); give"
    with pytest.raises(VolumeError, match=text):
        Volume(array, _geometry(array.shape))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_finite_voxels_are_accepted_although_their_sum_overflows(dtype: type) -> None:
    array = np.full((2, 3, 4), np.finfo(dtype).max, dtype=dtype)
    assert Volume(array, _geometry(array.shape)).array_kji.max() == np.finfo(dtype).max


def test_from_array_takes_spacing_in_the_order_of_points() -> None:
    volume = Volume.from_array(np.zeros((2, 3, 4), np.int16), (0.5, 1.0, 3.0), (10, 20, 30), "x")
    assert volume.geometry.shape_kji == (2, 3, 4)
    assert volume.geometry.ras_from_ijk((1, 1, 1)).tolist() == [10.5, 21.0, 33.0]
    assert volume.name == "x"


@pytest.mark.parametrize(
    ("spacing", "origin", "text"),
    [
        ((1, 0, 1), (0, 0, 0), r"spacing > 0 mm along every axis, got \[1.0, 0.0, 1.0\]"),
        ((1, -1, 1), (0, 0, 0), "spacing > 0 mm along every axis"),
        ((1, 1), (0, 0, 0), r"a spacing of shape \(3,\), got shape \(2,\)"),
        ((1, 1, 1), (0, np.nan, 0), "an origin of finite numbers"),
    ],
)
def test_from_array_refuses_wrong_places(spacing: tuple, origin: tuple, text: str) -> None:
    with pytest.raises(GeometryError, match=text):
        Volume.from_array(np.zeros((2, 2, 2), np.int16), spacing, origin)


def test_an_update_is_a_mask_and_its_place() -> None:
    mask = np.ones((1, 2, 3), dtype=bool)
    update = MaskUpdate(mask, BoundingBox((5, 6, 7), (8, 8, 8)))
    with pytest.raises(ValueError, match="read-only"):
        update.mask_kji[0, 0, 0] = False
    assert mask.flags.writeable
    nothing = MaskUpdate(np.zeros((0, 0, 0), dtype=bool), BoundingBox.empty())
    assert nothing.bbox.is_empty


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.ones((1, 2, 3), np.uint8), "a bool mask, got uint8"),
        ([[[True]]], "a bool mask, got list"),
        (np.ones((3, 2, 1), bool), r"a mask of shape \(1, 2, 3\), got \(3, 2, 1\)"),
    ],
)
def test_wrong_updates_are_refused(mask: object, text: str) -> None:
    with pytest.raises(VolumeError, match=text):
        MaskUpdate(mask, BoundingBox((5, 6, 7), (8, 8, 8)))  # type: ignore[arg-type]
