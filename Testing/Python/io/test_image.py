"""Files of every kind: world positions against nibabel, pydicom and numbers written by hand."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_volume

OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


@pytest.fixture(autouse=True)
def _nothing_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Reading, and refusing to read, writes nothing to the terminal."""
    capfd.readouterr()
    yield
    assert capfd.readouterr() == ("", "")


def _write(array: NDArray[np.generic], path: Path, direction: NDArray[np.float64]) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin((-110.5, 20.25, 300.0))
    image.SetSpacing((0.75, 0.8, 2.5))
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(path), path.suffix in {".gz", ".nrrd"})
    return path


# --- image files ---------------------------------------------------------------------------------

FORMATS = ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.nhdr", "ct.mha", "ct.mhd"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "direction",
    [np.eye(3), np.diag([-1.0, -1, 1]), np.diag([1.0, 1, -1]), OBLIQUE, OBLIQUE[:, [2, 0, 1]]],
    ids=["lps", "ras", "left-handed", "oblique", "permuted"],
)
def test_every_format_keeps_voxels_and_places(
    tmp_path: Path, hu: NDArray[np.int16], name: str, direction: NDArray[np.float64]
) -> None:
    volume = read_volume(_write(hu, tmp_path / name, direction))
    assert np.array_equal(volume.array_kji, hu)
    assert volume.array_kji.dtype == np.int16
    assert volume.name == name
    # Index (1, 2, 3) by hand: origin + direction @ (index * spacing), LPS to RAS.
    lps = np.array([-110.5, 20.25, 300.0]) + direction @ (np.array([1, 2, 3]) * [0.75, 0.8, 2.5])
    expected = lps * (-1, -1, 1)
    assert volume.geometry.ras_from_ijk((1, 2, 3)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64, ">i2"])
def test_nifti_files_of_nibabel_agree_with_nibabel(
    tmp_path: Path, rng: np.random.Generator, name: str, dtype: object
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE @ np.diag([-0.7, 0.7, 1.5])
    affine[:3, 3] = (12.5, -340.0, 1020.25)
    data = rng.integers(0, 200, (6, 5, 4)).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if np.dtype(dtype).byteorder == ">" else "<")
    image = nib.Nifti1Image(data, affine, header)
    nib.save(image, tmp_path / name)
    volume = read_volume(tmp_path / name)
    loaded = nib.load(tmp_path / name)
    assert np.array_equal(volume.array_kji, np.asarray(loaded.dataobj).transpose())
    indices = np.array([(0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 3), (2, 3, 1)])
    expected = nib.affines.apply_affine(loaded.affine, indices)
    assert volume.geometry.ras_from_ijk(indices) == pytest.approx(expected, abs=1e-3)
    assert volume.geometry.is_left_handed


def test_nifti_slope_and_intercept_are_applied(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    image = nib.Nifti1Image(hu.transpose(), np.eye(4))
    image.header.set_slope_inter(0.5, -24)
    nib.save(image, tmp_path / "scaled.nii")
    expected = nib.load(tmp_path / "scaled.nii").get_fdata().transpose()
    assert not np.array_equal(expected, np.asarray(hu))
    assert read_volume(tmp_path / "scaled.nii").array_kji == pytest.approx(expected)


def test_a_real_ct_agrees_with_nibabel(shared_data: Path) -> None:
    path = sorted((shared_data / "ct").glob("*/ct.nii.gz"))[0]
    volume, image = read_volume(path), nib.load(path)
    assert np.array_equal(volume.array_kji, np.asarray(image.dataobj).transpose())
    assert volume.geometry.ijk_to_ras == pytest.approx(image.affine, abs=1e-3)


def test_a_fourth_axis_of_one_frame_is_dropped(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    affine = np.diag([-2.0, 2, 3, 1])
    nib.save(nib.Nifti1Image(hu.transpose()[..., None], affine), tmp_path / "one.nii.gz")
    volume = read_volume(tmp_path / "one.nii.gz")
    assert np.array_equal(volume.array_kji, hu)
    assert volume.geometry.ijk_to_ras == pytest.approx(affine)


def test_a_single_slice_is_a_volume(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    volume = read_volume(_write(hu[:1], tmp_path / "slice.nrrd", np.eye(3)))
    assert volume.geometry.size_ijk == (6, 5, 1)
    assert volume.geometry.spacing_mm == pytest.approx((0.75, 0.8, 2.5))


def test_paths_may_be_text_and_hold_any_letters(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    folder = tmp_path / "Müller, 头部 CT"
    folder.mkdir()
    path = _write(hu, folder / "größe.nii.gz", np.eye(3))
    assert np.array_equal(read_volume(str(path)).array_kji, hu)


def test_a_nrrd_of_a_file_a_slice_is_read(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    names = [f"{k}.raw" for k in range(4)]
    for name, pixels in zip(names, hu, strict=True):
        (tmp_path / name).write_bytes(pixels.tobytes())
    lines = [
        "NRRD0004", "type: short", "dimension: 3", "space: LAS", "sizes: 6 5 4", "endian: little",
        "space directions: (0,2,0) (3,0,0) (0,0,4)", "space origin: (7,8,9)", "encoding: raw",
        "data file: LIST 2", *names, "",
    ]  # fmt: skip
    (tmp_path / "ct.nhdr").write_text("\n".join(lines))
    volume = read_volume(tmp_path / "ct.nhdr")
    assert np.array_equal(volume.array_kji, hu)
    assert volume.geometry.ras_from_ijk((1, 2, 3)) == pytest.approx((-13, 10, 21))


# --- files that are refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (sitk.Image([4, 5], sitk.sitkInt16), r"a 3D image, got a 2D image of size \(4, 5\)"),
        (
            sitk.Image([4, 5, 6, 2], sitk.sitkInt16),
            r"got a series of frames of size \(4, 5, 6, 2\)",
        ),
        (sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), r"one value per voxel, got 3 \(a colour"),
        (sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), "one value per voxel, got 2"),
    ],
    ids=["2D", "4D", "RGB", "complex"],
)
def test_images_that_are_no_volume_are_refused(
    tmp_path: Path, image: sitk.Image, text: str
) -> None:
    sitk.WriteImage(image, str(tmp_path / "image.mha"))
    with pytest.raises(VolumeError, match=rf"cannot use .*image\.mha: expected .*{text}"):
        read_volume(tmp_path / "image.mha")


def test_a_picture_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 5], sitk.sitkVectorUInt8, 3), str(tmp_path / "photo.png"))
    with pytest.raises(VolumeError, match="one value per voxel, got 3"):
        read_volume(tmp_path / "photo.png")


