"""Frames of DICOM files: place and rescale of each one, of a slice a file or of many in one."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.simpleitk import optional_module, printable

_PROJECTION = {"MIP", "MAX_IP", "CSA MIP", "MINIP", "MIN_IP", "CSA MINIP"}  # of Image Type
_LOCALIZER = {"LOCALIZER", "SCOUT", "TOPOGRAM", "TOPO"}  # values of Image Type
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_BIG_ENDIAN_GROUP = b"\x00\x08\x00"  # and the first byte of an element
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES, _PIECE, _MOST_BYTES = 1 << 12, 1 << 20, 1 << 30
_CHECKED_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
    "Modality", "ImageType", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel",
    "BitsAllocated",
    "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "FrameOfReferenceUID", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "GantryDetectorTilt",
    "InConcatenationNumber", "InConcatenationTotalNumber", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RealWorldValueMappingSequence",
]  # fmt: skip
_HU_CODES = {"[hnsf'U]", "HU"}  # Of UCUM, and as some programs write it
# What slices of one scan have in common; of these the acquisition and its times alone may change on
# the way.
_MARKS = {
    "SeriesNumber": "Series Number", "AcquisitionNumber": "Acquisition Number", "KVP": "KVP",
    "ConvolutionKernel": "Convolution Kernel", "PatientPosition": "Patient Position",
    "TemporalPositionIdentifier": "Temporal Position Identifier",
    "SliceThickness": "Slice Thickness", "TemporalPositionIndex": "Temporal Position Index",
    "FrameAcquisitionNumber": "Frame Acquisition Number", "AcquisitionTime": "Acquisition Time",
    "TriggerTime": "Trigger Time", "SeriesDescription": "Series Description",
    "NominalPercentageOfCardiacPhase": "Nominal Percentage of Cardiac Phase",
    "ContrastBolusAgent": "Contrast/Bolus Agent",
    "ReconstructionDiameter": "Reconstruction Diameter",
    "FrameAcquisitionDateTime": "Frame Acquisition DateTime",
    "ContrastBolusAgentNumber": "Contrast/Bolus Agent Number",
    "PatientName": "Patient's Name", "PatientBirthDate": "Patient's Birth Date",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: where it is stored, where it lies and how its numbers become HU."""

    file: Path
    instance: str  # SOP Instance UID of the file
    # Values that slices of one scan have in common, by the name of their element
    marks: Mapping[str, str]
    part: tuple[int, int]  # Which file of how many that the scan was cut into (a concatenation)
    # number, count: Which frame of how many in the file
    number: int
    count: int
    tilt: float  # Of the gantry by the header, degrees; 0 when the file says nothing
    # study, series, patient, modality, reference, stack: Of the file, the last one of the
    # frame; the reference is what positions count from
    study: str
    series: str
    patient: str
    modality: str
    reference: str
    stack: str
    is_localizer: bool  # Whether the file calls it an overview picture
    projection: str  # Kind of projection that the file says it is; empty for none
    size: tuple[int, int]  # Columns and rows
    samples: int  # Values a pixel
    # position, row, column: LPS mm and directions; empty when the file has none
    position: tuple[float, ...]
    row: tuple[float, ...]
    column: tuple[float, ...]
    spacing: tuple[float, ...]  # Between rows, between columns, mm; empty when the file has none
    thickness: float | None  # mm
    between: float | None  # Distance of slices by the header, mm
    # slope, intercept: From stored numbers to HU
    slope: float
    intercept: float
    is_rescaled: bool  # Whether the file gives both
    unit: str  # Of the rescaled numbers, when the file names one
    is_inverted: bool  # Whether small numbers are shown white (MONOCHROME1)
    # Lowest and highest HU of pixels outside the measured field; empty when the file names none
    padding: tuple[float, ...]

    @property
    def name(self) -> str:
        """File name, with the number of the frame where there are many."""
        name = printable(self.file.name)
        return name if self.count == 1 else f"frame {self.number + 1} of {name}"

    @property
    def is_picture(self) -> bool:
        """Whether it is no slice: an overview, or a page in colours without a place."""
        return self.is_localizer or (self.samples != 1 and not self.position)

    @property
    def text(self) -> str:
        """Size, pixel spacing and directions for a message."""
        between_rows, between_columns = self.spacing
        axes = [[round(value, 3) for value in axis] for axis in (self.row, self.column)]
        spacing = f"{between_columns:.4g} x {between_rows:.4g} mm"
        return f"{self.size[0]} x {self.size[1]} pixels of {spacing} along LPS {axes}"


