"""DICOM SEG: read back with pydicom and highdicom as oracles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_ct import SIZE, write_tilted_ct

from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.io.content_mark import mark_of
from CTSAM3DLib.io.dicom_seg import check_dicom_seg, write_dicom_seg
from CTSAM3DLib.io.image import read_scan
from CTSAM3DLib.io.segment import RegionMask, Segment

pydicom = pytest.importorskip("pydicom")
hd = pytest.importorskip("highdicom")


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """Return a folder with a tilted CT series."""
    return write_tilted_ct(tmp_path / "ct")


def segments(overlap: bool) -> list[Segment]:
    kidney, lesion, empty = (np.zeros(SIZE, bool) for _ in range(3))
    kidney[1:4, 2:6, 3:8] = True
    lesion[3:5, 5:7, 7:9] = True
    if not overlap:
        lesion &= ~kidney
    masks = {"kidney_left": kidney, "my lesion": lesion, "spleen": empty}
    return [Segment(name, RegionMask.from_full(mask)) for name, mask in masks.items()]


def places(read: Any, number: int) -> set[tuple[float, ...]]:
    """Return the positions of the voxels of a segment, LPS mm, as highdicom finds them."""
    if number not in {
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for item in read.PerFrameFunctionalGroupsSequence
    }:
        return set()
    volume = read.get_volume(segment_numbers=[number], combine_segments=True)
    points = volume.map_indices_to_reference(np.argwhere(np.asarray(volume.array) > 0))
    return {tuple(point) for point in points.round(2) + 0.0}


@pytest.mark.parametrize("overlap", [False, True])
def test_masks_codes_and_references_are_read_back(ct: Path, tmp_path: Path, overlap: bool) -> None:
    volume = read_scan(ct).volume
    path = tmp_path / "seg.dcm"
    written = segments(overlap)
    write_dicom_seg(path, written, volume.geometry, ct, model="m")
    read = hd.seg.segread(path)
    slices = [pydicom.dcmread(file) for file in sorted(ct.iterdir())]
    assert read.PatientID == "7"
    assert read.StudyInstanceUID == slices[0].StudyInstanceUID
    for number, segment in enumerate(written, 1):
        assert read.get_segment_description(number).segment_label == segment.name
        voxels_ijk = np.argwhere(segment.mask.full(SIZE))[:, ::-1]
        points = volume.geometry.ras_from_ijk(voxels_ijk) * (-1, -1, 1)
        assert places(read, number) == {tuple(point) for point in points.round(2) + 0.0}
    kidney = read.get_segment_description(1)
    assert kidney.segmented_property_type.value == "64033007"
    (kind,) = kidney.SegmentedPropertyTypeCodeSequence
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    referred = {
        one.ReferencedSOPInstanceUID
        for one in read.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referred == {one.SOPInstanceUID for one in slices}
    assert mark_of(path) is not None


def test_the_same_content_has_the_same_uids(ct: Path, tmp_path: Path) -> None:
    geometry = read_scan(ct).volume.geometry
    uids = []
    for name, overlap in (("a", False), ("b", False), ("c", True)):
        write_dicom_seg(tmp_path / f"{name}.dcm", segments(overlap), geometry, ct)
        uids.append(pydicom.dcmread(tmp_path / f"{name}.dcm").SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]


def test_a_ct_that_is_no_dicom_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "ct.nii").write_bytes(b"x" * 400)
    with pytest.raises(SegmentationFileError, match=r"needs the CT as DICOM.*, got "):
        check_dicom_seg(tmp_path / "ct.nii")
    with pytest.raises(SegmentationFileError, match=r"found nothing at .*none"):
        check_dicom_seg(tmp_path / "none")
