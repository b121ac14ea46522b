"""The mark in a file fits its content until somebody changes the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.content_mark import BLANK, KEY, fill_mark, is_replaceable, mark_of
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.io.segmentation import write_segmentation
from CTSAM3DLib.picture.picture import write_picture

GEOMETRY = Geometry(np.diag([2.0, 2, 2, 1]), (8, 8, 8))
SEGMENTS = [Segment(f"{KEY}:={BLANK}", RegionMask.from_full(np.ones((8, 8, 8), bool)))]


def segmentation(folder: Path) -> Path:
    path = folder / "x.seg.nrrd"
    write_segmentation(path, SEGMENTS, GEOMETRY, "volume")
    return path


def picture(folder: Path) -> Path:
    pytest.importorskip("matplotlib")
    path = folder / "x.png"
    write_picture(path, Volume(np.zeros((8, 8, 8), np.int16), GEOMETRY), SEGMENTS, BLANK)
    return path


@pytest.mark.parametrize("write", [segmentation, picture])
def test_any_changed_byte_is_noticed(tmp_path: Path, write: object) -> None:
    path = write(tmp_path)
    content = path.read_bytes()
    mark = mark_of(path)
    assert mark != BLANK
    assert content.count(str(mark).encode()) == 1
    assert is_replaceable(path)
    for place in (0, 40, content.index(str(mark).encode()), len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert mark_of(path) is None
        assert not is_replaceable(path)
    for changed in (content[:-1], content + b" "):
        path.write_bytes(changed)
        assert mark_of(path) is None


def test_files_with_a_mark_are_as_valid_as_without(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(picture(tmp_path)) as opened:
        opened.verify()  # compares the checksums of all parts
    with image.open(tmp_path / "x.png") as opened:
        assert opened.text[KEY] == mark_of(tmp_path / "x.png")
    sitk = pytest.importorskip("SimpleITK")
    read = sitk.ReadImage(str(segmentation(tmp_path)))
    assert read.GetMetaData(KEY) == mark_of(tmp_path / "x.seg.nrrd")
    assert sitk.GetArrayFromImage(read).all()


def test_files_without_content_or_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert is_replaceable(path)
    path.write_bytes(b"")
    assert is_replaceable(path)
    assert mark_of(path) is None
    path.write_bytes(b"by hand")
    assert not is_replaceable(path)
    with pytest.raises(ValueError, match=r"expected a blank mark .*a\.txt, got none"):
        fill_mark(path)
