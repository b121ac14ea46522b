"""Slices of a series that do not quite belong together: told, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import SERIES, stack, write_series, write_slice
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan


@pytest.mark.parametrize(
    ("tag", "usual", "odd", "apart_mm"),
    [
        ("PixelSpacing", [0.8, 0.75], [0.8, 0.759], 6 * 0.009),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], [1, 9e-3, 0, -9e-3, 1, 0], 9e-3 * 8.5),
    ],
)
@pytest.mark.parametrize("is_told", [True, False])
def test_slices_that_differ_a_little_are_told(
    tmp_path: Path, hu: NDArray[np.int16], tag: str, usual: list, odd: list, apart_mm: float,
    is_told: bool,
) -> None:  # fmt: skip
    # A tenth of these differences is within the tolerance of the reader, all of it is not.
    share = 0.1 if is_told else 1.0
    ours = [a + share * (b - a) for a, b in zip(usual, odd, strict=True)]
    wide = np.tile(hu, (1, 8, 8))
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", wide[n], position, **{tag: ours if n == 2 else usual})
    if not is_told:
        with pytest.raises(VolumeError, match="slices of one size, spacing and orientation"):
            read_scan(tmp_path)
        return
    (note,) = read_scan(tmp_path).notes
    assert f"differs between slices, by up to {0.8 * apart_mm:.2g} mm" in note


def test_slices_of_two_studies_are_refused(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, StudyInstanceUID=f"{SERIES}.{n % 2}")
    with pytest.raises(VolumeError, match=r"slices of one study .* sort the files by study first"):
        read_scan(tmp_path)


@pytest.mark.parametrize("other", ["somebody", ""])
def test_slices_of_two_patients_are_refused(
    tmp_path: Path, hu: NDArray[np.int16], other: str
) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, PatientID=other if n == 2 else "one")
    with pytest.raises(VolumeError, match=r"slices of one patient .* sort the files by patient"):
        read_scan(tmp_path)


def test_several_frames_of_reference_in_a_series_are_refused(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, FrameOfReferenceUID=f"1.2.{n % 2}")
    with pytest.raises(VolumeError, match=r"one frame of reference .* sort the files by frame"):
        read_scan(tmp_path)
    for n, position in enumerate(stack(4)):
        place = {"FrameOfReferenceUID": "1.2"} if n % 2 else {}
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, **place)
    (note,) = read_scan(tmp_path).notes
    assert "some slices name no frame of reference" in note


def test_another_series_may_have_another_frame_of_reference(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    for count, uid in ((4, "1.2.1"), (2, "1.2.2")):
        series = {"SeriesInstanceUID": f"{SERIES}.{count}", "FrameOfReferenceUID": uid}
        write_series(tmp_path, hu[:count], stack(count), **series)
    scan = read_scan(tmp_path)
    assert scan.volume.array_kji.shape[0] == 4
    assert not any("frame of reference" in note for note in scan.notes)


def test_a_slice_that_is_there_twice_says_what_to_do(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path, hu, stack(4))
    (tmp_path / "copy.dcm").write_bytes(next(tmp_path.glob("*-1.dcm")).read_bytes())
    with pytest.raises(VolumeError, match="lie at one place; keep one of them"):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    ("tag", "values", "note"),
    [
        ("KVP", (80, 140, 80, 140), "slices differ in KVP, as where two scans were mixed"),
        ("ConvolutionKernel", ("B30", "B30", "B70", "B70"), "slices differ in Convolution Kernel"),
        ("PatientPosition", ("HFS", "FFS", "HFS", "HFS"), "slices differ in Patient Position"),
        ("SeriesNumber", (1, 2, 1, 2), "slices differ in Series Number"),
        ("TemporalPositionIdentifier", (1, 1, 1, 2), "slices differ in Temporal Position"),
        ("SliceThickness", (2.5, 5, 2.5, 2.5), "slices differ in Slice Thickness"),
        ("AcquisitionNumber", (1, 2, 1, 2), "slices differ in Acquisition Number"),
        ("AcquisitionNumber", (1, 1, 2, 2), ""),
        ("AcquisitionTime", ("100000", "101500", "100000", "101500"), "differ in Acquisition Time"),
        ("AcquisitionTime", ("100000", "100001", "100002", "100002"), ""),
        ("TriggerTime", (0, 50, 0, 50), "slices differ in Trigger Time"),
        ("NominalPercentageOfCardiacPhase", (10, 60, 10, 60), "differ in Nominal Percentage of"),
        ("SeriesDescription", ("art", "ven", "art", "ven"), "slices differ in Series Description"),
        ("ContrastBolusAgent", ("", "I", "", "I"), "slices differ in Contrast/Bolus Agent"),
        ("ReconstructionDiameter", (400, 300, 400, 300), "differ in Reconstruction Diameter"),
        ("PatientName", ("A^B", "A^B", "C^D", "C^D"), "slices differ in Patient's Name"),
        ("PatientName", ("A^B", "A^B^^^", "A^B ", "A^B"), ""),
        ("PatientBirthDate", ("19500101", "19500101", "19700101", "19500101"), "Birth Date"),
        ("SOPInstanceUID", ("1.2", "1.3", "1.2", "1.4"), "several files have one SOP Instance"),
        ("SeriesInstanceUID", ("", "", "", ""), "the files name no series"),
        ("GantryDetectorTilt", (15, 15, 15, 15), "a gantry tilt of 15 degrees, the places show"),
        ("SliceThickness", (1, 1, 1, 1), "slices of 1 mm lie 2.5 mm apart"),
    ],
)
def test_slices_that_may_not_belong_together_are_told(
    tmp_path: Path, hu: NDArray[np.int16], tag: str, values: tuple, note: str
) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, **{tag: values[n]})
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, hu - 1024)
    assert [note in found for found in scan.notes] == [True] * bool(note)


@pytest.mark.parametrize("empty", [(), (1,), (0, 3), (0, 1, 2, 3)])
def test_slices_of_one_value_are_told(
    tmp_path: Path, hu: NDArray[np.int16], empty: tuple[int, ...]
) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n] * (n not in empty), position)
    names = ", ".join(f"{n}.dcm" for n in empty)
    wanted = [f"all pixels are alike in {names}; if the file is damaged, copy it again"]
    assert list(read_scan(tmp_path).notes) == wanted * (0 < len(empty) < 4)


def test_a_pixel_spacing_of_one_number_says_so(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, PixelSpacing=[0.8])
    with pytest.raises(VolumeError, match="PixelSpacing of 1 numbers instead of 2"):
        read_scan(tmp_path)


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_series_whose_name_has_a_damaged_type_is_told(
    tmp_path: Path, hu: NDArray[np.int16], is_folder: bool
) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position)
    path = tmp_path / "0.dcm"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x20\x00\x0e\x00UI", b"\x20\x00\x0e\x00Ui"))
    assert path.read_bytes() != content
    if not is_folder:
        with pytest.raises(VolumeError, match=r"0\.dcm cannot be read .* copy the file again"):
            read_scan(path)
        return
    (note,) = read_scan(tmp_path).notes
    assert "left out a file: 0.dcm cannot be read" in note


def test_projections_are_told(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    kinds = ["DERIVED", "SECONDARY", "MPR", "MIP"]
    write_series(tmp_path, hu[:4], stack(4), ImageType=kinds)
    (note,) = read_scan(tmp_path).notes
    assert note.startswith("the slices are projections (MIP)")


def test_a_page_in_colours_among_the_slices_is_left_out_and_told(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path, hu, stack(4))
    page = tmp_path / "report.dcm"
    write_slice(page, hu[0], stack(1)[0], ImagePositionPatient=None, SamplesPerPixel=3)
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, hu - 1024)
    assert scan.notes == ("left out 1 pictures in colours, no slices: report.dcm",)
    write_slice(page, hu[0], stack(1)[0], ImagePositionPatient=None)
    with pytest.raises(VolumeError, match=r"got none in report\.dcm; .*, or move these files away"):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    "tags", [{"RescaleType": "Z_EFF"}, {"ImageType": ["DERIVED", "SECONDARY", "MPR", "MIP"]}]
)
def test_a_map_of_another_unit_or_a_projection_is_not_taken_before_the_ct(
    tmp_path: Path, hu: NDArray[np.int16], tags: dict
) -> None:
    write_series(tmp_path, hu[:3], stack(3))
    write_series(tmp_path, hu, stack(4), SeriesInstanceUID=f"{SERIES}.1", **tags)
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, hu[:3] - 1024)
    assert scan.notes[0].endswith(f"takes another: {SERIES}.1 (4 slices)")


@pytest.mark.parametrize(
    ("padding", "is_told"), [((0,), True), ((500, 300), True), ((100,), False), ((-1000,), False)]
)
@pytest.mark.parametrize("is_signed", [True, False])
def test_much_padding_with_the_hu_of_a_body_is_told(
    tmp_path: Path, hu: NDArray[np.int16], padding: tuple, is_told: bool, is_signed: bool
) -> None:
    offset = 0 if is_signed else -1024
    stored = hu - offset
    stored[:, 0] = padding[0] - offset
    if padding == (100,):
        stored[:, 0] = 900
    tags = dict(zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), padding, strict=False))
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", stored[n], position, RescaleIntercept=offset,
                    PixelRepresentation=int(is_signed))  # fmt: skip
        dataset = pydicom.dcmread(tmp_path / f"{n}.dcm")
        for name, value in tags.items():
            kind = "SS" if is_signed else "US"
            dataset.add_new(name, kind, value - offset)
        dataset.save_as(tmp_path / f"{n}.dcm")
    notes = read_scan(tmp_path).notes
    wanted = f"% of the pixels are padding (Pixel Padding Value) of {max(padding)} HU"
    assert [wanted in note for note in notes] == [True] * is_told
