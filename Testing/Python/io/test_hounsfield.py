"""What is no HU is named: each kind of file that gave organs of thousands of cm3 in silence."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from CTSAM3DLib import hu_warning
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.hounsfield import check_hu
from CTSAM3DLib.phantom import torso_phantom


@pytest.fixture(scope="module")
def torso() -> tuple[Volume, dict[str, NDArray[np.bool_]]]:
    """Return a torso CT of large voxels and its masks."""
    return torso_phantom(spacing_mm=4.0)


@pytest.fixture(scope="module")
def ct(torso) -> NDArray[np.float32]:
    """Return the voxels of a torso CT, HU."""
    return torso[0].array_kji.astype(np.float32)


@pytest.fixture(scope="module")
def labels(torso) -> NDArray[np.uint8]:
    """Return a label map of the same torso."""
    masks = torso[1].values()
    return np.maximum.reduce([mask * np.uint8(n) for n, mask in enumerate(masks, 1)])


def warning(array: NDArray[np.generic]) -> str:
    return hu_warning(Volume.from_array(array, (1, 1, 1))) or ""


def test_a_ct_raises_no_warning(ct: NDArray[np.float32]) -> None:
    assert warning(ct) == ""
    assert warning(ct.astype(np.int16)) == ""
    assert warning(np.clip(ct, -160, 240)) == ""
    padded = ct.copy()
    padded[:, :30], padded[:, -30:] = -3024, -3024
    assert warning(padded) == ""


def test_scaled_hu_are_named(ct: NDArray[np.float32]) -> None:
    scaled = (ct - ct.min()) / np.ptp(ct)
    for array in (scaled, 2 * scaled - 1, (ct - ct.mean()) / ct.std(), ct / 1000):
        assert warning(array).endswith("HU scaled to a small range?")


def test_an_offset_is_named_also_with_padding(ct: NDArray[np.float32]) -> None:
    stored = (ct + 1024).astype(np.int16)
    assert warning(stored).endswith("HU with an offset, such as +1024, or no CT?")
    padded = stored.copy()
    padded[:, :9] = -2000
    text = r"hardly a voxel between -1100 and -20: .* got -2000 to \d+; HU with an offset"
    assert re.match(text, warning(padded))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_numbers_in_the_range_of_hu_that_are_none_are_named(
    ct: NDArray[np.float32], dtype: type
) -> None:
    for array in (-ct, ct.max() + ct.min() - ct, -np.clip(ct, -160, 240)):
        assert "black and white were swapped: expected HU" in warning(array.astype(dtype))
    assert "as where HU were divided by 10" in warning((ct / 10).astype(dtype))
    padded = (ct + 1024).astype(dtype)
    padded[:, :9] = -1000
    assert "no voxel between -1000 and" in warning(padded)
    for low, high in ((-160, 240), (-1000, 400), (-100, 200), (-200, 300)):
        assert warning(np.clip(ct, low, high).astype(dtype)) == ""


def test_voxels_of_eight_bits_are_named(ct: NDArray[np.float32]) -> None:
    assert "voxels of 8 bits" in warning(np.clip(ct, -128, 127).astype(np.int8))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_label_map_is_named(labels: NDArray[np.uint8], dtype: type) -> None:
    text = f"; a label map of {labels.max() + 1} values?"
    assert warning(labels.astype(dtype)).endswith(text)
    assert warning((labels > 0).astype(dtype)).endswith("; a label map of 2 values?")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((5, 5), "all voxels alike: expected HU, got 5 to 5"),
        ((-9000, 100), "values out of range: expected HU, about -1024 to 3071"),
        ((-30, -21), "hardly any contrast: expected HU, got -30 to -21"),
        ((0, 700), "no voxel below -20: expected HU with fat or air, got 0 to 700"),
    ],
)
def test_other_numbers_are_named(values: tuple[float, float], said: str) -> None:
    assert warning(np.linspace(*values, 4 * 5 * 6).reshape(4, 5, 6)).startswith(said)


def test_an_image_of_grey_values_is_no_label_map(ct: NDArray[np.float32]) -> None:
    grey = (np.clip((ct + 160) / 400, 0, 1) * 255).astype(np.uint8)
    assert warning(grey).endswith("; an image windowed to 8 bits?")


def test_values_out_of_range_by_thousands_are_an_error(ct: NDArray[np.float32]) -> None:
    wrapped = ct.astype(np.int16).view(np.uint16)  # -1000 HU as 64536
    with pytest.raises(VolumeError, match=r"values out of range: .* export the CT again"):
        check_hu(Volume.from_array(wrapped, (1, 1, 1)))
    padded = ct.copy()
    padded[:, :9] = -32768
    check_hu(Volume.from_array(padded, (1, 1, 1)))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ((0, 1), "no voxel below"),
        ((0, 4095), "no voxel below"),
        ((-1024, -1024), "all voxels alike"),
        ((-100, -95), "hardly any contrast"),
        ((-20000, 3000), "out of range"),
        ((-1000, 60000), "out of range"),
    ],
)
def test_values_that_are_not_hu_are_named(values, problem):
    array = np.linspace(*values, 4 * 5 * 6).reshape(4, 5, 6)
    assert problem in warning(array)


@pytest.mark.parametrize("values", [(-1024, 3071), (-3024, 1500), (-150, 250)])
def test_ct_and_crops_of_it_raise_no_warning(values):
    array = np.linspace(*values, 4 * 5 * 6).reshape(4, 5, 6)
    assert warning(array) == ""
