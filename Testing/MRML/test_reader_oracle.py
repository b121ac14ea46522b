"""Headers that programs read in different ways: as Slicer reads them, or refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from dicom_cases import stack, write_series
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import Scan, read_scan

ARRAY = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)
TURNED = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


def _of_slicer(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Voxels and matrix of a volume node that Slicer fills from a file."""
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    image = node.GetImageData()
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return voxels, np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def _assert_as_slicer(scan: Scan, path: Path) -> None:
    voxels, matrix = _of_slicer(path)
    # Slicer may store the same scene in another axis order; compare every voxel by its place.
    k, j, i = np.indices(scan.volume.array_kji.shape)
    ras = scan.volume.geometry.ras_from_ijk(np.stack([i, j, k], axis=-1))
    at = (ras - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    assert np.abs((at - np.rint(at)) @ matrix[:3, :3].T).max() < 0.01
    i, j, k = np.moveaxis(np.rint(at).astype(int), -1, 0)
    assert np.abs(voxels[k, j, i] - scan.volume.array_kji).max() <= 0.5


def _nrrd(path: Path, *lines: str) -> Path:
    head = ["NRRD0005", "type: short", "endian: little", "encoding: raw", *lines, "", ""]
    path.write_bytes("\n".join(head).encode() + ARRAY.tobytes())
    return path


def _ways(extra: str = "") -> str:
    columns = (TURNED * (2, 3, 5)).T
    return " ".join("(" + ",".join(f"{value:.12f}" for value in c) + extra + ")" for c in columns)


@pytest.mark.parametrize(
    "space",
    [
        "right-anterior-superior", "RAS", "left-anterior-superior", "LAS", "scanner-xyz",
        "left-posterior-superior", "LPS", "3D-right-handed",
    ],
)  # fmt: skip
def test_a_nrrd_space_is_that_of_slicer(tmp_path: Path, space: str) -> None:
    path = _nrrd(tmp_path / "ct.nrrd", "dimension: 3", "sizes: 6 5 4", f"space: {space}",
                 f"space directions: {_ways()}", "space origin: (10,20,30)")  # fmt: skip
    scan = read_scan(path)
    _assert_as_slicer(scan, path)
    assert bool(scan.notes) == (space in ("scanner-xyz", "3D-right-handed"))


@pytest.mark.parametrize(
    ("space", "extra"),
    [
        ("right-anterior-superior-time", ",0"),
        ("left-posterior-superior-time", ",0"),
        ("LPST", ",0"),
        ("scanner-xyz-time", ",0"), ("RAST", ",0"), ("LAST", ",0"),
        ("3D-left-handed-time", ",0"), ("3D-left-handed", ""), ("LPI", ""),
    ],
)  # fmt: skip
def test_a_nrrd_space_whose_directions_slicer_drops_is_refused(
    tmp_path: Path, space: str, extra: str
) -> None:
    time = " (0,0,0,1)" if extra else ""
    sizes = "6 5 4 1" if extra else "6 5 4"
    path = _nrrd(tmp_path / "ct.nrrd", f"dimension: {len(sizes.split())}", f"sizes: {sizes}",
                 f"space: {space}", f"space directions: {_ways(extra)}{time}",
                 f"space origin: (10,20,30{extra})")  # fmt: skip
    with pytest.raises(VolumeError, match=f"'{space}', .* save the CT again as left-posterior"):
        read_scan(path)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("spacings: 2 3 5",),
        ("spacings: 2 3 5", "axis mins: 10 20 30"),
        ("space dimension: 3", f"space directions: {_ways()}", "space origin: (10,20,30)"),
        ("space: LPS", f"space directions: {_ways()}"),
    ],
)
def test_a_nrrd_that_says_little_is_read_as_by_slicer(tmp_path: Path, lines: tuple) -> None:
    path = _nrrd(tmp_path / "ct.nrrd", "dimension: 3", "sizes: 6 5 4", *lines)
    scan = read_scan(path)
    _assert_as_slicer(scan, path)
    assert scan.notes


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("kinds: domain domain time", "an axis of the kind time"),
        ("old max: 3000", "scaled from other numbers"),
        ("kinds: domain space domain", ""),
    ],
)
def test_what_slicer_passes_over_in_a_nrrd_is_told(tmp_path: Path, line: str, note: str) -> None:
    path = _nrrd(tmp_path / "ct.nrrd", "dimension: 3", "sizes: 6 5 4", "space: LPS", line,
                 f"space directions: {_ways()}", "space origin: (10,20,30)")  # fmt: skip
    scan = read_scan(path)
    _assert_as_slicer(scan, path)
    assert [note in found for found in scan.notes] == [True] * bool(note)


