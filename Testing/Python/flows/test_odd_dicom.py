"""DICOM that contradicts itself in one slice or frame: right HU at the right place, or told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_cases import stack, write_enhanced, write_slice
from pydicom.dataset import Dataset

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_volume

STORED = np.random.default_rng(0).integers(24, 3024, (4, 5, 6)).astype(np.int16)
HU = STORED - 1024


def series(folder: Path, changes: Callable[[int], dict[str, Any]], stored: Any = STORED) -> Path:
    """Write four slices; a tag that becomes None is removed."""
    folder.mkdir()
    for number, even in enumerate(stack(4)):
        tags = changes(number)
        position = tags.pop("position", even)
        path = folder / f"slice{number}.dcm"
        gone = [name for name, value in tags.items() if value is None]
        write_slice(
            path, stored[number], position, **{k: v for k, v in tags.items() if k not in gone}
        )
        if gone:
            dataset = pydicom.dcmread(path)
            for name in gone:
                delattr(dataset, name)
            dataset.save_as(path)
    return folder


# What each slice has, by its number, and what is told; an empty text: nothing.
REFUSED = {
    "one slice without intercept": (
        lambda n: {"RescaleIntercept": None} if n == 2 else {},
        r"Rescale Intercept in every slice of .* or in none, got none in slice2\.dcm",
    ),
    "one slice without slope": (
        lambda n: {"RescaleSlope": None} if n == 0 else {},
        r"or in none, got none in slice0\.dcm",
    ),
    "a slope of nothing": (lambda n: {"RescaleSlope": 0}, "RescaleSlope of 0"),
    "spacing turned round in one": (
        lambda n: {"PixelSpacing": [0.75, 0.8]} if n == 3 else {},
        "slices of one size, spacing and orientation",
    ),
    "one place twice": (
        lambda n: {"position": stack(4)[1]} if n == 2 else {},
        r"slice1\.dcm and slice2\.dcm lie at one place",
    ),
    "one place missing": (
        lambda n: {"position": stack(5)[4]} if n == 3 else {},
        r"5\.00 mm between slice2\.dcm and slice3\.dcm",
    ),
    "tilted": (lambda n: {"position": stack(4, (0, 0.67, 2.4))[n]}, r"tilt of 15\.60 degrees"),
    "directions of length 2": (
        lambda n: {"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]},
        "directions of length 1",
    ),
    "rows along columns": (
        lambda n: {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        "expected finite Image Orientation",
    ),
    "another plane among them": (
        lambda n: {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]} if n == 0 else {},
        "export one stack",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_slice_that_does_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    changes, message = REFUSED[name]
    with pytest.raises(VolumeError, match=message):
        read_volume(series(tmp_path / "ct", changes))


READ = {
    "instance numbers in another order": lambda n: {"InstanceNumber": [3, 1, 4, 2][n]},
    "12 bits": lambda n: {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0},
    "another kind of picture": lambda n: (
        {"ImageType": ["DERIVED", "SECONDARY", "OTHER"]} if n == 0 else {}
    ),
    "two acquisitions": lambda n: {"AcquisitionNumber": n // 2},
    "slices thicker than their steps": lambda n: {"SliceThickness": 5.0},
    "a padding value": lambda n: {"PixelPaddingValue": -2000},
    "steps named with a sign": lambda n: {"SpacingBetweenSlices": -2.5},
}


@pytest.mark.parametrize("name", READ)
def test_what_changes_nothing_is_read(tmp_path: Path, name: str, recwarn: Any) -> None:
    volume = read_volume(series(tmp_path / "ct", READ[name]))
    assert np.array_equal(volume.array_kji, HU)
    assert np.allclose(volume.geometry.spacing_mm, (0.75, 0.8, 2.5))
    assert [str(one.message) for one in recwarn] == []


def test_bits_above_the_stored_ones_are_no_part_of_a_number(tmp_path: Path) -> None:
    tags = {"BitsStored": 12, "HighBit": 11}
    overlay = STORED.astype(np.uint16) | 0xF000
    path = series(tmp_path / "a", lambda n: {**tags, "PixelRepresentation": 0}, overlay)
    assert np.array_equal(read_volume(path).array_kji, HU)
    signed = (HU & 0x0FFF).astype(np.uint16)
    path = series(tmp_path / "b", lambda n: {**tags, "RescaleIntercept": 0}, signed)
    assert np.array_equal(read_volume(path).array_kji, HU)


def test_slices_that_are_missing_evenly_are_told_by_the_header(tmp_path: Path) -> None:
    folder = series(
        tmp_path / "ct", lambda n: {"position": stack(8)[2 * n], "SpacingBetweenSlices": 2.5}
    )
    told = r"header names 2\.5 mm between slices .* places are 5 mm apart; took the places"
    with pytest.warns(UserWarning, match=told):
        assert read_volume(folder).geometry.spacing_mm[2] == pytest.approx(5)


@pytest.mark.parametrize("end", ["", ".3", ".IMA"])
@pytest.mark.parametrize("content", [b"", bytes(1000), b"DIC"])
def test_a_file_that_ends_in_its_preamble_is_told_by_its_name(
    tmp_path: Path, end: str, content: bytes
) -> None:
    folder = series(tmp_path / "ct", lambda n: {})
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / (f"i.{number}" if end == ".3" else f"i{number}{end}"))
    last = sorted(folder.iterdir())[-1]
    last.write_bytes(content)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "notes.txt").write_text("not an image")
    with pytest.warns(UserWarning, match="left out a file") as told:
        volume = read_volume(folder)
    assert volume.array_kji.shape == (3, 5, 6)
    assert [str(one.message).partition("left out a file: ")[2] for one in told] == [
        f"{last.name} is empty or no DICOM file; copy it again"
    ]


def enhanced(tmp_path: Path, edit: Callable[[Dataset], object], **options: Any) -> Path:
    path = tmp_path / "enhanced.dcm"
    positions = options.pop("positions", stack(4))
    write_enhanced(path, STORED, positions, **options)
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(path)
    return path


def _nothing(dataset: Dataset) -> None:
    pass


def _without(sequence: str) -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        delattr(dataset.PerFrameFunctionalGroupsSequence[2], sequence)

    return edit


def _turned(dataset: Dataset) -> None:
    plane = Dataset()
    plane.ImageOrientationPatient = [0, 1, 0, -1, 0, 0]
    dataset.PerFrameFunctionalGroupsSequence[2].PlaneOrientationSequence = [plane]


def _larger(dataset: Dataset) -> None:
    measures = Dataset()
    measures.PixelSpacing = [1, 1]
    dataset.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence = [measures]


FRAMES: dict[str, tuple[Callable[[Dataset], object], dict[str, Any], str]] = {
    "one without rescale": (
        _without("PixelValueTransformationSequence"), {"rescales": [(1, -1024)] * 4},
        r"in every slice of .* or in none, got none in frame 3 of enhanced\.dcm",
    ),
    "one without a place": (
        _without("PlanePositionSequence"), {}, r"got none in frame 3 of enhanced\.dcm",
    ),
    "one turned": (_turned, {}, "slices of one size, spacing and orientation"),
    "one with larger pixels": (_larger, {}, "slices of one size, spacing and orientation"),
    "fewer by their number": (
        lambda dataset: setattr(dataset, "NumberOfFrames", 3), {},
        "3 frames by their number, 4 by their places",
    ),
    "pixels that end early": (
        lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:-60]), {},
        "180 of 240 bytes of pixels",
    ),
    "two phases": (
        _nothing, {"positions": [stack(2)[n % 2] for n in range(4)]}, "occurs 2 times",
    ),
    "one missing": (
        _nothing, {"positions": [stack(6)[n] for n in (0, 1, 3, 5)]}, "slices are missing",
    ),
    "two stacks": (_nothing, {"stacks": ["1", "1", "2", "2"]}, "got stacks 1, 2"),
    "tilted": (_nothing, {"positions": stack(4, (0, 0.67, 2.4))}, "tilt of 15.60 degrees"),
}  # fmt: skip


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("unit", "expected"), [("[hnsf'U]", -1000), ("1", 24)])
def test_a_mapping_to_hu_stands_for_a_missing_rescale(
    tmp_path: Path, is_shared: bool, unit: str, expected: int
) -> None:
    def edit(dataset: Dataset) -> None:
        mapping, code = Dataset(), Dataset()
        code.CodeValue = unit
        mapping.MeasurementUnitsCodeSequence = [code]
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 1.0, -1024.0
        groups = dataset.SharedFunctionalGroupsSequence[0]
        del groups.PixelValueTransformationSequence
        place = groups if is_shared else dataset
        place.RealWorldValueMappingSequence = [mapping]
        dataset.PixelData = np.full(120, 24, np.int16).tobytes()

    volume = read_volume(enhanced(tmp_path, edit))
    assert np.unique(volume.array_kji).tolist() == [expected]


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_does_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    edit, options, message = FRAMES[name]
    with pytest.raises(VolumeError, match=message):
        read_volume(enhanced(tmp_path, edit, **options))


def test_a_series_of_several_enhanced_files_is_one_volume(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    write_enhanced(folder / "b.dcm", STORED[:2], stack(4)[:2])
    write_enhanced(folder / "a.dcm", STORED[2:], stack(4)[2:])
    assert np.array_equal(read_volume(folder).array_kji, HU)