@pytest.mark.parametrize(
    "name", ["notes.txt", "ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha", "ct.dcm"]
)
@pytest.mark.parametrize("content", [b"", b"not an image\n", bytes(2000)])
def test_files_that_are_no_image_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=rf"cannot use .*{name}: expected"):
        read_volume(tmp_path / name)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"found nothing at .*gone\.nii"):
        read_volume(tmp_path / "gone.nii")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "hdr", "img", "nrrd", "mha", "vtk"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_refused_with_its_place(
    tmp_path: Path, suffix: str, dtype: type, value: float
) -> None:
    # ITK alone takes such voxels of a NIfTI file as 0: water, or an organ.
    array = np.zeros((4, 5, 6), dtype)
    array[1, 2, 3] = array[3, 4, 5] = value
    _write(array, tmp_path / f"nan.{suffix}", np.eye(3))
    text = r"nan\.\w+.*: expected finite voxels, got 2 NaN or infinite, .* IJK \(3, 2, 1\)"
    with pytest.raises(VolumeError, match=text):
        read_volume(tmp_path / f"nan.{suffix}")


@pytest.mark.parametrize("order", ["<", ">"])
def test_nan_far_into_a_scaled_nifti_is_found(tmp_path: Path, order: str) -> None:
    array = np.zeros((130, 80, 60), f"{order}f4")  # more than one piece of the file
    array[100, 70, 50] = array[129, 79, 59] = np.nan
    image = nib.Nifti1Image(array, np.eye(4), nib.Nifti1Header(endianness=order))
    image.header.set_data_dtype(np.float32)
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(VolumeError, match=r"got 2 NaN .* IJK \(100, 70, 50\)"):
        read_volume(tmp_path / "a.nii.gz")


