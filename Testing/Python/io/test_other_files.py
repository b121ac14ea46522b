"""Files that are no image, or one under another name: what to do is told."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_cases import stack, write_slice

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

HU = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6)


def _image(folder: Path, kind: str) -> bytes:
    path = folder / f"whole.{kind}"
    if kind == "dcm":
        write_slice(path, HU[0], stack(1)[0])
    elif kind == "nii":
        nib.save(nib.Nifti1Image(HU.transpose(), np.eye(4)), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(HU), str(path))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("nrrd", name) for name in ("ct.mha", "ct.nii", "ct.nii.gz", "ct.dcm", "ct.txt", "ct")),
        *(("mha", name) for name in ("ct.MHA", "ct.nrrd", "ct.nii", "ct")),
        *(("nii", name) for name in ("ct.mha", "ct.nrrd", "ct.img", "ct.nii.1", "ct")),
        *(("dcm", name) for name in ("ct.nii", "ct.nii.gz")),
    ],
)
def test_an_image_under_another_name_says_its_own(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(_image(tmp_path, kind))
    with pytest.raises(VolumeError, match=rf"rename it so that its name ends with \.{kind}"):
        read_scan(path)
    assert read_scan(tmp_path / f"whole.{kind}").volume.array_kji.size


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("ct.nii.gz", b"", "got an empty file; copy it again"),
        ("ct.mha", b"", "got an empty file; copy it again"),
        ("ct.zip", b"PK\x03\x04...", "a packed file; unpack it"),
        ("ct.nii.gz", b"PK\x03\x04...", "a packed file; unpack it"),
        ("ct.nii.bz2", bz2.compress(b"x"), "a packed file; unpack it"),
        ("ct.nrrd.gz", gzip.compress(b"x"), "a packed file; unpack it"),
        ("ct.dcm.gz", gzip.compress(b"x"), "a packed file; unpack it"),
        ("ct.nii.gz", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("ct.nrrd", b"/annex/objects/MD5E-s1--a.nrrd\n", "git annex get"),
        ("ct.nii.gz", b"\n<!DOCTYPE html><html>404", "a web page .* download it again"),
    ],
)
def test_what_is_no_image_says_what_to_do(
    tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=text):
        read_scan(tmp_path / name)


def test_a_folder_without_dicom_names_the_images_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "ct.nii"
    folder.mkdir()
    for name in ("ct.nii", "ct.zip", "notes.txt"):
        (folder / name).write_bytes(b"x")
    with pytest.raises(VolumeError, match=r"holds ct\.nii: give .* holds ct\.zip: unpack that"):
        read_scan(folder)
    for number in range(6):
        (folder / f"{number}.dcm.gz").write_bytes(b"x")
    with pytest.raises(VolumeError, match=r"0\.dcm\.gz.*3\.dcm\.gz and 3 more: unpack that first"):
        read_scan(folder)
