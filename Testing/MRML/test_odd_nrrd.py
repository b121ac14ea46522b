"""NRRD headers that are seldom: each is read as Slicer reads it, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_volume

ARRAY = np.arange(-60, 60, dtype="<i2").reshape(4, 5, 6)
SIZE, WAYS = "sizes: 6 5 4", "space directions: (1,0,0) (0,1,0) (0,0,2)"
AT = "space origin: (1,2,3)"


def _file(folder: Path, lines: list[str], before: bytes = b"") -> Path:
    head = ["NRRD0005", "type: short", "endian: little", "encoding: raw"]
    if not any(line.startswith("dimension") for line in lines):
        head.append("dimension: 3")
    path = folder / "ct.nrrd"
    path.write_bytes("\n".join([*head, *lines, "", ""]).encode() + before + ARRAY.tobytes())
    return path


def _corners_of_slicer(path: Path) -> np.ndarray:
    """Return where Slicer has first and last voxel, with their values: 2 rows of R, A, S, HU."""
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    matrix, image = vtk.vtkMatrix4x4(), node.GetImageData()
    node.GetIJKToRASMatrix(matrix)
    rows = []
    for ijk in np.ndindex(*(2,) * 3):
        at = [last * (size - 1) for last, size in zip(ijk, image.GetDimensions(), strict=True)]
        ras = matrix.MultiplyPoint((*at, 1))[:3]
        rows.append([*ras, image.GetScalarComponentAsDouble(*map(int, at), 0)])
    return np.array(sorted(rows))


def _corners(path: Path) -> np.ndarray:
    volume = read_volume(path)
    rows = []
    for ijk in np.ndindex(*(2,) * 3):
        at = np.array(ijk) * (np.array(volume.geometry.size_ijk) - 1)
        ras = volume.geometry.ras_from_ijk(at)
        rows.append([*ras, volume.array_kji[tuple(at[::-1])]])
    return np.array(sorted(rows))


@pytest.mark.parametrize(
    "lines",
    [
        ["space dimension: 3", SIZE, WAYS, AT],
        ["space: LAS", SIZE, AT],
        ["space: RAS", SIZE, AT],
        ["space: left-posterior-superior", SIZE, AT],
        ["space: LAS", SIZE],
        ["space: LAS", SIZE, WAYS],
        ["space: scanner-xyz", SIZE, WAYS, AT],
        ["space: 3D-right-handed", SIZE, WAYS, AT],
        ["space: LAS", SIZE, WAYS, AT, "centers: node node node"],
        ["space: LAS", SIZE, WAYS, AT, "measurement frame: (0,1,0) (1,0,0) (0,0,1)"],
        [SIZE, "axis mins: 10 20 30", "axis maxs: 16 25 38"],
        [SIZE, "spacings: 1 1 2", "axis mins: 10 20 30"],
        [SIZE, "spacings: 1 1 2", "axis mins: 10 20 30", "centers: node node node"],
        [SIZE, "spacings: 1 1 2", "thicknesses: nan nan 5"],
        ["dimension: 4", "sizes: 6 5 4 1", "spacings: 1 1 2 1"],
        ["dimension: 4", "space: LAS", "sizes: 1 6 5 4", AT, "kinds: list domain domain domain",
         "space directions: none (1,0,0) (0,1,0) (0,0,2)"],
        ["dimension: 4", "space: LAS", "sizes: 6 1 5 4", AT, "kinds: domain list domain domain",
         "space directions: (1,0,0) none (0,1,0) (0,0,2)"],
        ["dimension: 4", "space: LAS", "sizes: 6 5 4 1", AT, "kinds: domain domain domain list",
         "space directions: (1,0,0) (0,1,0) (0,0,2) none"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_is_read_as_slicer_reads_it(tmp_path: Path, lines: list[str]) -> None:
    path = _file(tmp_path, lines)
    assert np.allclose(_corners(path), _corners_of_slicer(path), atol=0.01)


@pytest.mark.parametrize("line", ["byte skip: 4", "byte skip: -1"])
def test_bytes_before_the_voxels_are_passed_over(tmp_path: Path, line: str) -> None:
    path = _file(tmp_path, ["space: LAS", SIZE, WAYS, AT, line], b"junk")
    assert np.array_equal(read_volume(path).array_kji, ARRAY)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["space: 3D-left-handed", SIZE, WAYS, AT], "expected the space RAS, LAS or LPS"),
        (["space: LAS ", SIZE, WAYS, AT], "couldn't parse space"),
        (["space: RAS", "space: LAS", SIZE, WAYS, AT], "every field once, got 'space' twice"),
        (["space: RAS", SIZE, WAYS, AT, "space origin: (7,8,9)"], "got 'space origin' twice"),
        (["space: RAS", SIZE, WAYS, AT, "spacings: 1 1 5"], "has a direction vector"),
        (["space: RAS", SIZE, "spacings: 1 1 2", AT], "ScalarWithSpace"),
        (["space: LAS", SIZE, "space origin: (1,2)"], "three numbers in the space origin"),
        (["space: LAS", SIZE, "space origin: (1,2,nan)"], "space origin within 20000 mm"),
        (["dimension: 2", "space dimension: 2", "sizes: 30 4", "space directions: (1,0) (0,1)"],
         "expected a 3D image"),
        (["dimension: 2", "space: RAS", "sizes: 30 4", "space directions: (1,0,0) (0,1,0)"],
         "expected a 3D image"),
        (["dimension: 4", "space: LAST", "sizes: 6 5 4 1", "space origin: (1,2,3,0)",
          "space directions: (1,0,0,0) (0,1,0,0) (0,0,2,0) (0,0,0,1)"], "without a time axis"),
        (["dimension: 4", "space: LAS", "sizes: 2 6 5 2", "kinds: vector domain domain domain",
          "space directions: none (1,0,0) (0,1,0) (0,0,2)"], "got 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_it_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        read_volume(_file(tmp_path, lines))
