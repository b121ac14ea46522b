"""DICOM files made with pydicom: slices, series of slices, and files of many frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

SERIES = "1.2.826.0.1.3680043.8.498.1"


def write_slice(path: Path, pixels: NDArray[np.int16], position: tuple, **tags: object) -> None:
    """One CT slice with pydicom; `position` is LPS mm."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.PatientID = "CT", "phantom"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = SERIES + ".1", SERIES + ".2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.PixelSpacing = [0.8, 0.75]  # between rows, then between columns
    dataset.SliceThickness = 2.5
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [round(float(value), 6) for value in position]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)


def write_series(
    folder: Path, stored: NDArray[np.int16], positions: list[tuple], **tags: object
) -> None:
    """A series whose file names are not in the order of the slices."""
    folder.mkdir(exist_ok=True)
    prefix = str(tags.get("SeriesInstanceUID", "ct"))
    for index, (pixels, position) in enumerate(zip(stored, positions, strict=True)):
        name = f"{prefix}-{(index * 7) % len(stored)}-{index}.dcm"
        write_slice(folder / name, pixels, position, InstanceNumber=index + 1, **tags)


def stack(count: int, step: tuple[float, ...] = (0, 0, 2.5)) -> list[tuple]:
    return [tuple(np.array([-110.5, 20.25, 300.0]) + n * np.array(step)) for n in range(count)]


def write_enhanced(
    path: Path,
    stored: NDArray[np.generic],
    positions: Sequence[tuple],
    rescales: Sequence[tuple[float, float]] = (),
    stacks: Sequence[str] = (),
    types: Sequence[Sequence[str]] = (),
    **tags: object,
) -> None:
    """One file of many frames; rescale, stack and type of each frame where they are given."""
    write_slice(path, stored[0], positions[0], SOPClassUID=EnhancedCTImageStorage)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    shared, measures, plane, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, 2.5
    plane.ImageOrientationPatient = tags.pop("orientation", dataset.ImageOrientationPatient)
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, -1024
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    if not rescales:
        shared.PixelValueTransformationSequence = [rescale]
    for name in ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "RescaleSlope",
                 "RescaleIntercept", "ImagePositionPatient"):  # fmt: skip
        delattr(dataset, name)
    frames = []
    for index, position in enumerate(positions):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(value), 6) for value in position]
        frame.PlanePositionSequence = [place]
        content.StackID = stacks[index] if stacks else "1"
        frame.FrameContentSequence = [content]
        if rescales:
            own = Dataset()
            own.RescaleSlope, own.RescaleIntercept = rescales[index]
            frame.PixelValueTransformationSequence = [own]
        if types:
            kind = Dataset()
            kind.FrameType = list(types[index])
            frame.CTImageFrameTypeSequence = [kind]
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.NumberOfFrames = len(stored)
    dataset.PixelData = stored.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