def is_dicom(file: Path) -> bool:
    """Whether a file begins as DICOM files do, with or without the preamble of 128 bytes."""
    with file.open("rb") as stream:
        start = stream.read(132)
    is_big_endian = start.startswith(_BIG_ENDIAN_GROUP) and start[4:6].isupper()
    is_bare = is_big_endian or (start[:2] in _FIRST_GROUPS and start[3:4] == b"\0")
    return is_bare or start[128:] == b"DICM"


class _OtherNumbersError(ValueError):
    """A whole file stores its numbers in a way that is not read."""


class BrokenSliceError(VolumeError):
    """A DICOM file cannot be read; its series is told when it is known."""

    def __init__(self, message: str, series: str = "") -> None:
        super().__init__(message)
        self.series = series


def read_frames(file: Path) -> list[Frame]:
    """Return the frames of a DICOM file, without pixels, or none; BrokenSliceError: damaged."""
    pydicom = optional_module("pydicom", "DICOM")

    dataset = None
    try:
        _check_inflated(file)
        with quiet_pydicom():
            tags = [*_CHECKED_TAGS, *_MARKS]
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
            if "Rows" not in dataset:
                if _should_be_image(dataset):
                    raise ValueError("the file ends before its image")
                return []
            return [_frame(file, dataset, number) for number in range(frame_count(dataset))]
    except Exception as error:  # pydicom raises what it meets
        series = ""
        with suppress(Exception), quiet_pydicom():
            series = str(dataset.get("SeriesInstanceUID", "")) if dataset is not None else ""
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        is_whole = isinstance(error, _OtherNumbersError)
        reason, do = (str(error), "export the CT") if is_whole else (reason, "copy the file")
        raise BrokenSliceError(
            f"{printable(file.name)} cannot be read ({reason}); {do} again", series
        ) from error


def _check_inflated(file: Path) -> None:
    """Raise ValueError for a deflated file that becomes huge: pydicom inflates it in one piece."""
    with file.open("rb") as stream:
        start = stream.read(_META_BYTES)
        if start[128:138] != b"DICM\x02\0\0\0UL" or _DEFLATED not in start:
            return
        stream.seek(144 + int.from_bytes(start[140:144], "little"))
        inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while piece := inflater.unconsumed_tail or stream.read(_PIECE):
            total += len(inflater.decompress(piece, _PIECE))
            if total > _MOST_BYTES:
                raise ValueError(f"it inflates to more than {_MOST_BYTES} bytes")


def _should_be_image(dataset: Any) -> bool:
    """Whether a file without rows is one of images, or is cut off before it says what it is."""
    meta = getattr(dataset, "file_meta", {})
    uid = dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    kind = getattr(uid, "name", "")
    if kind == "Media Storage Directory Storage":
        return False
    return "Image Storage" in kind or "SeriesInstanceUID" not in dataset


def frame_count(dataset: Any) -> int:
    """Return the number of frames, checked against the frames that have a place."""
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if count < 1 or (frames is not None and len(frames) != count):
        raise ValueError(f"{count} frames by their number, {len(frames or ())} by their places")
    return count


