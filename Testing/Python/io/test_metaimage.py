"""Fields of MetaImage that its library replaces or passes over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

ARRAY = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)


def _written(path: Path, without: str = "", **fields: str) -> Path:
    usual = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "6 5 4",
        "TransformMatrix": "0 1 0 1 0 0 0 0 1", "Offset": "10 20 30", "ElementSpacing": "2 3 5",
        "ElementType": "MET_SHORT",
    }  # fmt: skip
    usual.pop(without, "")
    lines = [f"{name} = {value}" for name, value in (usual | fields).items()]
    path.write_bytes("\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode() + ARRAY.tobytes())
    return path


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"TransformMatrix": "1 0"}, "expected 9 numbers as TransformMatrix, got '1 0'"),
        ({"TransformMatrix": "0 1 1 0"}, "expected 9 numbers as TransformMatrix"),
        ({"TransformMatrix": "0 1 0 1 0 0 0 0 1 7"}, "expected 9 numbers as TransformMatrix"),
        ({"ElementSpacing": "2 3"}, "expected 3 numbers as ElementSpacing, got '2 3'"),
        ({"ElementSpacing": "2,0 3,0 5,0"}, "expected 3 numbers as ElementSpacing"),
        ({"Offset": "10 20"}, "expected 3 numbers as Offset, got '10 20'"),
        ({"DimSize": "6 5"}, "expected 3 numbers as DimSize, got '6 5'"),
        ({"NDims": "2"}, "expected 2 numbers as DimSize"),
        ({"HeaderSize": "-5"}, "expected a HeaderSize of -1, 0 or more bytes, got '-5'"),
        ({"HeaderSize": "none"}, "expected a HeaderSize of -1, 0 or more bytes, got 'none'"),
    ],
)
def test_wrong_numbers_are_refused(tmp_path: Path, fields: dict, text: str) -> None:
    with pytest.raises(VolumeError, match=f"{text}.*; correct the header"):
        read_scan(_written(tmp_path / "ct.mha", **fields))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"DistanceUnits": "mm"}, ""),
        ({"DistanceUnits": "um"}, "lengths in um; took them as mm"),
        ({"ElementToIntensityFunctionSlope": "2"}, "a slope of 2 and an offset of 0"),
    ],
)
def test_what_slicer_passes_over_is_told(tmp_path: Path, fields: dict, text: str) -> None:
    path = _written(tmp_path / "ct.mha", **fields)
    scan = read_scan(path)
    image = sitk.ReadImage(str(path))
    assert np.array_equal(scan.volume.array_kji, sitk.GetArrayFromImage(image))
    assert scan.volume.geometry.spacing_mm == pytest.approx(image.GetSpacing())
    assert scan.volume.geometry.origin_ras == pytest.approx((-10, -20, 30))
    assert bool(scan.notes) == bool(text)
    assert text in "".join(scan.notes)


@pytest.mark.parametrize(
    ("first", "second", "value", "other"),
    [
        ("Offset", "Origin", "10 20 30", "11 20 30"),
        ("Offset", "Position", "10 20 30", "0 0 0"),
        ("TransformMatrix", "Rotation", "0 1 0 1 0 0 0 0 1", "1 0 0 0 1 0 0 0 1"),
        ("TransformMatrix", "Orientation", "0 1 0 1 0 0 0 0 1", "0 1 0 1 0 0 0 0 -1"),
    ],
)
def test_two_names_of_one_place_must_agree(
    tmp_path: Path, first: str, second: str, value: str, other: str
) -> None:
    path = _written(tmp_path / "ct.mha", **{second: value, "ElementSize": "9 9 9"})
    assert read_scan(path).volume.geometry.origin_ras == pytest.approx((-10, -20, 30))
    with pytest.raises(VolumeError, match=f"got {first} = {value} and {second} = {other}; find"):
        read_scan(_written(tmp_path / "ct.mha", **{second: other}))


@pytest.mark.parametrize("name", ["ElementSpacing", "TransformMatrix", "Offset"])
def test_what_is_missing_is_told(tmp_path: Path, name: str) -> None:
    path = _written(tmp_path / "ct.mha", without=name)
    scan = read_scan(path)
    assert scan.notes[0].startswith(f"the header has no {name}; took ")
    assert scan.volume.geometry.spacing_mm == pytest.approx(sitk.ReadImage(str(path)).GetSpacing())


@pytest.mark.parametrize("skip", ["0", "10", "-1"])
def test_voxels_beside_a_header_that_end_early_are_refused(tmp_path: Path, skip: str) -> None:
    path = _written(tmp_path / "ct.mhd", HeaderSize=skip)
    header = path.read_bytes()[: -ARRAY.nbytes].replace(b"LOCAL", b"ct.raw")
    path.write_bytes(header)
    raw = bytes(max(int(skip), 0)) + ARRAY.tobytes()
    (tmp_path / "ct.raw").write_bytes(raw)
    assert np.array_equal(read_scan(path).volume.array_kji, ARRAY)
    (tmp_path / "ct.raw").write_bytes(raw[:-30])
    with pytest.raises(VolumeError, match=r"240 bytes of voxels in ct\.raw, got 210: it is trunc"):
        read_scan(path)


@pytest.mark.parametrize(
    ("name", "other"),
    [("ElementSpacing", "1 1 1"), ("DimSize", "5 6 4"), ("Offset", "0 0 0"), ("NDims", "2")],
)
def test_a_field_that_is_there_twice_is_refused(tmp_path: Path, name: str, other: str) -> None:
    path = _written(tmp_path / "ct.mha")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"ElementType", f"{name} = {other}\nElementType".encode()))
    with pytest.raises(VolumeError, match=f"every field once, got {name} = .* and {other}; find"):
        read_scan(path)


@pytest.mark.parametrize("matrix", ["0 2 0 2 0 0 0 0 2", "0 2 0 3 0 0 0 0 5"])
def test_a_matrix_that_would_change_the_voxel_size_is_refused(tmp_path: Path, matrix: str) -> None:
    with pytest.raises(VolumeError, match=r"of length 1 in the header, got .*; correct"):
        read_scan(_written(tmp_path / "ct.mha", TransformMatrix=matrix))


@pytest.mark.parametrize(
    ("sides", "is_told"), [("ARI", False), ("PLS", False), ("???", False), ("RAI", True)]
)
def test_sides_that_are_not_those_of_the_matrix_are_told(
    tmp_path: Path, sides: str, is_told: bool
) -> None:
    notes = read_scan(_written(tmp_path / "ct.mha", AnatomicalOrientation=sides)).notes
    assert [f"names the sides {sides}" in note for note in notes] == [True] * is_told


def test_an_offset_of_nan_says_so(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="expected Offset within 20000 mm, got nan, 0, 0"):
        read_scan(_written(tmp_path / "ct.mha", Offset="nan 0 0"))
