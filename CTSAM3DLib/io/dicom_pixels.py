"""Pixels of DICOM frames as HU.

Own code for stored numbers that are not compressed; ITK, which reads compressed ones, rescales all
frames of a file as the first, and turns the numbers of MONOCHROME1 round.
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.dicom_frames import Frame, frame_count, quiet_pydicom
from CTSAM3DLib.io.header_numbers import checked_size
from CTSAM3DLib.io.simpleitk import itk_reason, optional_module, printable, silent_simpleitk

_RATIO = 10_000  # no codec packs better
_UNCOMPRESSED = {
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.1.98",
}  # fmt: skip
_IN_FRAGMENTS = "1.2.840.10008.1.2.1.98"  # not compressed, but packed like what is
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_GROUPS_BEHIND = (0xFFFA, 0xFFFC)  # signatures and padding; private groups have odd numbers
_JPEG = ("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.6", "1.2.840.10008.1.2.4.7",
         "1.2.840.10008.1.2.4.8")  # fmt: skip
_RLE, _RLE_HEADER = "1.2.840.10008.1.2.5", 64
_BODY_HU, _MUCH_PADDING = -300.0, 0.05
_JPEG_START = b"\xff\xd8"
_JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # the last one is of JPEG-LS
_FRAMES_OF_WORDS = "1.2.840.10008.5.1.4.1.1.7.3"  # a class of images without places
_FRAMES_OF_BYTES = "1.2.840.10008.5.1.4.1.1.7.2"


class _OddPixelsError(ValueError):
    """The pixels are stored in a way that is not understood."""


def read_pixels(frames: Sequence[Frame]) -> tuple[list[NDArray[Any]], list[str]]:
    """Return the HU of frames of any files, each (rows, columns), in the order given, and notes.

    The numbers are int16 or int32 where slope and intercept are whole numbers, float32 otherwise.
    The notes name files that hold more than the pixels of their header. Raises VolumeError: a file
    is cut off, cannot be decoded or is stored in a way that is not understood; its name is told.
    """
    found: dict[int, NDArray[Any]] = {}
    longer: list[str] = []
    for file in dict.fromkeys(frame.file for frame in frames):
        wanted = {id(frame): frame for frame in frames if frame.file == file}
        stored, surplus = _stored(file)
        longer += [printable(file.name)] * (surplus > 1)  # one byte makes a length even
        for key, frame in wanted.items():
            found[key] = _rescaled(stored(frame.number), frame)
    notes = [
        f"{len(longer)} files hold more than the pixels that their headers name, such as "
        f"{name}; took the pixels by the header. Look whether Rows, Columns and Bits Allocated are "
        "right, copy the files again (not as text), or export the CT again"
        for name in longer[:1]
    ]
    return [found[id(frame)] for frame in frames], notes + _padding_note(frames, found)


def _padding_note(frames: Sequence[Frame], found: dict[int, NDArray[Any]]) -> list[str]:
    """Return what to tell about much padding that has the HU of a body."""
    padded = total = 0
    for frame in frames:
        total += found[id(frame)].size
        if frame.padding and frame.padding[-1] > _BODY_HU:
            low, high = frame.padding[0], frame.padding[-1]
            padded += int(((found[id(frame)] >= low) & (found[id(frame)] <= high)).sum())
    if padded <= _MUCH_PADDING * total:
        return []
    named = max(frame.padding[-1] for frame in frames if frame.padding)
    return [
        f"{100 * padded / total:.0f} % of the pixels are padding (Pixel Padding Value) of "
        f"{named:g} HU, as a body may have; took them as they are, as Slicer does"
    ]


def _stored(file: Path) -> tuple[Callable[[int], NDArray[Any]], int]:
    """Return what gives the stored numbers of a frame, and how many bytes follow all frames."""
    pydicom = optional_module("pydicom", "DICOM")

    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(file, force=True)
            if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
                raise _OddPixelsError("decimals (Float Pixel Data)")
            if "PixelData" not in dataset or not len(dataset.PixelData):
                raise ValueError("it holds no pixels")
            meta = getattr(dataset, "file_meta", {})
            is_little = dataset.original_encoding[1] is not False
            plain = "1.2.840.10008.1.2" if is_little else _BIG_ENDIAN
            syntax = str(meta.get("TransferSyntaxUID") or plain)
            is_native = syntax in _UNCOMPRESSED
            images, surplus = _native(dataset, syntax) if is_native else (_decoded(dataset), 0)
            surplus += _behind(file, dataset, syntax) if is_native else 0
    except _OddPixelsError as error:
        raise VolumeError(
            f"expected pixels of 8, 16 or 32 bits, got {error} in {printable(file.name)}; save the "
            "series again with 16 bits a pixel"
        ) from error
    except ImportError:
        raise
    except Exception as error:  # pydicom raises what it meets
        reason = itk_reason(error) or type(error).__name__
        raise VolumeError(
            f"expected readable DICOM slices, got: {printable(file.name)} is cut off or damaged "
            f"({reason}); copy the file again, or save the series without compression"
        ) from error
    return lambda number: images[number], surplus


def _native(dataset: Any, syntax: str) -> tuple[NDArray[Any], int]:
    """Return the numbers (frames, rows, columns) of plain pixels, and how many bytes follow."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise _OddPixelsError(f"{stored} of {allocated} bits")
    if int(dataset.get("HighBit", stored - 1)) != stored - 1:
        raise _OddPixelsError(f"a highest bit {dataset.HighBit} of {stored} bits")
    is_signed = bool(dataset.PixelRepresentation)
    order = ">" if syntax == _BIG_ENDIAN else "<"
    kind = np.dtype(f"{order}{'i' if is_signed else 'u'}{allocated // 8}")
    shape = (frame_count(dataset), int(dataset.Rows), int(dataset.Columns))
    wanted = math.prod(shape) * kind.itemsize
    content = dataset.PixelData
    if syntax == _IN_FRAGMENTS:
        frames_of = import_module("pydicom.encaps").generate_frames
        content = b"".join(frames_of(content, number_of_frames=shape[0]))
    if len(content) < wanted:
        raise ValueError(f"{len(content)} of {wanted} bytes of pixels")
    surplus = len(content) - wanted
    if surplus >= wanted // shape[0]:
        raise ValueError(f"{len(content)} bytes of pixels in place of {wanted}: frames too many")
    if syntax == _BIG_ENDIAN and allocated == 8 and dataset["PixelData"].VR == "OW":
        content = np.frombuffer(content, ">u2").astype("<u2").tobytes()  # two pixels a word
    numbers = np.frombuffer(content, kind, math.prod(shape)).reshape(shape)
    if stored == allocated:
        return numbers, surplus
    # What stands above the stored bits belongs to no number.
    spare = allocated - stored
    native = numbers.astype(kind.newbyteorder("="))
    return (native << spare) >> spare, surplus


