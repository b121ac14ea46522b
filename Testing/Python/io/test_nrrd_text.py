"""NRRD voxels in letters: as they stand there, or told; ITK cuts and wraps numbers silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io import nrrd_text
from CTSAM3DLib.io.image import Scan, read_scan

pytest.importorskip("SimpleITK")


def scan(folder: Path, kind: str, voxels: str, encoding: str = "ascii", skip: str = "") -> Scan:
    lines = ["NRRD0004", f"type: {kind}", "dimension: 3", "sizes: 2 2 2", "endian: little",
             f"encoding: {encoding}", "space: LPS", "space origin: (0,0,0)",
             "space directions: (2,0,0) (0,2,0) (0,0,3)"]  # fmt: skip
    lines += ["data file: ct.txt", skip] if skip else []
    path = folder / ("ct.nhdr" if skip else "ct.nrrd")
    (folder / "ct.txt").write_text(voxels)
    path.write_text("\n".join([*lines, "", "" if skip else voxels]))
    return read_scan(path)


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("voxels", "more"),
    [
        ("-1 2 3 4 5 6 7 8", ""),
        ("-1, 2, 3, 4,\n5, 6, 7, 8,\n", ""),
        ("-1\r\n2\t3 +4 5 6 7 8\n", ""),
        ("-1 2 3 4 5 6 7 8 9\n", "1 number more"),
        ("-1 2 3 4 5 6 7 8\n9 10.5", "2 numbers more"),
    ],
)
def test_numbers_behind_the_last_voxel_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voxels: str, more: str, piece: int
) -> None:
    monkeypatch.setattr(nrrd_text, "_PIECE", piece)
    found = scan(tmp_path, "short", voxels)
    assert found.volume.array_kji.ravel().tolist() == [-1, 2, 3, 4, 5, 6, 7, 8]
    assert [more in note for note in found.notes] == [True] * bool(more)
    found = scan(tmp_path, "short", "a header\n" + voxels, skip="line skip: 1")
    assert [more in note for note in found.notes] == [True] * bool(more)


@pytest.mark.parametrize(
    ("kind", "voxel"),
    [
        ("short", "3.7"),
        ("short", "3e2"),
        ("short", "0x10"),
        ("short", "70000"),
        ("unsigned short", "-1"),
        ("long long", "99999999999999999999"),
        ("float", "3,7"),
        ("float", "3.7.1"),
    ],
)
def test_a_number_that_does_not_fit_the_type_is_refused(
    tmp_path: Path, kind: str, voxel: str
) -> None:
    with pytest.raises(VolumeError, match=f"numbers of the type .* got '{voxel}'; correct"):
        scan(tmp_path, kind, f"1 2 {voxel} 4 5 6 7 8")


def test_numbers_of_their_type_are_read(tmp_path: Path) -> None:
    found = scan(tmp_path, "float", "1 2 3.75 4 5 6 1e2 -8")
    assert found.volume.array_kji.ravel().tolist() == [1, 2, 3.75, 4, 5, 6, 100, -8]
    assert found.notes == ()


def test_digits_behind_the_last_voxel_are_told(tmp_path: Path) -> None:
    digits = np.arange(8, dtype="<i2").tobytes().hex()
    assert scan(tmp_path, "short", digits, "hex").notes == ()
    (note,) = scan(tmp_path, "short", digits + "\n0102", "hex").notes
    assert "the file holds 2 bytes more" in note
