"""Fields of MetaImage that its library replaces or passes over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

ARRAY = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)


def _written(path: Path, **fields: str) -> Path:
    usual = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "6 5 4",
        "TransformMatrix": "0 1 0 1 0 0 0 0 1", "Offset": "10 20 30", "ElementSpacing": "2 3 5",
        "ElementType": "MET_SHORT",
    }  # fmt: skip
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
    ],
)
def test_too_few_numbers_are_refused(tmp_path: Path, fields: dict, text: str) -> None:
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
