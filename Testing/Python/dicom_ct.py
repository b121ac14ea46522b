"""A small tilted CT series as DICOM files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE = (6, 8, 10)  # slices, rows, columns


def write_tilted_ct(folder: Path) -> Path:
    """Write a tilted CT series, its first file the last slice; return its folder."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    row, column = np.array([0.96, 0.28, 0.0]), np.array([-0.28, 0.96, 0.0])
    step = np.cross(row, column) * 2.5
    study, series, place = (generate_uid(entropy_srcs=[name]) for name in "abc")
    folder.mkdir(parents=True)
    for number in range(SIZE[0]):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        one.SOPInstanceUID = generate_uid(entropy_srcs=["slice", str(number)])
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, place
        one.Modality, one.InstanceNumber, one.PatientID = "CT", number + 1, "7"
        one.ImagePositionPatient = (np.array([5.0, -20.0, 30.0]) + number * step).round(4).tolist()
        one.ImageOrientationPatient = [*row, *column]
        one.PixelSpacing, one.SliceThickness = [0.8, 0.7], 2.5
        one.Rows, one.Columns, one.SamplesPerPixel = *SIZE[1:], 1
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation, one.PhotometricInterpretation = 15, 1, "MONOCHROME2"
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        one.PixelData = np.full(SIZE[1:], number, np.int16).tobytes()
        one.save_as(folder / f"{SIZE[0] - number}.dcm", enforce_file_format=True)
    return folder