@pytest.mark.parametrize("cls", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_nifti_of_labels_is_told(tmp_path: Path, cls: type) -> None:
    image = cls(ARRAY.transpose(), np.diag([2, 3, 5, 1.0]))
    image.header.set_intent("label")
    nib.save(image, tmp_path / "ct.nii")
    (note,) = read_scan(tmp_path / "ct.nii").notes
    assert "intent code 1002" in note


@pytest.mark.parametrize("qform_code", [0, 1, 2, 4])
@pytest.mark.parametrize("sform_code", [0, 1, 2, 4])
@pytest.mark.parametrize("is_left_handed", [False, True])
def test_the_form_of_a_nifti_is_that_of_slicer(
    tmp_path: Path, qform_code: int, sform_code: int, is_left_handed: bool
) -> None:
    qform, sform = np.eye(4), np.eye(4)
    spacing = np.array([-2.0 if is_left_handed else 2.0, 3, 5])
    qform[:3, :3], qform[:3, 3] = TURNED * spacing, (1, 2, 3)
    sform[:3, :3], sform[:3, 3] = TURNED[[1, 2, 0]] * spacing, (11, 12, 13)
    image = nib.Nifti1Image(ARRAY.transpose(), None)
    image.header.set_qform(qform, qform_code)
    image.header.set_sform(sform, sform_code)
    path = tmp_path / "ct.nii"
    nib.save(image, path)
    scan = read_scan(path)
    _assert_as_slicer(scan, path)
    if qform_code and sform_code:
        taken = "sform" if sform_code == 1 else "qform"
        assert f"mm apart; took the {taken}, as Slicer does" in scan.notes[0]


@pytest.mark.parametrize("degrees", [179.99, 179.95, 180, 180.02])
def test_half_a_turn_in_the_qform_is_that_of_slicer(tmp_path: Path, degrees: float) -> None:
    # Single precision leaves noise in a quaternion of half a turn.
    turn, matrix = np.radians(degrees), np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, :3] = TURNED @ matrix[:3, :3] @ TURNED.T * (90, 60, 50)
    image = nib.Nifti1Image(ARRAY.transpose(), None)
    image.header.set_qform(matrix, 1)
    nib.save(image, tmp_path / "ct.nii")
    _assert_as_slicer(read_scan(tmp_path / "ct.nii"), tmp_path / "ct.nii")


@pytest.mark.parametrize("unit", ["meter", "micron", "mm", "unknown"])
def test_the_unit_of_a_nifti_is_that_of_slicer(tmp_path: Path, unit: str) -> None:
    factor = {"meter": 0.001, "micron": 1000}.get(unit, 1)
    image = nib.Nifti1Image(ARRAY.transpose(), None)
    matrix = np.diag([2.0, 3, 5, 1])
    matrix[:3, 3] = (10, 20, 30)
    matrix[:3] *= factor
    image.header.set_qform(matrix, 1)
    image.header.set_sform(matrix, 1)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "ct.nii")
    scan = read_scan(tmp_path / "ct.nii")
    assert scan.volume.geometry.spacing_mm == pytest.approx((2, 3, 5))
    _assert_as_slicer(scan, tmp_path / "ct.nii")


@pytest.mark.parametrize("scale", [(2.5, -3), (2, -1024), (1, -1024), (np.nan, np.nan), (0, 0)])
def test_slope_and_intercept_of_a_nifti_are_those_of_slicer(tmp_path: Path, scale: tuple) -> None:
    path = tmp_path / "ct.nii"
    nib.save(nib.Nifti1Image(ARRAY.transpose(), np.diag([2.0, 3, 5, 1])), path)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array(scale, "<f4").tobytes()
    path.write_bytes(content)
    _assert_as_slicer(read_scan(path), path)


@pytest.mark.parametrize("digits", [3, 6])
def test_rounded_directions_of_dicom_are_made_square_as_by_slicer(
    tmp_path: Path, digits: int
) -> None:
    row, column, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].T
    ways = [round(float(value), digits) for value in (*row, *column)]
    write_series(tmp_path / "ct", ARRAY[:1], stack(1), ImageOrientationPatient=ways,
                 SliceThickness=1)  # fmt: skip
    (file,) = (tmp_path / "ct").iterdir()
    _assert_as_slicer(read_scan(file), file)


@pytest.mark.parametrize("name", ["ct.nii", "ct.mha"])
def test_one_frame_of_four_axes_lies_where_slicer_has_it(tmp_path: Path, name: str) -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURNED * (2, 3, 5), (10, 20, 30)
    image = nib.Nifti1Image(ARRAY.transpose()[..., None], matrix)
    image.header.set_qform(matrix, 1)
    nib.save(image, tmp_path / "ct.nii")
    if name == "ct.mha":
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "ct.nii")), str(tmp_path / name))
    _assert_as_slicer(read_scan(tmp_path / name), tmp_path / name)


@pytest.mark.parametrize(("unit", "is_told"), [("mm", False), ("cm", True)])
def test_lengths_of_a_nrrd_are_mm_as_in_slicer(tmp_path: Path, unit: str, is_told: bool) -> None:
    path = _nrrd(tmp_path / "ct.nrrd", "dimension: 3", "sizes: 6 5 4", "space: RAS",
                 f'space units: "{unit}" "{unit}" "{unit}"', f"space directions: {_ways()}",
                 "space origin: (10,20,30)")  # fmt: skip
    scan = read_scan(path)
    _assert_as_slicer(scan, path)
    assert ("lengths in cm" in " ".join(scan.notes)) == is_told
