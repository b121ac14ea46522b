"""Formats that say little, and what is no file."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan


@pytest.mark.parametrize("suffix", ["vtk", "gipl", "mrc"])
def test_a_format_without_directions_is_told(
    tmp_path: Path, hu: NDArray[np.int16], suffix: str
) -> None:
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((2, 3, 5))
    path = tmp_path / f"ct.{suffix}"
    sitk.WriteImage(image, str(path))
    scan = read_scan(path)
    assert np.array_equal(scan.volume.array_kji, hu)
    assert scan.notes == (
        f"a .{suffix} file does not say how the patient lies; took its axes as L, P, S",
    )


def test_a_tiff_has_no_distance_of_slices(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    path = tmp_path / "ct.TIF"
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(path.with_suffix(".tif")))
    path.with_suffix(".tif").rename(path)
    with pytest.raises(VolumeError, match=r"got a TIFF, .* save the CT as \.nrrd"):
        read_scan(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such thing on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ct.nii")
    with pytest.raises(VolumeError, match="expected an image file or a DICOM folder, found"):
        read_scan(tmp_path / "ct.nii")


def _with_more(folder: Path, kind: str, more: bytes) -> Path:
    """A small CT (4, 5, 6) of 16 bits with bytes behind its voxels."""
    voxels = np.arange(-60, 60, dtype="<i2")
    path = folder / f"ct.{kind.partition(' ')[2] or kind}"
    is_packed = kind.startswith("packed ")
    if kind.startswith("nii"):
        nib.Nifti1Image(voxels.reshape(4, 5, 6).T, np.diag([2, 2, 3, 1.0])).to_filename(path)
        content = path.read_bytes() if kind == "nii" else gzip.decompress(path.read_bytes())
        path.write_bytes(content + more if kind == "nii" else gzip.compress(content + more))
        return path
    if "nrrd" in kind or "nhdr" in kind:
        content = voxels.tobytes() + more
        lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 6 5 4", "endian: little",
                 f"encoding: {'gzip' if is_packed else 'raw'}", "space: LPS",
                 "space directions: (2,0,0) (0,2,0) (0,0,3)", "space origin: (0,0,0)"]  # fmt: skip
        lines += ["data file: ct.raw"] * ("nhdr" in kind)
        content = gzip.compress(content) if is_packed else content
        own = b"" if "nhdr" in kind else content
        path.write_bytes("\n".join([*lines, "", ""]).encode() + own)
    else:
        content = zlib.compress(voxels.tobytes() + more) if is_packed else voxels.tobytes() + more
        lines = ["ObjectType = Image", "NDims = 3", "DimSize = 6 5 4", "ElementType = MET_SHORT",
                 "ElementSpacing = 2 2 3", "TransformMatrix = 1 0 0 0 1 0 0 0 1",
                 "Offset = 0 0 0", f"CompressedData = {is_packed}",
                 f"CompressedDataSize = {len(content)}",
                 f"ElementDataFile = {'ct.raw' if 'mhd' in kind else 'LOCAL'}"]  # fmt: skip
        own = b"" if "mhd" in kind else content
        path.write_bytes("\n".join([*lines, ""]).encode() + own)
    if not own:
        (folder / "ct.raw").write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind",
    ["nii", "nii.gz", "nrrd", "packed nrrd", "nhdr", "packed nhdr", "mha", "packed mha", "mhd",
     "packed mhd"],
)  # fmt: skip
@pytest.mark.parametrize("more", [0, 2, 600])
def test_bytes_behind_the_voxels_are_told(tmp_path: Path, kind: str, more: int) -> None:
    scan = read_scan(_with_more(tmp_path, kind, b"x" * more))
    assert scan.volume.array_kji.ravel().tolist() == list(range(-60, 60))
    assert [f"holds {more} bytes more than" in note for note in scan.notes] == [True] * bool(more)


def test_bytes_behind_packed_voxels_of_a_known_length_are_told(tmp_path: Path) -> None:
    path = _with_more(tmp_path, "packed mha", b"")
    path.write_bytes(path.read_bytes() + b"surplus")
    assert "holds 7 bytes more than" in read_scan(path).notes[0]


def test_an_nrrd_in_pieces_has_nothing_behind_its_voxels(tmp_path: Path) -> None:
    path = _with_more(tmp_path, "nrrd", b"")
    content = path.read_bytes().replace(b": raw", b": gzip")
    pieces = gzip.compress(content[-240:-100]) + gzip.compress(content[-100:])
    path.write_bytes(content[:-240] + pieces)
    assert read_scan(path).notes == ()
    path.write_bytes(content[:-240] + pieces + b"surplus")
    assert "holds 7 bytes more than" in read_scan(path).notes[0]


@pytest.mark.parametrize("kind", ["packed mha", "packed mhd"])
@pytest.mark.parametrize(("fault", "truth"), [("cut off", b"True"), ("bit", b"1")])
def test_a_packed_metaimage_that_is_damaged_is_refused(
    tmp_path: Path, kind: str, fault: str, truth: bytes
) -> None:
    path = _with_more(tmp_path, kind, b"")
    path.write_bytes(path.read_bytes().replace(b"True", truth))
    assert read_scan(path).volume.array_kji.ravel().tolist() == list(range(-60, 60))
    packed = tmp_path / "ct.raw" if "mhd" in kind else path
    content = bytearray(packed.read_bytes())
    if fault == "cut off":
        del content[-9:]
    else:
        content[-60] ^= 4
    packed.write_bytes(content)
    with pytest.raises(VolumeError, match="bytes of packed voxels, got a truncated or damaged"):
        read_scan(path)


def test_a_packed_metaimage_without_its_length_is_refused(tmp_path: Path) -> None:
    path = _with_more(tmp_path, "packed mha", b"")
    path.write_bytes(path.read_bytes().replace(b"CompressedDataSize", b"OtherName"))
    with pytest.raises(VolumeError, match=r"CompressedDataSize in the header .* save the CT again"):
        read_scan(path)


def test_of_a_pair_and_a_packed_pair_the_one_that_is_asked_for_is_read(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    for suffix, array in ((".img", hu), (".img.gz", hu + 7)):
        nib.save(nib.Nifti1Pair(array.transpose(), np.eye(4)), tmp_path / f"ct{suffix}")
    for name, more in (("ct.hdr", 0), ("ct.img", 0), ("ct.hdr.gz", 7), ("ct.img.gz", 7)):
        assert np.array_equal(read_scan(tmp_path / name).volume.array_kji, hu + more)
    (tmp_path / "ct.hdr.gz").unlink()
    assert np.array_equal(read_scan(tmp_path / "ct.img.gz").volume.array_kji, hu + 7)
    assert np.array_equal(read_scan(tmp_path / "ct.hdr").volume.array_kji, hu)


@pytest.mark.parametrize("kind", ["packed nrrd", "packed nhdr"])
def test_an_nrrd_that_is_packed_otherwise_is_refused(
    tmp_path: Path, rng: np.random.Generator, kind: str
) -> None:
    path = _with_more(tmp_path, kind, b"")
    voxels = rng.bytes(240)
    data = tmp_path / "ct.raw" if "nhdr" in kind else path
    header = path.read_bytes().partition(b"\n\n")[0] + b"\n\n"
    start = b"" if "nhdr" in kind else header
    # ITK takes these for voxels that are not packed: there are enough of them.
    data.write_bytes(start + zlib.compress(voxels))
    with pytest.raises(VolumeError, match="expected voxels packed with gzip, got others"):
        read_scan(path)
    data.write_bytes(start + voxels)
    assert read_scan(path).volume.array_kji.tobytes() == voxels
    path.write_bytes(path.read_bytes().replace(b"gzip", b"bzip2"))
    with pytest.raises(VolumeError, match="got 'bzip2'; save the CT again with gzip"):
        read_scan(path)


def test_an_error_of_itk_that_is_no_unicode_is_one_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _with_more(tmp_path, "nrrd", b"")
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", lambda reader: b"\xff".decode())
    with pytest.raises(VolumeError, match="expected a readable image, got: "):
        read_scan(path)


def test_a_format_whose_header_names_any_file_is_refused(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    path = tmp_path / "ct.spr"
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(path))
    assert str(tmp_path / "ct.sdt") in path.read_text()
    with pytest.raises(VolumeError, match=r"got Stimulate \(\.spr\).* save the CT as \.nrrd"):
        read_scan(path)