def test_infinite_only_after_slope_and_intercept_is_refused(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    image = nib.Nifti1Image(np.full((3, 4, 5), 1e30, np.float32), np.eye(4), header)
    nib.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = np.array([1e30, 0], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(VolumeError, match="got 60 NaN or infinite"):
        read_volume(tmp_path / "a.nii")


def test_a_header_that_says_unscaled_with_nan_is_read(tmp_path: Path) -> None:
    # nibabel writes NaN as slope and intercept of an image that is not scaled.
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    assert np.array_equal(read_volume(tmp_path / "a.nii").array_kji, array.transpose())


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("pair", [False, True])
def test_nifti_2_is_read(
    tmp_path: Path, hu: NDArray[np.int16], endianness: str, pair: bool
) -> None:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = OBLIQUE @ np.diag([-0.7, 0.7, 1.5]), (12.5, -340, 1020.25)
    kind = nib.Nifti2Pair if pair else nib.Nifti2Image
    header = kind.header_class(endianness=endianness)
    path = tmp_path / ("two.img" if pair else "two.nii.gz")
    nib.save(kind(hu.transpose(), affine, header), path)
    volume = read_volume(path)
    assert np.array_equal(volume.array_kji, hu)
    assert volume.geometry.ijk_to_ras == pytest.approx(affine, abs=1e-5)


@pytest.mark.parametrize("name", ["packed.nii", "plain.nii.gz"])
def test_content_says_whether_a_nifti_is_compressed(
    tmp_path: Path, hu: NDArray[np.int16], name: str
) -> None:
    plain = _write(hu, tmp_path / "ct.nii", np.eye(3)).read_bytes()
    (tmp_path / name).write_bytes(plain if name.endswith(".gz") else gzip.compress(plain))
    assert np.array_equal(read_volume(tmp_path / name).array_kji, hu)


def test_a_sheared_nifti_is_refused(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.3
    nib.save(nib.Nifti1Image(hu.transpose(), affine), tmp_path / "sheared.nii")
    with pytest.raises(VolumeError, match=r"i and j 16\.699 degrees off square .* resample the CT"):
        read_volume(tmp_path / "sheared.nii")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_a_file_that_ends_early_is_never_read_as_zeros(
    tmp_path: Path, rng: np.random.Generator, name: str, part: float
) -> None:
    # ITK alone accepts such NIfTI files and fills the missing slices with zeros.
    array = rng.integers(-1000, 2000, (20, 30, 40)).astype(np.int16)
    path = _write(array, tmp_path / name, np.eye(3))
    pixels = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    pixels.write_bytes(pixels.read_bytes()[: int(pixels.stat().st_size * part)])
    with pytest.raises(VolumeError, match=rf"cannot use .*{name}: expected"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("checksum", "CRC"), ("voxels", "CRC"), ("blocks", "Error -3")],
)
def test_a_damaged_nifti_is_refused(
    tmp_path: Path, rng: np.random.Generator, name: str, text: str
) -> None:
    # ITK alone reads all three, with other voxels or none after the damage.
    array = rng.integers(-1000, 2000, (32, 64, 64)).astype(np.int16)
    whole = _write(array, tmp_path / "whole.nii", np.eye(3)).read_bytes()
    # Two parts stored as they are: the voxels are where they are, and a part starts with a
    # header of ten bytes, then the type of its first block.
    first = gzip.compress(whole[:130_000], compresslevel=0)
    content = bytearray(first + gzip.compress(whole[130_000:], compresslevel=0))
    content[{"checksum": -6, "voxels": 200_000, "blocks": len(first) + 10}[name]] ^= 0x07
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=f"truncated or damaged one .*{text}.*; copy it again"):
        read_volume(path)


@pytest.mark.parametrize("neighbour", ["ct.nii", "ct.hdr", "ct.mha", "other.nii.gz"])
def test_a_neighbour_of_the_same_name_is_not_read_instead(
    tmp_path: Path, hu: NDArray[np.int16], neighbour: str
) -> None:
    # Asked for ct.nii.gz, ITK alone takes the voxels of ct.nii.
    _write(np.zeros_like(hu), tmp_path / neighbour, np.eye(3))
    path = _write(hu, tmp_path / "ct.nii.gz", np.eye(3))
    volume = read_volume(path)
    assert np.array_equal(volume.array_kji, hu)
    assert volume.name == "ct.nii.gz"
    assert np.unique(read_volume(tmp_path / neighbour).array_kji).tolist() == [0]
    assert read_volume(path).geometry == volume.geometry


def test_a_nifti_of_several_compressed_parts_is_read(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    whole = _write(hu, tmp_path / "whole.nii", np.eye(3)).read_bytes()
    path = tmp_path / "parts.nii.gz"
    path.write_bytes(gzip.compress(whole[:100]) + gzip.compress(whole[100:]))
    assert np.array_equal(read_volume(path).array_kji, hu)


def test_without_simpleitk_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    (tmp_path / "ct.vtk").write_bytes(b"an image")
    with pytest.raises(ImportError, match="pip install SimpleITK"):
        read_volume(tmp_path / "ct.vtk")


def test_warnings_of_itk_are_silent_only_while_reading(tmp_path: Path) -> None:
    (tmp_path / "ct.vtk").write_bytes(b"no image")
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    try:
        for before in (True, False):
            sitk.ProcessObject.SetGlobalWarningDisplay(before)
            with pytest.raises(VolumeError, match="expected a readable image"):
                read_volume(tmp_path / "ct.vtk")
            assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def test_importing_the_reader_does_not_import_simpleitk(repository: Path) -> None:
    code = "import sys, CTSAM3DLib.io.image; sys.exit('SimpleITK' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=repository, check=False).returncode == 0