def _behind(file: Path, dataset: Any, syntax: str) -> int:
    """Return how many bytes follow plain pixels and are no element, as where a copy added some."""
    if syntax == _DEFLATED:
        return 0
    pixels = dataset["PixelData"]
    with file.open("rb") as stream:
        stream.seek(pixels.file_tell + len(pixels.value))
        rest = stream.read()
    group = int.from_bytes(rest[:2], "big" if syntax == _BIG_ENDIAN else "little")
    is_element = group > pixels.tag.group and (group % 2 == 1 or group in _GROUPS_BEHIND)
    return 0 if is_element else len(rest.rstrip(b"\0"))


def _decoded(dataset: Any) -> NDArray[Any]:
    """Return the numbers (frames, rows, columns) of compressed pixels, as they were stored."""
    # A copy without rescale and place: ITK would apply those of the first frame to all.
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence",
                 "RescaleSlope", "RescaleIntercept"):  # fmt: skip
        if name in dataset:
            delattr(dataset, name)
    dataset.PhotometricInterpretation = "MONOCHROME2"
    _one_fragment_a_frame(dataset)
    expected = (frame_count(dataset), int(dataset.Rows), int(dataset.Columns))
    checked_size(expected, 1, len(dataset.PixelData) * _RATIO)
    if frame_count(dataset) > 1:
        one_byte = int(dataset.BitsAllocated) == 8
        dataset.SOPClassUID = _FRAMES_OF_BYTES if one_byte else _FRAMES_OF_WORDS
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    with tempfile.TemporaryDirectory() as folder, silent_simpleitk() as sitk:
        copy = str(Path(folder) / "image.dcm")
        dataset.save_as(copy)
        try:
            array: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(copy))
        except RuntimeError as error:  # what SimpleITK raises
            name = getattr(dataset.file_meta.TransferSyntaxUID, "name", "")
            raise ValueError(
                f"pixels packed as {name} cannot be decoded: {itk_reason(error)}"
            ) from error
    if array.shape != expected:
        raise ValueError(f"{array.shape} pixels in place of {expected}")
    return array


def _one_fragment_a_frame(dataset: Any) -> None:
    """Pack compressed frames anew, each as one piece: GDCM knows no other frames than these."""
    encaps = import_module("pydicom.encaps")
    names = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    offsets = tuple(dataset[name].value for name in names if name in dataset)
    count = frame_count(dataset)
    frames = list(
        encaps.generate_frames(
            dataset.PixelData,
            number_of_frames=count,
            extended_offsets=offsets if len(offsets) == len(names) else None,
        )
    )
    if len(frames) != count:
        raise ValueError(f"{len(frames)} packed frames in place of {count}")
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    for frame in frames:
        if syntax.startswith(_JPEG):
            _check_jpeg(frame, dataset)
        elif syntax == _RLE:
            _check_rle(frame, dataset)
    dataset.PixelData = encaps.encapsulate(frames)
    for name in names:
        if name in dataset:
            delattr(dataset, name)


def _check_jpeg(frame: bytes, dataset: Any) -> None:
    """Raise ValueError for JPEG of another size: of too many bits, GDCM ends the process."""
    at = len(_JPEG_START)
    while frame[at : at + 1] == b"\xff":
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAMES:
            bits, rows, columns = struct.unpack_from(">B2H", frame.ljust(at + 9, b"\0"), at + 4)
            if bits > int(dataset.BitsAllocated) or (rows, columns) != (
                int(dataset.Rows),
                int(dataset.Columns),
            ):
                raise ValueError(f"JPEG of {bits} bits and {rows} x {columns} pixels")
            return
        at += 1 if marker == 0xFF else 2 + length  # which may be filled up
    raise ValueError("JPEG without a size")


def _check_rle(frame: bytes, dataset: Any) -> None:
    """Raise ValueError for run lengths of other segments: of none, GDCM ends the process."""
    count, *starts = struct.unpack("<16I", frame[:_RLE_HEADER].ljust(_RLE_HEADER, b"\0"))
    wanted = int(dataset.BitsAllocated) // 8
    if count != wanted or [_RLE_HEADER, *sorted(starts[1:count])] != starts[:count]:
        raise ValueError(f"{count} segments of run lengths in place of {wanted}")


def _rescaled(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Return HU, as whole numbers where they are."""
    if not (frame.slope.is_integer() and frame.intercept.is_integer()):
        return (stored * frame.slope + frame.intercept).astype(np.float32)
    numbers = stored.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    short = np.iinfo(np.int16)
    fits = short.min <= numbers.min() and numbers.max() <= short.max
    return numbers.astype(np.int16 if fits else np.int32)
