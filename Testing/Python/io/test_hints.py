"""Files that are refused say what to do."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

HU = np.zeros((4, 5, 6), np.int16)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nrrd", "ct.mha"])
def test_a_slice_of_two_axes_says_to_give_them_all(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(HU[0]), str(tmp_path / name))
    with pytest.raises(VolumeError, match=r"a 3D image, got .*; save (all slices|the CT again)"):
        read_scan(tmp_path / name)


def test_slices_along_the_time_axis_say_so(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(HU.T[:, :, None], np.eye(4)), tmp_path / "ct.nii")
    with pytest.raises(
        VolumeError, match=r"slices along the third axis, got .*; save the CT again"
    ):
        read_scan(tmp_path / "ct.nii")


@pytest.mark.parametrize("name", ["ct.nii", "ct.nrrd", "ct.mha"])
def test_several_numbers_a_voxel_say_what_to_do(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), str(tmp_path / name))
    with pytest.raises(VolumeError, match=r"one value per voxel, got 2 .*; save the CT with one"):
        read_scan(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "header", "text"),
    [
        ("ct.raw", "ct.mhd", r"without their header; give ct\.mhd"),
        ("ct.raw", "ct.nhdr", r"without their header; give ct\.nhdr"),
        ("ct.raw", "other.mhd", "without their header; copy both files"),
        ("ct.img", "other.hdr", "without their header; copy both files"),
        ("ct.mgz", "other.hdr", r"of an unknown kind; save the CT as \.nii\.gz"),
        ("ct.npy", "other.hdr", r"of an unknown kind; save the CT as \.nii\.gz"),
        ("ct.hdr", "ct.mhd", r"of an unknown kind; save the CT as \.nii\.gz"),
        ("ct.nhdr", "other.hdr", r"of an unknown kind; save the CT as \.nii\.gz"),
    ],
)
def test_voxels_alone_and_unknown_kinds_say_what_to_give(
    tmp_path: Path, name: str, header: str, text: str
) -> None:
    (tmp_path / name).write_bytes(b"\x93voxels" + HU.tobytes())
    (tmp_path / header).write_text("a header")
    with pytest.raises(VolumeError, match=text):
        read_scan(tmp_path / name)


@pytest.mark.parametrize("given", ["a.raw", "C:\\data\\A.raw", "sub\\A.RAW"])
def test_voxels_under_a_name_that_is_nearly_right_are_named(tmp_path: Path, given: str) -> None:
    (tmp_path / "A.RAW").write_bytes(HU.tobytes())
    lines = ["ObjectType = Image", "NDims = 3", "DimSize = 6 5 4", "ElementType = MET_SHORT"]
    (tmp_path / "ct.mhd").write_text("\n".join([*lines, f"ElementDataFile = {given}", ""]))
    if (tmp_path / given).is_file():
        pytest.skip("this file system does not tell capitals apart")
    with pytest.raises(VolumeError, match=r"found A\.RAW; correct the name in the header"):
        read_scan(tmp_path / "ct.mhd")


def test_a_folder_of_pictures_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(VolumeError, match=r"it holds 1\.png: pictures, without HU and distances"):
        read_scan(tmp_path)
