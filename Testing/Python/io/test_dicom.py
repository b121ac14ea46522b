"""Folders of DICOM slices: places and HU against pydicom, and what is refused or told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import SERIES, stack, write_series, write_slice
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError, VolumeWarning
from CTSAM3DLib.io.image import read_scan, read_volume

OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


def test_a_dicom_folder_gives_hu_at_their_places(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path / "study", hu, stack(4))
    volume = read_volume(tmp_path / "study")
    assert np.array_equal(volume.array_kji, hu.astype(int) - 1024)
    assert volume.geometry.spacing_mm == pytest.approx((0.75, 0.8, 2.5))
    # Every slice where pydicom says it is.
    for file in (tmp_path / "study").iterdir():
        dataset = pydicom.dcmread(file)
        r, a, s = np.array(dataset.ImagePositionPatient, float) * (-1, -1, 1)
        k = round(volume.geometry.ijk_from_ras((r, a, s))[2])
        assert volume.geometry.ras_from_ijk((0, 0, k)) == pytest.approx((r, a, s))
        assert np.array_equal(volume.array_kji[k], dataset.pixel_array.astype(int) - 1024)
    assert volume.name == f"study (series {SERIES}.2, 4 files)"


@pytest.mark.parametrize("reverse", [False, True])
def test_an_oblique_series_follows_its_slice_positions(
    tmp_path: Path, hu: NDArray[np.int16], reverse: bool
) -> None:
    row, column, normal = OBLIQUE.T
    positions = stack(4, tuple(normal * 1.7))
    pixels = hu
    if reverse:
        positions, pixels = positions[::-1], hu[::-1]
    # DICOM writes six decimals.
    orientation = [round(float(value), 6) for value in (*row, *column)]
    write_series(tmp_path / "ct", pixels, positions, ImageOrientationPatient=orientation)
    volume = read_volume(tmp_path / "ct")
    assert np.array_equal(volume.array_kji, hu.astype(int) - 1024)
    lps = np.array([-110.5, 20.25, 300.0]) + 4 * 0.75 * row + 3 * 0.8 * column + 2 * 1.7 * normal
    expected = lps * (-1, -1, 1)
    assert volume.geometry.ras_from_ijk((4, 3, 2)) == pytest.approx(expected, abs=1e-4)


def test_slice_distance_comes_from_positions_not_from_thickness(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path / "ct", hu, stack(4, (0, 0, 1.25)), SliceThickness=5)
    assert read_volume(tmp_path / "ct").geometry.spacing_mm == pytest.approx((0.75, 0.8, 1.25))


def test_the_series_with_most_slices_is_taken_and_named(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    localizer = SERIES + ".1"
    write_series(tmp_path / "ct", hu[:2], stack(2), SeriesInstanceUID=localizer)
    write_series(tmp_path / "ct", hu, stack(4))
    (tmp_path / "ct" / "readme.txt").write_text("not DICOM")
    with pytest.warns(VolumeWarning, match="took series"):
        volume = read_volume(tmp_path / "ct")
    assert volume.geometry.size_ijk == (6, 5, 4)
    assert f"series {SERIES}.2, 4 files" in volume.name


def test_a_series_is_chosen_by_its_uid(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path / "ct", hu + 7, stack(4), SeriesInstanceUID=SERIES + ".1")
    assert not read_scan(tmp_path / "ct").notes
    write_series(tmp_path / "ct", hu, stack(4))
    first, second = f"{SERIES}.1", f"{SERIES}.2"
    scan = read_scan(tmp_path / "ct")
    assert f"series {first}, 4 files" in scan.volume.name
    volume = read_scan(tmp_path / "ct", second).volume
    assert f"series {second}, 4 files" in volume.name
    assert np.array_equal(volume.array_kji, hu.astype(int) - 1024)
    (note,) = scan.notes
    assert note.startswith(f"took series {first} (4 slices)")
    assert note.endswith(f": {second} (4 slices)")
    with pytest.raises(VolumeError, match=f"expected the series 9 in .*, got {first}, {second}"):
        read_volume(tmp_path / "ct", "9")


def test_one_slice_is_read_from_its_folder_and_from_its_file(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path / "ct", hu[:1], stack(1))
    (file,) = (tmp_path / "ct").iterdir()
    for path in (tmp_path / "ct", file):
        scan = read_scan(path)
        assert scan.notes == ("one slice; took its Slice Thickness of 2.5 mm as voxel size",)
        volume = scan.volume
        assert volume.geometry.spacing_mm == pytest.approx((0.75, 0.8, 2.5))
        assert np.array_equal(volume.array_kji, hu[:1].astype(int) - 1024)
        assert volume.geometry.origin_ras == pytest.approx((110.5, -20.25, 300.0))


def test_rounded_positions_are_even_enough(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    positions = [(x, y, round(z, 2)) for x, y, z in stack(4, (0, 0, 0.625))]
    write_series(tmp_path / "ct", hu, positions)
    assert read_volume(tmp_path / "ct").geometry.spacing_mm[2] == pytest.approx(1.88 / 3)


@pytest.mark.parametrize(
    ("positions", "text"),
    [
        (stack(5)[:2] + stack(5)[3:], "evenly spaced slices .* missing, doubled or of mixed"),
        (stack(3) + stack(1), "evenly spaced slices"),
        ([stack(1)[0]] * 4, r"evenly spaced slices .* a step of 0\.00 mm"),
        ([*stack(3), (-110.5, 20.25, 306.5)], "evenly spaced slices"),
        ([*stack(3), (-100.5, 20.25, 307.5)], "evenly spaced slices"),
        (stack(4, (0, 0.5, 2.5)), r"slices stacked .* a gantry tilt of 11\.31 degrees"),
    ],
    ids=["missing", "doubled", "same place", "mixed spacing", "one moved", "gantry tilt"],
)
def test_irregular_series_are_refused(
    tmp_path: Path, hu: NDArray[np.int16], positions: list[tuple], text: str
) -> None:
    write_series(tmp_path / "ct", hu, positions)
    with pytest.raises(VolumeError, match=rf"cannot use .*: expected {text}"):
        read_volume(tmp_path / "ct")


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"PixelSpacing": [0.8, 0.9]},
    ],
    ids=["orientation", "pixel spacing"],
)
def test_series_with_one_slice_of_another_kind_are_refused(
    tmp_path: Path, hu: NDArray[np.int16], tags: dict[str, object]
) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    write_slice(tmp_path / "ct" / "other.dcm", hu[0], stack(5)[4], **tags)
    with pytest.raises(VolumeError, match="slices of one size, spacing and orientation"):
        read_volume(tmp_path / "ct")


def test_series_with_slices_of_another_size_are_refused(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    write_slice(tmp_path / "ct" / "other.dcm", hu[0, :4].copy(), stack(5)[4])
    with pytest.raises(VolumeError, match=r"6 x 5 pixels .* in slice 1 and 6 x 4 pixels"):
        read_volume(tmp_path / "ct")


def test_a_series_of_colour_pictures_is_refused(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    colour = np.repeat(hu[..., None] % 256, 3, axis=-1).astype(np.uint8)
    write_series(tmp_path / "ct", hu, stack(4))
    for file in (tmp_path / "ct").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
        dataset.PixelData = colour[0].tobytes()
        dataset.save_as(file)
    with pytest.raises(VolumeError, match=r"one value per voxel in series .*, got 3"):
        read_volume(tmp_path / "ct")


def test_slices_that_cannot_be_decoded_are_refused(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    for file in (tmp_path / "ct").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
        dataset.PixelData = pydicom.encaps.encapsulate([b"not a JPEG 2000 stream"])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(file)
    with pytest.raises(VolumeError, match="expected readable DICOM slices, got"):
        read_volume(tmp_path / "ct")


@pytest.mark.parametrize("index", [0, 1, 3])
@pytest.mark.parametrize("in_header", [False, True])
def test_a_slice_that_ends_early_is_refused_by_its_name(
    tmp_path: Path, hu: NDArray[np.int16], index: int, in_header: bool
) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    (file,) = (tmp_path / "ct").glob(f"*-{index}.dcm")
    content = file.read_bytes()
    # Where Pixel Spacing lies depends on a random UID before it.
    end = content.index(b"\x28\x00\x30\x00DS") + 12 if in_header else -20
    file.write_bytes(content[:end])
    with pytest.raises(VolumeError, match=rf"{file.name} .*copy the file again"):
        read_volume(tmp_path / "ct")


@pytest.mark.parametrize("content", [None, "notes"])
def test_a_folder_without_dicom_is_refused(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "notes.txt").write_text(content)
    with pytest.raises(VolumeError, match="a folder with a DICOM image series, found none in"):
        read_volume(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", 140, 177, 250, 400])
@pytest.mark.parametrize("index", [0, 3])
def test_a_file_of_an_unknown_series_at_an_end_is_told(
    tmp_path: Path, hu: NDArray[np.int16], content: bytes | int, index: int
) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    (file,) = (tmp_path / "ct").glob(f"*-{index}.dcm")
    file.write_bytes(file.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.warns(VolumeWarning, match=rf"left out a file: {file.name} .*copy"):
        assert len(read_volume(tmp_path / "ct").array_kji) == 3


def test_a_localizer_among_the_slices_is_left_out_and_told(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    write_slice(tmp_path / "ct" / "scout.dcm", hu[0], stack(1)[0],
                ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
                ImageOrientationPatient=[1, 0, 0, 0, 0, -1])  # fmt: skip
    scan = read_scan(tmp_path / "ct")
    assert np.array_equal(scan.volume.array_kji, hu.astype(int) - 1024)
    assert scan.notes == ("left out 1 localizer pictures: scout.dcm",)


def test_a_localizer_is_never_chosen_over_a_volume(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path / "ct", hu[:2], stack(2))
    write_series(tmp_path / "ct", hu, stack(4), SeriesInstanceUID=SERIES + ".1",
                 ImageType=["DERIVED", "PRIMARY", "LOCALIZER"])  # fmt: skip
    write_series(tmp_path / "ct", hu[:3], stack(3), SeriesInstanceUID=SERIES + ".3", Modality="MR")
    scan = read_scan(tmp_path / "ct")
    assert len(scan.volume.array_kji) == 2
    assert f"{SERIES}.1 (4 slices, localizer)" in scan.notes[0]
    assert f"{SERIES}.3 (3 slices, MR)" in scan.notes[0]
    assert "got MR; the model knows CT alone" in read_scan(tmp_path / "ct", SERIES + ".3").notes[1]


def test_types_and_photometry_may_change_from_slice_to_slice(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    for n, position in enumerate(stack(4)):
        tags = {"RescaleIntercept": -1024} if n % 2 else {"RescaleIntercept": 0}
        kind = np.uint16 if n % 2 else np.int16
        pixels = (hu[n].astype(int) - int(tags["RescaleIntercept"])).astype(kind)
        shown = "MONOCHROME1" if n == 2 else "MONOCHROME2"
        write_slice(folder / f"{n}.dcm", pixels, position, PixelRepresentation=1 - n % 2,
                    PhotometricInterpretation=shown, **tags)  # fmt: skip
    scan = read_scan(folder)
    assert np.array_equal(scan.volume.array_kji, hu)
    assert scan.notes[0].startswith("took HU by slope and intercept in 2.dcm (MONOCHROME1)")


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ({"PixelSpacing": [0, 0.8]}, r"Pixel Spacing in one\.dcm .* got 0, 0\.8"),
        ({"PixelSpacing": [-1, 0.8]}, "got -1, 0.8"),
        ({"PixelSpacing": [800, 800]}, "got 800, 800"),
        ({"PixelSpacing": None}, "expected Pixel Spacing in every slice .* got none in one"),
        ({"ImagePositionPatient": [0, 0, 1e9]}, r"within 20000 mm, got 0, 0, 1e\+09"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 1, 0]}, "directions of length 1"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]}, "degrees off square"),
        ({"SliceThickness": 0}, r"Slice Thickness in one\.dcm .* got 0;"),
        ({"RescaleSlope": 0}, "RescaleSlope of 0"),
        ({"HighBit": 3}, "a highest bit 3"),
    ],
)
def test_impossible_numbers_are_refused_with_the_file(
    tmp_path: Path, hu: NDArray[np.int16], tags: dict, text: str
) -> None:
    write_slice(tmp_path / "one.dcm", hu[0], stack(1)[0], **tags)
    with pytest.raises(VolumeError, match=text):
        read_volume(tmp_path / "one.dcm")


def test_studies_of_several_patients_are_not_chosen_from(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    for n in (1, 2):
        write_series(tmp_path / str(n), hu, stack(4), StudyInstanceUID=f"{SERIES}.{n}")
    with pytest.raises(VolumeError, match=r"expected one study below .* got 2; give the folder of"):
        read_volume(tmp_path)


def test_pictures_without_a_place_are_not_taken_for_the_ct(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path / "ct", hu[:3], stack(3))
    other = SERIES + ".1"
    write_series(tmp_path / "ct", hu, stack(4), SeriesInstanceUID=other, ImagePositionPatient=None)
    scan = read_scan(tmp_path / "ct")
    assert len(scan.volume.array_kji) == 3
    assert scan.notes[0].endswith(f"{other} (4 slices)")


def test_phases_and_pictures_at_few_places_are_not_taken_before_a_volume(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path / "ct", hu, stack(4))
    phases = {"SeriesInstanceUID": SERIES + ".1"}
    for phase in range(3):
        for n in range(2):
            write_slice(tmp_path / "ct" / f"{phase}{n}.dcm", hu[n], stack(2)[n], **phases)
    scan = read_scan(tmp_path / "ct")
    assert np.array_equal(scan.volume.array_kji, hu.astype(int) - 1024)
    assert scan.notes[0].endswith(f"takes another: {SERIES}.1 (6 slices)")
    message = rf"every place occurs 3 times.*; took series {SERIES}\.1 .* {SERIES}\.2 \(4 slices"
    with pytest.raises(VolumeError, match=message):
        read_scan(tmp_path / "ct", SERIES + ".1")
