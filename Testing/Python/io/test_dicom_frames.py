"""DICOM files of many frames and compressed ones: place, order and HU of every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_cases import stack, write_enhanced, write_slice
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan, read_volume


def test_frames_have_their_own_place_and_rescale(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    rescales = [(1, -1024), (2, 0), (0.5, 10), (1, 0)]
    order = [2, 0, 3, 1]
    positions = [stack(4)[index] for index in order]
    write_enhanced(tmp_path / "ct.dcm", hu, positions, rescales)
    volume = read_volume(tmp_path / "ct.dcm")
    assert volume.geometry.spacing_mm == pytest.approx((0.75, 0.8, 2.5))
    assert volume.geometry.origin_ras == pytest.approx((110.5, -20.25, 300))
    for frame, k in enumerate(order):
        slope, intercept = rescales[frame]
        assert volume.array_kji[k] == pytest.approx(hu[frame] * slope + intercept)


def test_compressed_frames_are_those_of_plain_ones(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    rescales = [(1, -1024), (2, 0), (0.5, 10), (1, 0)]
    stored = np.abs(hu).astype(np.uint16)
    write_enhanced(tmp_path / "ct.dcm", stored, stack(4), rescales, PixelRepresentation=0)
    plain = read_volume(tmp_path / "ct.dcm").array_kji
    dataset = pydicom.dcmread(tmp_path / "ct.dcm")
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "packed.dcm")
    assert np.array_equal(read_volume(tmp_path / "packed.dcm").array_kji, plain)


@pytest.mark.parametrize("codec", ["JPEG2000", "JPEG"])
def test_compressed_slices_are_decoded(
    tmp_path: Path, rng: np.random.Generator, codec: str
) -> None:
    array = rng.integers(0, 4000, (1, 64, 48)).astype(np.uint16)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "ct.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(codec)
    writer.Execute(sitk.GetImageFromArray(array))
    dataset = pydicom.dcmread(tmp_path / "ct.dcm")
    assert dataset.file_meta.TransferSyntaxUID.is_compressed
    dataset.Modality, dataset.SliceThickness = "CT", 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.ImagePositionPatient, dataset.PixelSpacing = [0, 0, 0], [1, 1]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.save_as(tmp_path / "ct.dcm")
    volume = read_scan(tmp_path / "ct.dcm").volume
    assert np.array_equal(volume.array_kji, array.astype(int) - 1024)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"positions": stack(5)[:2] + stack(5)[3:]}, r"5\.00 mm between frame 2 of ct\.dcm and"),
        ({"positions": stack(3) + stack(1)}, r"frame 1 of ct\.dcm and frame 4 of ct\.dcm lie at"),
        ({"positions": stack(2) + stack(2)}, "every place occurs 2 times, as in several phases"),
        ({"positions": stack(4, (0, 0.5, 2.5))}, r"a gantry tilt of 11\.31 degrees"),
        ({"stacks": ["1", "1", "2", "2"]}, "expected one stack .* got stacks 1, 2"),
        ({"NumberOfFrames": 3}, "3 frames by their number, 4 by their places"),
    ],
    ids=["missing", "doubled", "phases", "tilted", "stacks", "number"],
)
def test_frames_that_form_no_stack_are_refused(
    tmp_path: Path, hu: NDArray[np.int16], options: dict, text: str
) -> None:
    write_enhanced(tmp_path / "ct.dcm", hu, **{"positions": stack(4), **options})
    with pytest.raises(VolumeError, match=text):
        read_volume(tmp_path / "ct.dcm")


@pytest.mark.parametrize("tag", ["TemporalPositionIndex", "FrameAcquisitionNumber"])
@pytest.mark.parametrize("take_turns", [True, False])
def test_frames_that_take_turns_are_told(
    tmp_path: Path, hu: NDArray[np.int16], tag: str, take_turns: bool
) -> None:
    path = tmp_path / "ct.dcm"
    write_enhanced(path, hu, stack(len(hu)))
    dataset = pydicom.dcmread(path)
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        content = pydicom.Dataset()
        setattr(content, tag, 1 + n % 2 * take_turns)
        frame.FrameContentSequence = [content]
    dataset.save_as(path)
    assert ["as where two scans were mixed" in note for note in read_scan(path).notes] == (
        [True] * take_turns
    )


def test_a_gantry_tilt_that_the_places_do_not_show_is_told(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    path = tmp_path / "ct.dcm"
    write_enhanced(path, hu, stack(len(hu)))
    dataset = pydicom.dcmread(path)
    details = pydicom.Dataset()
    details.GantryDetectorTilt = 15
    dataset.PerFrameFunctionalGroupsSequence[2].CTAcquisitionDetailsSequence = [details]
    dataset.save_as(path)
    assert "a gantry tilt of 15 degrees" in read_scan(path).notes[0]


def test_a_part_of_a_scan_in_several_files_is_told(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    places = stack(len(hu))
    for n in range(2):
        half = slice(2 * n, 2 * n + 2)
        write_enhanced(tmp_path / f"{n}.dcm", hu[half], places[half],
                       InConcatenationNumber=n + 1, InConcatenationTotalNumber=2)  # fmt: skip
    scan = read_scan(tmp_path)
    assert (len(scan.volume.array_kji), scan.notes) == (4, ())
    (tmp_path / "1.dcm").unlink()
    (note,) = read_scan(tmp_path).notes
    assert "cut into 2 files (a concatenation), got 1; give a folder with all" in note


@pytest.mark.parametrize(
    ("group", "tag", "values", "name"),
    [
        ("CTXRayDetailsSequence", "KVP", (80, 140), "KVP"),
        ("CTReconstructionSequence", "ConvolutionKernel", ("A", "B"), "Convolution Kernel"),
        ("PixelMeasuresSequence", "SliceThickness", (2.5, 5), "Slice Thickness"),
        ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", (10, 60), "Cardiac"),
        ("ContrastBolusUsageSequence", "ContrastBolusAgentNumber", (1, 2), "Contrast/Bolus"),
        ("FrameContentSequence", "FrameAcquisitionDateTime", ("20260101", "20260102"), "DateTime"),
    ],
)
@pytest.mark.parametrize("is_mixed", [True, False])
def test_frames_that_differ_in_a_group_of_their_own_are_told(
    tmp_path: Path, hu: NDArray[np.int16], group: str, tag: str, values: tuple, name: str,
    is_mixed: bool,
) -> None:  # fmt: skip
    path = tmp_path / "ct.dcm"
    write_enhanced(path, hu, stack(4))
    dataset = pydicom.dcmread(path)
    (measures,) = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = pydicom.Dataset()
        item.PixelSpacing = measures.PixelSpacing
        setattr(item, tag, values[n % 2 if is_mixed else 0])
        setattr(frame, group, [item])
    dataset.save_as(path)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.array_kji, hu.astype(int) - 1024)
    told = [f"slices differ in {name}" in note or name in note for note in scan.notes]
    assert told == [True] * is_mixed


def test_frames_and_slices_of_one_series_are_one_volume(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_enhanced(tmp_path / "ct.dcm", hu[:2], stack(2))
    for n in (2, 3):
        write_slice(tmp_path / f"{n}.dcm", hu[n], stack(4)[n])
    assert np.array_equal(read_scan(tmp_path).volume.array_kji, hu.astype(int) - 1024)
