"""Headers whose voxels lie in other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan

ARRAY = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: raw\nspace: LPS\n"
)
NRRD += "space directions: (2,0,0) (0,3,0) (0,0,5)\nspace origin: (0,0,0)\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementSpacing = 2 3 5\n"
META += "ElementType = MET_SHORT\n"


def _header(folder: Path, kind: str, named: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"ct.{kind}"
    text = f"{NRRD}data file: {named}\n" if kind == "nhdr" else f"{META}ElementDataFile = {named}\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
@pytest.mark.parametrize(
    "named", ["voxels of ct.raw", "below/ct.raw", "./ct.raw", "M\u00fcller.raw"]
)
def test_voxels_beside_or_below_the_header_are_read(tmp_path: Path, kind: str, named: str) -> None:
    path = _header(tmp_path / "ct", kind, named)
    (path.parent / named).parent.mkdir(exist_ok=True)
    (path.parent / named).write_bytes(ARRAY.tobytes())
    assert np.array_equal(read_scan(path).volume.array_kji, ARRAY)


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_voxels_that_are_missing_are_told_by_their_name(tmp_path: Path, kind: str) -> None:
    path = _header(tmp_path / "ct", kind, "gone.raw")
    with pytest.raises(VolumeError, match=rf"voxels in gone\.raw beside ct\.{kind}, found no such"):
        read_scan(path)


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_header_reads_no_file_of_another_folder(
    tmp_path: Path, kind: str, is_absolute: bool
) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(ARRAY.tobytes())
    path = _header(tmp_path / "ct", kind, str(secret) if is_absolute else "../secret.raw")
    with pytest.raises(VolumeError, match=rf"expected the voxels in the folder of ct\.{kind}"):
        read_scan(path)


@pytest.mark.parametrize("named", ["../s%d.raw 0 3 1 2", "LIST\n../s0.raw\n../s1.raw"])
def test_a_list_or_pattern_of_files_reads_none_of_another_folder(
    tmp_path: Path, named: str
) -> None:
    for k, plane in enumerate(ARRAY):
        (tmp_path / f"s{k}.raw").write_bytes(plane.tobytes())
    with pytest.raises(VolumeError, match=r"expected the voxels in the folder of ct\.nhdr"):
        read_scan(_header(tmp_path / "ct", "nhdr", named))
