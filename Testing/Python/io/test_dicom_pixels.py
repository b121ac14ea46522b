"""Stored numbers of DICOM files: in every way of storing them that pydicom writes, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_cases import stack, write_enhanced, write_slice
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

IN_FRAGMENTS = "1.2.840.10008.1.2.1.98"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


@pytest.fixture
def stored(rng: np.random.Generator) -> NDArray[np.int16]:
    """Numbers of a small CT (4, 5, 6)."""
    return rng.integers(0, 3000, (4, 5, 6)).astype(np.int16)


def _in_fragments(path: Path, frames: NDArray[np.int16]) -> None:
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = IN_FRAGMENTS
    dataset.PixelData = encapsulate([frame.tobytes() for frame in frames])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)


def test_a_slice_in_fragments_is_not_shifted_by_their_marks(
    tmp_path: Path, stored: NDArray[np.int16]
) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, stored[0], stack(1)[0])
    _in_fragments(path, stored[:1])
    assert np.array_equal(read_scan(path).volume.array_kji, stored[:1] - 1024)


def test_frames_in_fragments_are_not_shifted_by_their_marks(
    tmp_path: Path, stored: NDArray[np.int16]
) -> None:
    path = tmp_path / "many.dcm"
    write_enhanced(path, stored, stack(4))
    _in_fragments(path, stored)
    assert np.array_equal(read_scan(path).volume.array_kji, stored - 1024)


def test_bytes_in_words_of_the_other_order_are_those_of_itk(
    tmp_path: Path, stored: NDArray[np.int16]
) -> None:
    path = tmp_path / "one.dcm"
    pixels = stored[0].astype(np.uint8)
    write_slice(path, pixels, stack(1)[0], BitsAllocated=8, BitsStored=8, HighBit=7,
                PixelRepresentation=0)  # fmt: skip
    dataset = pydicom.Dataset({element.tag: element for element in pydicom.dcmread(path)})
    dataset.file_meta = pydicom.dcmread(path).file_meta
    dataset.file_meta.TransferSyntaxUID = BIG_ENDIAN
    dataset.PixelData = pixels.view("<u2").byteswap().tobytes()
    dataset["PixelData"].VR = "OW"
    pydicom.dcmwrite(
        path, dataset, little_endian=False, implicit_vr=False, enforce_file_format=True
    )
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0], pixels - 1024.0)
    assert np.array_equal(read_scan(path).volume.array_kji[0], pixels - 1024.0)


def test_a_palette_is_not_taken_for_hu(tmp_path: Path, stored: NDArray[np.int16]) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, stored[0], stack(1)[0], PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(VolumeError, match="a palette of colours in place of grey values"):
        read_scan(path)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000"), ("1.2.3.4", r"1\.2\.3\.4")],
)
def test_a_packing_that_nobody_decodes_is_refused_by_its_name(
    tmp_path: Path, stored: NDArray[np.int16], syntax: str, name: str
) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, stored[0], stack(1)[0])
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stored[0].tobytes()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(VolumeError, match=f"packed as {name}.* save the series without compress"):
        read_scan(path)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_packed_slice_that_ends_early_is_refused(
    tmp_path: Path, stored: NDArray[np.int16], share: float
) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, np.tile(stored[0], (8, 8)), stack(1)[0], PixelRepresentation=0)
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share) // 2 * 2]])
    dataset.save_as(path)
    with pytest.raises(VolumeError, match=r"one\.dcm is cut off or damaged"):
        read_scan(path)


def test_pixels_beyond_the_rows_are_told_and_frames_beyond_their_number_refused(
    tmp_path: Path, stored: NDArray[np.int16]
) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", stored[n], position, Rows=4)
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, stored[:, :4] - 1024)
    assert "4 files hold more than the pixels that their headers name, such as 0" in scan.notes[0]
    path = tmp_path / "0.dcm"
    write_slice(path, stored[:2].reshape(10, 6), stack(1)[0], Rows=5)
    with pytest.raises(VolumeError, match=r"0\.dcm is cut off or damaged .* frames too many"):
        read_scan(path)


@pytest.mark.parametrize(
    ("behind", "is_told"),
    [
        (b"", False),
        (b"\n", False),  # a byte that makes a length even
        (bytes(512), False),
        (b"\xfc\xff\xfc\xff" + b"OB\0\0\2\0\0\0\1\1", False),  # padding of the standard
        (b"\xe1\x7f\x10\0LO\4\0GEMS", False),  # of a maker
        (b"surplus", True),
    ],
)
def test_bytes_behind_the_last_element_are_told(
    tmp_path: Path, stored: NDArray[np.int16], behind: bytes, is_told: bool
) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, stored[0], stack(1)[0])
    path.write_bytes(path.read_bytes() + behind)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.array_kji, stored[:1] - 1024)
    told = ["1 files hold more than the pixels" in note for note in scan.notes[1:]]
    assert told == [True] * is_told


def test_a_slice_that_was_copied_as_text_is_not_read_in_silence(
    tmp_path: Path, stored: NDArray[np.int16]
) -> None:
    path = tmp_path / "one.dcm"
    stored[0, 2, :3] = 0x0A10, 0x0A20, 0x0A30
    write_slice(path, stored[0], stack(1)[0])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert "copy the files again (not as text)" in read_scan(path).notes[1]


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, "got 12 of 12 bits in one"),
        ({"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63}, "got 64 of 64 bits in one"),
        ({"BitsStored": 12, "HighBit": 15}, "got a highest bit 15 of 12 bits in one"),
    ],
)
def test_pixels_of_other_lengths_say_what_to_do(
    tmp_path: Path, stored: NDArray[np.int16], tags: dict, text: str
) -> None:
    write_slice(tmp_path / "one.dcm", stored[0], stack(1)[0], **tags)
    with pytest.raises(VolumeError, match=rf"{text}\.dcm; save the series again with 16 bits"):
        read_scan(tmp_path / "one.dcm")


def _jpeg_frames(folder: Path, stored: NDArray[np.uint16]) -> tuple[list[bytes], str]:
    """Return lossless JPEG of each plane, and the name of that packing."""
    frames = []
    for plane in stored:
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(folder / "jpeg.dcm"))
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(plane[None]))
        dataset = pydicom.dcmread(folder / "jpeg.dcm")
        frames += generate_frames(dataset.PixelData, number_of_frames=1)
    return frames, dataset.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("way", ["pieces", "pieces without a table", "64-bit table", "one missing"])
def test_packed_frames_are_found_however_they_are_cut(
    tmp_path: Path, rng: np.random.Generator, way: str
) -> None:
    numbers = rng.integers(0, 4000, (4, 64, 48)).astype(np.uint16)
    frames, syntax = _jpeg_frames(tmp_path, numbers)
    path = tmp_path / "many.dcm"
    write_enhanced(path, numbers, stack(4), PixelRepresentation=0)
    dataset = pydicom.dcmread(path)
    if way == "64-bit table":
        content, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = (
            encapsulate_extended(frames)
        )
    else:
        pieces = 1 if way == "one missing" else 3
        given = frames[: 3 if way == "one missing" else 4]
        content = encapsulate(given, pieces, has_bot="without" not in way)
    dataset.PixelData = content
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    if way == "one missing":
        with pytest.raises(VolumeError, match=r"many\.dcm is .*3 packed frames in place of 4"):
            read_scan(path)
    else:
        assert np.array_equal(read_scan(path).volume.array_kji, numbers.astype(int) - 1024)


@pytest.mark.parametrize(("at", "value"), [(6, 18), (6, 48), (8, 49), (10, 0), (3, 0xC4)])
def test_jpeg_that_would_end_the_process_is_refused(
    tmp_path: Path, rng: np.random.Generator, at: int, value: int
) -> None:
    numbers = rng.integers(0, 4000, (1, 64, 48)).astype(np.uint16)
    (frame,), syntax = _jpeg_frames(tmp_path, numbers)
    assert frame[:7] == b"\xff\xd8\xff\xc3\0\x0b\x10"
    path = tmp_path / "one.dcm"
    write_slice(path, numbers[0], stack(1)[0], PixelRepresentation=0)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    damaged = bytearray(frame)
    damaged[at] = value
    for content in (frame, b"\xff\xd8\xff" + frame[2:], damaged):
        dataset.PixelData = encapsulate([bytes(content)])
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
        dataset.save_as(path)
        if content is damaged:
            with pytest.raises(VolumeError, match=r"one\.dcm is cut off or damaged \(JPEG "):
                read_scan(path)
        else:
            assert np.array_equal(read_scan(path).volume.array_kji, numbers.astype(int) - 1024)


@pytest.mark.parametrize("header", [b"\0\0", b"\3\0", b"\2\0\0\0\x41"])
def test_run_lengths_that_would_end_the_process_are_refused(
    tmp_path: Path, stored: NDArray[np.int16], header: bytes
) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, np.tile(stored[0], (8, 8)), stack(1)[0], PixelRepresentation=0)
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([header + frame[len(header) :]])
    dataset.save_as(path)
    with pytest.raises(VolumeError, match="segments of run lengths in place of 2"):
        read_scan(path)


@pytest.mark.parametrize("is_bare", [True, False])
@pytest.mark.parametrize("is_little", [True, False])
def test_a_file_that_does_not_say_its_byte_order_is_read_in_the_one_that_it_has(
    tmp_path: Path, stored: NDArray[np.int16], is_bare: bool, is_little: bool
) -> None:
    for n, position in enumerate(stack(4)):
        path = tmp_path / f"{n}.dcm"
        write_slice(path, stored[n], position)
        dataset = pydicom.dcmread(path)
        if not is_little:
            dataset.PixelData = stored[n].astype(">i2").tobytes()
        dataset["PixelData"].VR = "OW"
        del dataset.file_meta
        dataset.preamble = None
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=is_little)
        if not is_bare:
            meta = b"\x02\0\0\0UL\4\0\x0e\0\0\0\x02\0\1\0OB\0\0\2\0\0\0\0\1"
            path.write_bytes(bytes(128) + b"DICM" + meta + path.read_bytes())
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, stored - 1024)
    assert not scan.notes


def test_pixels_of_decimals_say_what_to_do(tmp_path: Path, stored: NDArray[np.int16]) -> None:
    path = tmp_path / "one.dcm"
    write_slice(path, stored[0], stack(1)[0])
    dataset = pydicom.dcmread(path)
    dataset.FloatPixelData, dataset.BitsAllocated = stored[0].astype("<f4").tobytes(), 32
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(VolumeError, match=r"got decimals \(Float Pixel Data\) in one\.dcm; save"):
        read_scan(path)


def test_a_table_in_place_of_a_slope_says_to_export_again(
    tmp_path: Path, stored: NDArray[np.int16]
) -> None:
    table = pydicom.Dataset()
    table.ModalityLUTType = "HU"
    write_slice(tmp_path / "one.dcm", stored[0], stack(1)[0], ModalityLUTSequence=[table])
    with pytest.raises(VolumeError, match=r"Modality LUT\)\); export the CT again"):
        read_scan(tmp_path / "one.dcm")
