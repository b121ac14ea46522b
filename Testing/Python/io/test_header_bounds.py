"""Headers that claim more than a file can hold, and numbers that no CT has."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.header_numbers import checked_size
from CTSAM3DLib.io.image import read_scan, read_volume

NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: %s\nencoding: %s\nendian: little\n%s\n\n"
META = (
    "ObjectType = Image\nNDims = 3\nDimSize = {size}\n{more}BinaryData = True\n"
    "CompressedData = {packed}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
BIG = "10000 10000 10000"


def _nifti(size: tuple[int, ...], **fields: object) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    header.set_data_dtype(np.int16)
    header.set_zooms((1, 1, 1))
    header["dim"][1:4] = size
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(4 + 2 * 120)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("big.nii", _nifti((10000, 10000, 10000))),
        ("big.nii.gz", gzip.compress(_nifti((10000, 10000, 10000)))),
        ("large.nii.gz", gzip.compress(_nifti((2000, 2000, 2000)))),
        ("big.nrrd", NRRD % (BIG.encode(), b"raw", b"spacings: 1 1 1") + bytes(240)),
        ("large.nrrd", NRRD % (b"2000 2000 2000", b"gzip", b"spacings: 1 1 1") + bytes(240)),
        ("big.mha", (META.format(size=BIG, packed=False, more="")).encode() + bytes(240)),
        ("large.mha", META.format(size="2000 2000 2000", packed=True, more="").encode()),
        ("zero.nii", _nifti((4, 0, 6))),
        ("zero.mha", META.format(size="4 0 6", packed=False, more="").encode() + bytes(240)),
    ],
)
def test_a_header_that_claims_too_much_is_refused_in_little_memory(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    with pytest.raises(VolumeError, match=r"expected (at most|at least|[0-9]+ bytes)"):
        read_volume(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"pixdim": [1, 1, np.nan, 1, 0, 0, 0, 0], "sform_code": 1}, "pixdim .* got 1, nan, 1"),
        ({"pixdim": [1, 1, -1, 1, 0, 0, 0, 0], "sform_code": 1}, "pixdim .* got 1, -1, 1"),
        ({"qform_code": 9}, "a qform code of 0 to 5, got 9"),
        ({"qform_code": 1, "quatern_b": 1.3}, "a unit quaternion in the qform, got 1.3, 0, 0"),
        ({"scl_slope": 0, "scl_inter": 5}, "slope and intercept, or neither, got 0 and 5"),
        ({"sform_code": 1, "srow_x": [3, 0, 0, 0], "srow_y": [0, 1, 0, 0],
          "srow_z": [0, 0, 1, 0]}, "1 x 1 x 1 mm in pixdim and 3 x 1 x 1 mm in the sform"),
        ({"sform_code": 1, "qform_code": 1, "srow_x": [-1, 0, 0, 0], "srow_y": [0, 1, 0, 0],
          "srow_z": [0, 0, 1, 0]}, "opposite ones in qform and sform, 6 mm apart"),
        ({"dim": [9, 4, 5, 6, 1, 1, 1, 1]}, "1 to 7 axes in the header, got 9"),
    ],
)  # fmt: skip
def test_a_nifti_header_that_contradicts_itself_is_refused(
    tmp_path: Path, fields: dict, text: str
) -> None:
    (tmp_path / "ct.nii").write_bytes(_nifti((4, 5, 6), **fields))
    with pytest.raises(VolumeError, match=text):
        read_volume(tmp_path / "ct.nii")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ElementSpacing = 1 nan 1", "ElementSpacing .* got 1, nan, 1"),
        ("ElementSpacing = 1 0 1", "ElementSpacing .* got 1, 0, 1"),
        ("ElementSpacing = 1 -2 1", "ElementSpacing .* got 1, -2, 1"),
        ("ElementSpacing = 1 x 1", "numbers as ElementSpacing, got '1 x 1'"),
        ("Offset = 0 0 inf", "Offset .* got 0, 0, inf"),
        ("TransformMatrix = 1 0 0 0.3 1 0 0 0 1", "TransformMatrix at right angles"),
    ],
)
def test_a_metaimage_header_with_wrong_numbers_is_refused(
    tmp_path: Path, line: str, text: str
) -> None:
    content = META.format(size="6 5 4", packed=False, more=line + "\n").encode() + bytes(240)
    (tmp_path / "ct.mha").write_bytes(content)
    with pytest.raises(VolumeError, match=text):
        read_volume(tmp_path / "ct.mha")


def test_too_many_voxels_say_what_to_do() -> None:
    with pytest.raises(VolumeError, match=r"got 10000 x 10000 x 10000 .*; crop the CT, or export"):
        checked_size((10_000, 10_000, 10_000), 2)


@pytest.mark.parametrize("magic", [b"n+1", b"ni1"])
@pytest.mark.parametrize("offset", [0, 348])
def test_voxels_that_begin_inside_the_header_of_their_file_are_refused(
    tmp_path: Path, magic: bytes, offset: int
) -> None:
    (tmp_path / "ct.nii").write_bytes(_nifti((4, 5, 6), magic=magic, vox_offset=offset))
    with pytest.raises(VolumeError, match=f"begin at byte 352 or later, got {offset}; save it"):
        read_volume(tmp_path / "ct.nii")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        *((f"{name}: {'x' * 501}", f"at most 500 letters in a field .* got 501 in '{name}'")
          for name in ("labels", "units", "sample units", "space units", "content", "number",
                       "data file", "kinds")),
        ("x" * 501 + ": 1", "at most 500 letters"),
        (f"labels: {'x' * 501}\nlabels: a", "every field once, got 'labels' twice"),
        (f"# a\rlabels: {'x' * 501}", "lines that end in a newline"),
        (f"key:=a\rlabels: {'x' * 501}", "lines that end in a newline"),
    ],
)  # fmt: skip
def test_long_words_never_reach_the_nrrd_library(tmp_path: Path, line: str, text: str) -> None:
    path = tmp_path / "ct.nrrd"
    path.write_bytes(NRRD % (b"4 5 6", b"raw", line.encode()) + bytes(240))
    with pytest.raises(VolumeError, match=text):
        read_scan(path)


def test_nothing_but_the_version_stands_in_the_first_line_of_an_nrrd(tmp_path: Path) -> None:
    content = NRRD % (b"4 5 6", b"raw", b"spacings: 1 1 1") + bytes(240)
    word = b"NRRD0004\rlabels: " + b"x" * 500 + b": " + b"x" * 500 + b"\n"
    (tmp_path / "ct.nrrd").write_bytes(content.replace(b"NRRD0004\n", word))
    with pytest.raises(VolumeError, match="expected an NRRD file"):
        read_scan(tmp_path / "ct.nrrd")


def test_long_keys_of_an_nrrd_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ct.nrrd"
    more = b"space: LPS\nspace origin: (0,0,0)\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nkey:="
    more += b"x" * 20_000
    path.write_bytes(NRRD % (b"4 5 6", b"raw", more) + bytes(240))
    assert read_volume(path).array_kji.shape == (6, 5, 4)