def _frame(file: Path, dataset: Any, number: int) -> Frame:
    def group(name: str) -> Any:
        """Return the functional group of this frame, else of all frames, else the file."""
        for sequence, index in (
            ("PerFrameFunctionalGroupsSequence", number),
            ("SharedFunctionalGroupsSequence", 0),
        ):
            items = dataset.get(sequence)
            if items and items[index].get(name):
                return items[index].get(name)[0]
        return dataset

    orientation = _numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    measures, rescale = group("PixelMeasuresSequence"), _rescale(dataset, group)
    count = int(dataset.get("NumberOfFrames") or 1)
    places, content = group("PlanePositionSequence"), group("FrameContentSequence")
    # One position of a whole file says nothing about its other frames.
    position = (
        () if places is dataset and count > 1 else _numbers(places, "ImagePositionPatient", 3)
    )
    types = [
        *(dataset.get("ImageType") or ()),
        *(group("CTImageFrameTypeSequence").get("FrameType") or ()),
    ]
    shown = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    if shown == "PALETTE COLOR":
        raise _OtherNumbersError("a palette of colours in place of grey values")
    if dataset.get("ModalityLUTSequence"):
        raise _OtherNumbersError("a table in place of slope and intercept (Modality LUT)")
    slope, intercept = (
        _number(rescale, "RescaleSlope", 1.0), _number(rescale, "RescaleIntercept", 0.0),
    )  # fmt: skip
    return Frame(
        file=file,
        instance=str(dataset.get("SOPInstanceUID", "")),
        marks=_marks(dataset, number),
        part=(
            int(dataset.get("InConcatenationNumber") or 1),
            int(dataset.get("InConcatenationTotalNumber") or 1),
        ),
        tilt=_number(group("CTAcquisitionDetailsSequence"), "GantryDetectorTilt", 0.0),
        number=number,
        count=count,
        study=str(dataset.get("StudyInstanceUID", "")),
        series=str(dataset.get("SeriesInstanceUID", "")),
        patient=str(dataset.get("PatientID") or "").strip(),
        modality=str(dataset.get("Modality") or ""),
        reference=str(dataset.get("FrameOfReferenceUID") or ""),
        stack=str(content.get("StackID") or ""),
        projection=", ".join(sorted(_PROJECTION.intersection(str(one).upper() for one in types))),
        is_localizer=not _LOCALIZER.isdisjoint(str(value).upper() for value in types),
        size=(int(dataset.Columns), int(dataset.Rows)),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        position=position,
        row=orientation[:3],
        column=orientation[3:],
        spacing=_numbers(measures, "PixelSpacing", 2),
        thickness=next(iter(_numbers(measures, "SliceThickness", 1)), None),
        between=next(iter(_numbers(measures, "SpacingBetweenSlices", 1)), None),
        slope=slope,
        intercept=intercept,
        is_rescaled=all(_numbers(rescale, f"Rescale{name}", 1) for name in ("Slope", "Intercept")),
        unit=str(rescale.get("RescaleType") or ""),
        is_inverted=shown == "MONOCHROME1",
        padding=tuple(sorted(slope * value + intercept for value in _padding(dataset))),
    )


def _rescale(dataset: Any, group: Callable[[str], Any]) -> Any:
    """Return what has slope and intercept; where nothing has, a Real World Value Mapping to HU."""
    item = group("PixelValueTransformationSequence")
    if any(_numbers(item, f"Rescale{name}", 1) for name in ("Slope", "Intercept")):
        return item
    mapping = group("RealWorldValueMappingSequence")
    if mapping is dataset:
        mapping = next(iter(dataset.get("RealWorldValueMappingSequence") or ()), {})
    units = mapping.get("MeasurementUnitsCodeSequence") or ()
    if not any(str(unit.get("CodeValue")) in _HU_CODES for unit in units):
        return item
    names = ("Slope", "Intercept")
    return {f"Rescale{name}": mapping.get(f"RealWorldValue{name}") for name in names}


def _marks(dataset: Any, number: int) -> dict[str, str]:
    """Return what slices of one scan have in common, of the frame, of all frames or of the file."""
    places = [dataset]
    for sequence, index in (
        ("SharedFunctionalGroupsSequence", 0),
        ("PerFrameFunctionalGroupsSequence", number),
    ):
        for element in (dataset.get(sequence) or {index: ()})[index]:
            places += element.value[:1] if element.VR == "SQ" else ()
    found = {}
    for tag, name in _MARKS.items():
        values = (place.get(tag) for place in reversed(places))
        found[name] = str(next((one for one in values if one is not None), "")).rstrip(" ^\0")
    return found


def _padding(dataset: Any) -> list[int]:
    """Return the stored numbers that are padding: none, or the ends of their range."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return []
    limit = dataset.get("PixelPaddingRangeLimit")
    is_signed = bool(dataset.get("PixelRepresentation"))
    # Some programs write a negative number as one without a sign.
    return [
        one - (1 << 16) if is_signed and one >= 1 << 15 else one
        for one in (value, limit if isinstance(limit, int) else value)
    ]


def _number(item: Any, name: str, default: float) -> float:
    """Return a number of a data set, or what holds when it is not there; 0 is no slope."""
    found = _numbers(item, name, 1)
    value = found[0] if found else default
    if not math.isfinite(value) or (value == 0 and default == 1):
        raise _OtherNumbersError(f"{name} of {value:g}")
    return value


def _numbers(item: Any, name: str, count: int) -> tuple[float, ...]:
    """Return the numbers of an element; none when it is missing or empty."""
    value = item.get(name)
    if value is None or value == "":
        return ()
    is_list = isinstance(value, Iterable) and not isinstance(value, str)
    values = tuple(float(one) for one in (value if is_list else (value,)))
    if len(values) != count:
        raise ValueError(f"{name} of {len(values)} numbers instead of {count}")
    return values


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings about odd but readable values off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
