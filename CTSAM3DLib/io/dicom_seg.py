"""DICOM Segmentation objects (SEG) beside the CT series that they belong to, by ``highdicom``."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import SegmentationFileError, VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, lps_from_ras
from CTSAM3DLib.io.content_mark import BLANK, KEY, fill_mark
from CTSAM3DLib.io.dicom import dicom_files
from CTSAM3DLib.io.dicom_seg_reader import highdicom
from CTSAM3DLib.io.label_map import label_array
from CTSAM3DLib.io.safe_write import written_atomically
from CTSAM3DLib.io.segment import Segment, common_box
from CTSAM3DLib.version import __version__

SUFFIX = ".dcm"
MAKER = "CT-SAM3D for 3D Slicer"
_LONGEST_LABEL = 64  # letters
_SERIES_NUMBER = 300
_PREAMBLE = 128  # bytes of a DICOM file that are free for any use
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
"""What the standard allows to be empty, yet not to be missing."""
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def check_dicom_seg(ct: str | Path, series: str = "") -> None:
    """Raise what keeps a DICOM SEG from being written, before any work.

    Raises SegmentationFileError: the package is missing, or the CT is no DICOM.
    """
    highdicom()
    try:
        dicom_files(ct, series)
    except VolumeError as error:
        raise SegmentationFileError(f"DICOM SEG needs the CT as DICOM: {error}") from error


def write_dicom_seg(
    path: str | Path,
    segments: Sequence[Segment],
    geometry: Geometry,
    ct: str | Path,
    series: str = "",
    model: str = "unknown",
) -> None:
    """Write a binary DICOM SEG (``.dcm``) that refers to the slices of the CT, a folder or file.

    Patient and study are those of the CT. Each segment has the SNOMED CT codes of its terminology.
    The same content gets the same UIDs. Segments may overlap; empty ones are described and have no
    frames. `geometry` is of the CT as it was read, `series` as for `read_scan`, `model` the name
    for the algorithm's identification. A file at `path` is replaced whole.

    Raises SegmentationFileError: no segment, ``highdicom`` is not installed, the CT is no DICOM,
    lacks what a SEG needs, or the segments cannot be written; OSError: the file cannot be written.
    """
    if not str(path).lower().endswith(SUFFIX):
        raise SegmentationFileError(f"expected a file name ending with {SUFFIX}, got {path}")
    hd = highdicom()
    sources = _sources(Path(ct), series, geometry.spacing_mm[2])
    box = common_box(segments)
    masks, channels = _array(segments, geometry, box)
    origin = geometry.ras_from_ijk(box.start_ijk)
    affine = np.eye(4)
    affine[:3, :3] = lps_from_ras(geometry.ijk_to_ras[:3, 2::-1].T).T  # along k, j and i
    affine[:3, 3] = lps_from_ras(origin)
    uids = _uids(segments, masks, sources, affine)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about CTs that bend the standard
            place = sources[0].FrameOfReferenceUID
            dataset = hd.seg.Segmentation(
                sources,
                hd.Volume(masks, affine, "PATIENT", place, channels),
                "BINARY",
                [_description(hd, one, number, model) for number, one in enumerate(segments, 1)],
                series_instance_uid=uids[0],
                series_number=_SERIES_NUMBER,
                sop_instance_uid=uids[1],
                instance_number=1,
                manufacturer=MAKER,
                manufacturer_model_name=model[:_LONGEST_LABEL],
                software_versions=__version__,
                device_serial_number="0",
                content_label="CTSAM3D",
                series_description="Segmentation by CT-SAM3D",
            )
            dataset.preamble = f"{KEY}: {BLANK}".encode().ljust(_PREAMBLE, b"\0")
            with written_atomically(path) as temporary:
                dataset.save_as(temporary)
                fill_mark(temporary)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise SegmentationFileError(
            f"{ct}: expected a CT series that a DICOM SEG can refer to, got {error}. Write a "
            ".seg.nrrd or a label map only"
        ) from error


def _sources(ct: Path, series: str, step_mm: float) -> list[Any]:
    import pydicom

    found = [pydicom.dcmread(file, stop_before_pixels=True) for file in dicom_files(ct, series)]
    for dataset in found:
        missing = [name for name in _NEEDED if not dataset.get(name)]
        if missing:
            raise SegmentationFileError(
                f"{ct}: expected slices with {', '.join(missing)} for a DICOM SEG, got one "
                "without. Write a .seg.nrrd or a label map only"
            )
        for name in _MAY_BE_EMPTY:
            if name not in dataset:
                setattr(dataset, name, None)
        if not dataset.get("SliceThickness") and "NumberOfFrames" not in dataset:
            dataset.SliceThickness = step_mm
    return found


def _array(
    segments: Sequence[Segment], geometry: Geometry, box: BoundingBox
) -> tuple[NDArray[Any], dict[Any, Any] | None]:
    """Return labels of the box, or one channel a segment where segments overlap."""
    labels = label_array(segments, geometry)[box.slices_kji]
    if np.count_nonzero(labels) == sum(segment.mask.voxel_count for segment in segments):
        return labels, None
    masks = np.zeros((*box.shape_kji, len(segments)), np.uint8)
    for number, segment in enumerate(segments):
        if not segment.mask.bbox.is_empty:
            masks[(*segment.mask.bbox.relative_to(box).slices_kji, number)] = segment.mask.mask_kji
    return masks, {"SegmentNumber": list(range(1, len(segments) + 1))}


def _description(hd: Any, segment: Segment, number: int, model: str) -> Any:
    """Return name, codes, colour and algorithm of one segment."""
    from pydicom.sr.codedict import codes

    _, category, kind, modifier, _, region, _ = map(_code, segment.terminology.split("~"))
    algorithm = hd.AlgorithmIdentificationSequence(
        name=MAKER,
        version=__version__,
        family=codes.DCM.ArtificialIntelligence,
        parameters={"model": model},
    )
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:_LONGEST_LABEL],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=algorithm,
        anatomic_regions=[region] if region is not None else None,
        display_color=hd.color.CIELabColor.from_rgb(*segment.rgb),
    )
    if modifier is not None:
        sequence = [hd.sr.CodedConcept.from_code(modifier)]
        kinds = description.SegmentedPropertyTypeCodeSequence
        kinds[0].SegmentedPropertyTypeModifierCodeSequence = sequence
    return description


def _code(text: str) -> Any:
    """Return the code of one part of a terminology, None when it has none."""
    from pydicom.sr.coding import Code

    parts = text.split("^")
    return Code(parts[1], parts[0], parts[2]) if len(parts) == 3 and all(parts) else None


def _uids(
    segments: Sequence[Segment], masks: NDArray[Any], sources: list[Any], affine: NDArray[Any]
) -> list[str]:
    """Return UIDs of series and object that follow from the content."""
    from pydicom.uid import generate_uid

    digest = hashlib.sha256(masks.tobytes() + affine.tobytes() + __version__.encode())
    digest.update(repr([(one.name, one.terminology) for one in segments]).encode())
    digest.update(sources[0].SeriesInstanceUID.encode())
    name = digest.hexdigest()
    return [generate_uid(entropy_srcs=[kind, name]) for kind in ("series", "object")]
