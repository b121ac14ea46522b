"""Voxels of MetaImage in other files or in text: all there, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

ARRAY = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)


def _written(path: Path, data_file: str, content: bytes = b"", **fields: str) -> Path:
    usual = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "6 5 4",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "10 20 30", "ElementSpacing": "2 3 5",
        "ElementType": "MET_SHORT",
    }  # fmt: skip
    lines = [f"{name} = {value}" for name, value in (usual | fields).items()]
    head = "\n".join([*lines, f"ElementDataFile = {data_file}", ""])
    path.write_bytes(head.encode() + content)
    return path


def _slices(folder: Path, count: int = 4, more: bytes = b"") -> None:
    for k in range(count):
        (folder / f"{k}.raw").write_bytes(ARRAY[k].tobytes() + more)


def _list(count: int, folder: str = "") -> bytes:
    return "".join(f"{folder}{k % 4}.raw\n" for k in range(count)).encode()


@pytest.mark.parametrize(
    ("given", "content"),
    [("LIST", _list(4)), ("LIST 2", _list(4)), ("LIST 2D", _list(4)), ("%d.raw 0 3 1", b"")],
)
def test_a_file_of_each_slice_is_read(tmp_path: Path, given: str, content: bytes) -> None:
    _slices(tmp_path)
    scan = read_scan(_written(tmp_path / "ct.mhd", given, content))
    assert np.array_equal(scan.volume.array_kji, ARRAY)
    assert not scan.notes


@pytest.mark.parametrize(
    ("given", "content", "got"),
    [
        ("LIST", _list(3), 3),
        ("LIST", _list(5), 5),
        ("LIST 3", _list(1), 1),
        ("%d.raw 0 2 1", b"", 3),
        ("%d.raw 0 3", b"", 0),  # the library divides by the step that is not there
        ("%d.raw 0 3 0", b"", 0),
        ("%d.raw", b"", 0),
        ("%d%d.raw 0 3 1", b"", 0),
        ("%d.raw 0 3 1 2", b"", 0),
    ],
)
def test_names_that_are_not_those_of_all_slices_are_refused(
    tmp_path: Path, given: str, content: bytes, got: int
) -> None:
    _slices(tmp_path)
    with pytest.raises(VolumeError, match=rf"names of 4 files, .* got {got} by .*; write the list"):
        read_scan(_written(tmp_path / "ct.mhd", given, content))


def test_slices_that_are_missing_cut_off_or_elsewhere_are_refused_by_name(tmp_path: Path) -> None:
    _slices(tmp_path, 3)
    path = _written(tmp_path / "ct.mhd", "LIST", _list(4))
    with pytest.raises(VolumeError, match=r"expected the voxels in 3\.raw beside ct\.mhd"):
        read_scan(path)
    (tmp_path / "3.raw").write_bytes(bytes(59))
    with pytest.raises(VolumeError, match=r"60 bytes of voxels in 3\.raw, got 59.*copy it again"):
        read_scan(path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(VolumeError, match=r"in the folder of ct\.mhd, got '\.\./0\.raw'"):
        read_scan(_written(tmp_path / "sub" / "ct.mhd", "LIST", _list(4, "../")))


def test_bytes_behind_the_voxels_of_each_file_are_told(tmp_path: Path) -> None:
    _slices(tmp_path, more=b"xyz")
    (note,) = read_scan(_written(tmp_path / "ct.mhd", "%d.raw 0 3 1")).notes
    assert "12 bytes more" in note


def _text(numbers: list[object], separator: str = " ") -> bytes:
    return separator.join(map(str, numbers)).encode() + b"\n"


@pytest.mark.parametrize("separator", [" ", ", "])
def test_a_text_of_all_voxels_is_read(tmp_path: Path, separator: str) -> None:
    content = _text(ARRAY.ravel().tolist(), separator)
    scan = read_scan(_written(tmp_path / "ct.mha", "LOCAL", content, BinaryData="False"))
    assert np.array_equal(scan.volume.array_kji, ARRAY)
    assert not scan.notes


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.5, "got '0.5'"), (70000, "got '70000'"), ("x", "got 'x'"), ("", "120 numbers .* got 119")],
)
def test_a_text_of_other_numbers_is_refused(tmp_path: Path, number: object, text: str) -> None:
    content = _text([number, *ARRAY.ravel().tolist()[1:]])
    with pytest.raises(VolumeError, match=text):
        read_scan(_written(tmp_path / "ct.mha", "LOCAL", content, BinaryData="False"))


def test_numbers_behind_the_voxels_of_a_text_are_told(tmp_path: Path) -> None:
    content = _text([*ARRAY.ravel().tolist(), 1, 2])
    (note,) = read_scan(_written(tmp_path / "ct.mha", "LOCAL", content, BinaryData="False")).notes
    assert "2 numbers more" in note
