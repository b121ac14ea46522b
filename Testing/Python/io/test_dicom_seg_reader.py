"""DICOM SEG written by highdicom; where its voxels lie is worked out from pydicom's headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_ct import SIZE, write_tilted_ct
from learning_case import write_case

from CTSAM3DLib.errors import (
    GeometryError,
    LearningError,
    SegmentationFileError,
    VolumeError,
)
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.dicom_seg import write_dicom_seg
from CTSAM3DLib.io.dicom_seg_reader import read_dicom_seg
from CTSAM3DLib.io.image import read_scan
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.training.learning_cases import find_learning_cases, read_learning_case

pydicom = pytest.importorskip("pydicom")
hd = pytest.importorskip("highdicom")

NAMES = ("kidney", "lesion")
COPIED = (
    *("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """Return a folder with a tilted CT series."""
    return write_tilted_ct(tmp_path / "case" / "ct")


def slices(ct: Path) -> list[Any]:
    """Return the slices in an order that is not that of the voxels."""
    found = [pydicom.dcmread(file) for file in sorted(ct.iterdir())]
    for header in found:  # what highdicom copies into the SEG
        for name in COPIED:
            setattr(header, name, None)
    return found[2:] + found[:2]


def labels() -> np.ndarray:
    """Return one label a pixel of `slices`; there are slices without any."""
    values = np.zeros(SIZE, np.uint8)
    values[1:4, 2:6, 3:8] = 1
    values[3, 6:8, 6:10] = 2
    return values


def write_seg(path: Path, ct: Path, kind: str, names: tuple[str, ...] = NAMES) -> Any:
    """Write `labels` with highdicom; return the dataset."""
    from pydicom.sr.codedict import codes

    described = [
        hd.seg.SegmentDescription(
            number,
            name,
            codes.SCT.Organ,
            codes.SCT.Kidney,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(names, 1)
    ]
    pixels = labels()
    if kind == "FRACTIONAL":
        pixels = np.stack([pixels == 1, pixels == 2], axis=-1) * 0.6
        pixels[0, 0, 0] = 0.4  # less than half
    dataset = hd.seg.Segmentation(
        slices(ct),
        pixels,
        kind,
        described,
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    dataset.save_as(path)
    return dataset


def points(ct: Path, value: int) -> set[tuple[float, ...]]:
    """Return where the pixels of a label lie, RAS mm, by the formula of the standard."""
    found = set()
    for pixels, header in zip(labels(), slices(ct), strict=True):
        cosines = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        down, right = map(float, header.PixelSpacing)
        for row, column in np.argwhere(pixels == value):
            at = np.array(header.ImagePositionPatient, float)
            at = at + cosines[0] * right * column + cosines[1] * down * row
            found.add(tuple((at * (-1, -1, 1)).round(2) + 0.0))
    return found


def geometry_of(ct: Path) -> Geometry:
    return read_scan(ct).volume.geometry


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_voxels_lie_where_the_headers_place_them(ct: Path, tmp_path: Path, kind: str) -> None:
    write_seg(tmp_path / "s.dcm", ct, kind)
    geometry = geometry_of(ct)
    masks = read_dicom_seg(tmp_path / "s.dcm", geometry, ct)
    assert list(masks) == list(NAMES)
    for value, mask in enumerate(masks.values(), 1):
        at_ras = geometry.ras_from_ijk(np.argwhere(mask)[:, ::-1])
        assert {tuple(point) for point in at_ras.round(2) + 0.0} == points(ct, value)


def test_what_is_written_here_is_read_with_overlap_and_empty_segments(
    ct: Path, tmp_path: Path
) -> None:
    masks = {name: np.zeros(SIZE, bool) for name in ("kidney_left", "lesion", "spleen")}
    masks["kidney_left"][1:4, 2:6, 3:8] = masks["lesion"][3:5, 5:7, 7:9] = True
    segments = [Segment(name, RegionMask.from_full(mask)) for name, mask in masks.items()]
    write_dicom_seg(tmp_path / "s.dcm", segments, geometry_of(ct), ct)
    read = read_dicom_seg(tmp_path / "s.dcm", geometry_of(ct), ct)
    assert list(read) == list(masks)
    assert all(np.array_equal(read[name], mask) for name, mask in masks.items())


def test_a_segmentation_is_no_ct(ct: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    write_seg(tmp_path / "s" / "s.dcm", ct, "BINARY")
    for given in (tmp_path / "s", tmp_path / "s" / "s.dcm"):
        with pytest.raises(
            VolumeError, match=r"got a segmentation .* give the CT that it was made"
        ):
            read_scan(given)


def test_another_frame_of_reference_is_refused(ct: Path, tmp_path: Path) -> None:
    dataset = write_seg(tmp_path / "s.dcm", ct, "BINARY")
    dataset.FrameOfReferenceUID = hd.UID()
    dataset.save_as(tmp_path / "s.dcm")
    with pytest.raises(GeometryError, match="expected the frame of reference of"):
        read_dicom_seg(tmp_path / "s.dcm", geometry_of(ct), ct)


@pytest.mark.parametrize(
    ("change_ijk", "size", "message"),
    [
        ((0.5, 0, 0), 1.0, "mm away"),
        ((0, 0, 0), 2.0, "of another size"),
        ((0, 0, 3), 1.0, "inside the CT"),
    ],
)
def test_frames_off_the_voxels_are_refused(
    ct: Path, tmp_path: Path, change_ijk: tuple[float, ...], size: float, message: str
) -> None:
    write_seg(tmp_path / "s.dcm", ct, "BINARY")
    whole = geometry_of(ct)
    matrix = whole.ijk_to_ras.copy()
    matrix[:3, 3] = whole.ras_from_ijk(change_ijk)
    matrix[:3, :2] *= size
    with pytest.raises(GeometryError, match=message):
        read_dicom_seg(tmp_path / "s.dcm", Geometry(matrix, SIZE))


def test_a_frame_without_a_place_is_refused(ct: Path, tmp_path: Path) -> None:
    dataset = write_seg(tmp_path / "s.dcm", ct, "BINARY")
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    dataset.save_as(tmp_path / "s.dcm")
    with pytest.raises(SegmentationFileError, match=r"DICOM SEG .*0020,9113"):
        read_dicom_seg(tmp_path / "s.dcm", geometry_of(ct), ct)


def test_equal_labels_and_other_files_are_refused(ct: Path, tmp_path: Path) -> None:
    write_seg(tmp_path / "s.dcm", ct, "BINARY", ("kidney", "kidney"))
    with pytest.raises(SegmentationFileError, match="different labels, got kidney, kidney"):
        read_dicom_seg(tmp_path / "s.dcm", geometry_of(ct), ct)
    for file in (next(ct.iterdir()), Path(__file__)):
        with pytest.raises(SegmentationFileError, match="expected a DICOM SEG"):
            read_dicom_seg(file, geometry_of(ct), ct)


def test_learn_finds_a_dicom_seg_beside_its_ct(ct: Path, tmp_path: Path) -> None:
    write_seg(tmp_path / "case" / "organs.dcm", ct, "BINARY", ("kidney", "too small"))
    (paths,) = find_learning_cases(tmp_path)
    case = read_learning_case(paths)
    assert {name: int(mask.sum()) for name, mask in case.masks.items()} == {"kidney": 60}
    (tmp_path / "case" / "more.dcm").write_bytes(paths.segmentation.read_bytes())
    with pytest.raises(LearningError, match=r"expected one \.dcm, got more.dcm, organs.dcm"):
        find_learning_cases(tmp_path)


def test_a_seg_nrrd_goes_before_the_dicom_seg_of_the_same_result(tmp_path: Path) -> None:
    write_case(tmp_path / "a", 0)
    (tmp_path / "a" / "organs.dcm").write_bytes(b"")
    (paths,) = find_learning_cases(tmp_path)
    assert paths.segmentation.name == "organs.seg.nrrd"
