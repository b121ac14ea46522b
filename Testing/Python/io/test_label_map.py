"""Label maps: read with nibabel and SimpleITK as oracles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.content_mark import is_replaceable, mark_of
from CTSAM3DLib.io.image import read_scan
from CTSAM3DLib.io.label_map import names_path, write_label_map
from CTSAM3DLib.io.segment import RegionMask, Segment

nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

SHAPE = (7, 8, 9)


def turned(hand: float = -1.0) -> Geometry:
    """Return a rotated, anisotropic grid."""
    c, s = np.cos(0.3), np.sin(0.3)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, hand]]) * (0.8, 0.9, 2.5)
    matrix[:3, 3] = (10.5, -20.25, 1000.125)
    return Geometry(matrix, SHAPE)


def segments() -> list[Segment]:
    liver, lesion = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1:5, 2:6, 3:8] = True
    lesion[2:4, 3:5, 6:9] = True
    return [
        Segment("liver", RegionMask.from_full(liver)),
        Segment("a", RegionMask.from_full(lesion)),
    ]


@pytest.mark.parametrize("hand", [-1.0, 1.0])
def test_other_programs_find_voxels_and_place(tmp_path: Path, hand: float) -> None:
    path, geometry = tmp_path / "x.nii.gz", turned(hand=hand)
    liver, lesion = segments()
    hidden = write_label_map(path, [liver, lesion], geometry)
    expected = liver.mask.full(SHAPE).astype(int)
    expected[lesion.mask.full(SHAPE)] = 2
    image = nibabel.load(path)
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj).transpose(), expected)
    for form in (image.affine, image.get_qform(), image.get_sform()):
        assert np.allclose(form, geometry.ijk_to_ras, atol=1e-4)
    assert hidden == int((liver.mask.full(SHAPE) & lesion.mask.full(SHAPE)).sum()) > 0
    itk = sitk.ReadImage(str(path))
    assert np.allclose(itk.GetOrigin(), np.array([-1, -1, 1]) * geometry.origin_ras, atol=1e-4)
    assert np.array_equal(sitk.GetArrayFromImage(itk), expected)
    assert read_scan(path).volume.geometry.allclose(geometry, 1e-3)


def test_names_have_colours_codes_and_what_is_hidden(tmp_path: Path) -> None:
    hidden = write_label_map(tmp_path / "x.nii.gz", segments(), turned())
    labels = json.loads((tmp_path / "x.labels.json").read_text())["labels"]
    assert labels["1"]["name"] == "liver"
    assert labels["1"]["code"] == ["SCT", "10200004", "Liver"]
    assert (labels["1"]["hidden_voxels"], labels["2"]["hidden_voxels"]) == (hidden, 0)


def test_the_same_content_gives_the_same_bytes_and_changes_are_seen(tmp_path: Path) -> None:
    files = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    for file in files:
        write_label_map(file, segments(), turned())
    assert files[0].read_bytes() == files[1].read_bytes()
    for file in (files[0], names_path(files[0])):
        assert mark_of(file) is not None
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
        assert not is_replaceable(file)


def test_many_structures_need_two_bytes(tmp_path: Path) -> None:
    one = RegionMask.from_full(np.ones((1, 1, 1), bool))
    write_label_map(
        tmp_path / "x.nii.gz", [Segment("a", one)] * 256, Geometry(np.eye(4), (1, 1, 1))
    )
    assert np.asarray(nibabel.load(tmp_path / "x.nii.gz").dataobj).tolist() == [[[256]]]


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentationFileError, match=r"ending with \.nii\.gz"):
        write_label_map(tmp_path / "x.nii", segments(), turned())
