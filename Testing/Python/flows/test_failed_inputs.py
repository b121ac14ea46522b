"""Scans that were once read wrongly in silence: read right, or refused in a sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from CTSAM3DLib.api import segment
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.hounsfield import check_hu
from CTSAM3DLib.io.image import read_scan, size_warning


def _itk(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Voxels and matrix to RAS of an image that ITK reads right."""
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), np.diag([-1.0, -1, 1, 1]) @ matrix


@pytest.mark.parametrize("name", ["las.nrrd", "ras.nrrd"])
def test_a_nrrd_of_any_space_lies_where_its_labels_lie(cases: Path, name: str) -> None:
    array, matrix = _itk(cases / "nrrd-las-turned-180" / "ras.nrrd")
    volume = read_scan(cases / "nrrd-las-turned-180" / name).volume
    assert np.array_equal(volume.array_kji, array)
    assert volume.geometry.ijk_to_ras == pytest.approx(matrix, abs=1e-3)


def test_frames_of_an_enhanced_ct_are_sorted(cases: Path) -> None:
    file = cases / "enhanced-ct-frames-interleaved" / "ct.dcm"
    dataset = pydicom.dcmread(file)
    volume = read_scan(file).volume
    assert volume.geometry.spacing_mm == pytest.approx((3, 3, 3), abs=1e-3)
    for frame, pixels in zip(
        dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True
    ):
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        at = volume.geometry.ijk_from_ras((-x, -y, z))
        assert at == pytest.approx((0, 0, round(at[2])), abs=1e-3)
        assert np.array_equal(volume.array_kji[round(at[2])], pixels.astype(int) - 1024)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("enhanced-ct-gantry-tilt/ct.dcm", r"a gantry tilt of 15\.00 degrees; resample"),
        ("nifti-gantry-tilt/ct.nii.gz", r"15\.000 degrees off square .* resample"),
        ("dicom-last-slice-broken/folder", r"IM0029\.dcm is cut off .* copy the file again"),
        ("header-numbers-impossible/nan.nrrd", "got 3, 3, nan; correct the header"),
        ("header-numbers-impossible/qnan.nii.gz", r"got nan, 101\.319, 94\.3018; correct"),
        ("header-numbers-impossible/pix0.nii.gz", "got 3, 3, 0; correct the header"),
        ("header-numbers-impossible/metres.nrrd", r"got 0\.003, 0\.003, 0\.003; correct"),
        ("hint-missing/nopos", r"Image Position \(Patient\) .* got none in IM0000\.dcm, IM0001"),
    ],
)
def test_what_cannot_be_placed_is_refused(cases: Path, path: str, text: str) -> None:
    with pytest.raises(VolumeError, match=f"cannot use .*{text}"):
        read_scan(cases / path)


def test_a_nifti_a_little_off_square_is_read_and_the_difference_told(cases: Path) -> None:
    file = cases / "nifti-slightly-oblique-refused" / "ct.nii.gz"
    scan = read_scan(file)
    assert "nearest rotation, up to 0.14 mm away" in scan.notes[0]
    assert np.array_equal(scan.volume.array_kji, np.asarray(nib.load(file).dataobj).transpose())
    corners = np.array(np.meshgrid(*zip((0, 0, 0), (121, 100, 29), strict=True))).reshape(3, -1).T
    expected = nib.affines.apply_affine(nib.load(file).affine, corners)
    apart = np.linalg.norm(scan.volume.geometry.ras_from_ijk(corners) - expected, axis=1)
    assert apart.max() == pytest.approx(0.14, abs=0.01)


def test_every_slice_has_its_own_rescale(cases: Path) -> None:
    folder = cases / "dicom-first-slice-sets-voxel-type" / "folder"
    volume = read_scan(folder).volume
    check_hu(volume)
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        x, y, z = dataset.ImagePositionPatient
        k = round(volume.geometry.ijk_from_ras((-x, -y, z))[2])
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.array_equal(volume.array_kji[k], hu)


def test_a_scout_is_not_taken_for_the_ct(cases: Path) -> None:
    scan = read_scan(cases / "enhanced-ct-beside-scout" / "folder")
    assert scan.volume.geometry.size_ijk == (122, 101, 30)
    assert "(30 slices)" in scan.notes[0]
    assert "(2 slices)" in scan.notes[0]


def test_a_single_slice_is_as_thick_as_it_says(cases: Path) -> None:
    scan = read_scan(cases / "one-slice-or-few" / "slice.dcm")
    assert scan.volume.geometry.spacing_mm == pytest.approx((3, 3, 3))
    assert (size_warning(scan.volume) or "").startswith("1 slice:")
    few = read_scan(cases / "one-slice-or-few" / "three.nrrd").volume
    assert (size_warning(few) or "").startswith("3 slices:")


def test_a_series_in_a_subfolder_is_found(cases: Path) -> None:
    scan = read_scan(cases / "hint-missing" / "folder")
    assert scan.volume.geometry.size_ijk == (122, 101, 6)
    assert scan.notes == (f"found the slices in {cases / 'hint-missing' / 'folder' / 'series'}",)


def test_a_file_name_that_is_not_utf8_is_read(cases: Path, tmp_path: Path) -> None:
    try:
        file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.nii.gz"))
        shutil.copy(cases / "file-name-not-utf8" / "ct.nii.gz", file)
    except OSError:
        pytest.skip("this file system has no such names")
    scan = read_scan(file)
    scan.volume.name.encode("utf-8")
    assert scan.volume.geometry.size_ijk == (122, 101, 30)
    meta = file.with_name(file.name.replace(".nii.gz", ".mha"))
    shutil.copy(file, tmp_path / "plain.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "plain.nii.gz")), str(tmp_path / "plain.mha"))
    (tmp_path / "plain.mha").rename(meta)
    assert np.array_equal(read_scan(meta).volume.array_kji, scan.volume.array_kji)


def test_the_same_scan_a_thousandth_of_a_mm_away_has_the_same_answer(cases: Path) -> None:
    folder = cases / "same-scan-two-answers"
    clicks = read_clicks(folder / "clicks.json")
    masks = []
    for name in ("ct.nii.gz", "moved.nii.gz"):
        volume = read_scan(folder / name).volume
        masks.append(segment(volume, clicks, device="cpu").mask("spleen"))
    assert masks[0].any()
    assert np.array_equal(*masks)
