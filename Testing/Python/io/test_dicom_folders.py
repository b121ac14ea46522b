"""Where in a tree of folders the slices are looked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import SERIES, stack, write_series, write_slice
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan


@pytest.fixture
def hu(rng: np.random.Generator) -> NDArray[np.int16]:
    """A small CT (6, 5, 6)."""
    return rng.integers(-1000, 2000, (6, 5, 6)).astype(np.int16)


def test_slices_in_a_subfolder_beside_those_that_are_read_are_told(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path, hu, stack(6))
    (tmp_path / "more").mkdir()
    for file in tmp_path.glob("*-[45].dcm"):
        file.rename(tmp_path / "more" / file.name)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no DICOM")
    scan = read_scan(tmp_path)
    assert len(scan.volume.array_kji) == 4
    assert f"did not read the DICOM files in the subfolders {tmp_path / 'more'};" in scan.notes[0]


def test_a_localizer_above_the_folder_of_the_slices_is_not_taken(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_slice(tmp_path / "scout.dcm", hu[0], stack(1)[0], SeriesInstanceUID=SERIES + ".9",
                ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    write_series(tmp_path / "series", hu, stack(6))
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, hu.astype(int) - 1024)
    assert scan.notes == (f"found the slices in {tmp_path / 'series'}",)
    assert "a localizer" in " ".join(read_scan(tmp_path, SERIES + ".9").notes)


def test_a_localizer_alone_is_read_and_told(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_slice(tmp_path / "scout.dcm", hu[0], stack(1)[0],
                ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    (tmp_path / "empty").mkdir()
    assert "the series is a localizer" in read_scan(tmp_path).notes[0]


def test_a_series_that_is_nowhere_names_those_that_are_there(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path, hu, stack(6))
    with pytest.raises(VolumeError, match=rf"expected the series 1\.2\.3 .* got {SERIES}\.2"):
        read_scan(tmp_path, "1.2.3")


def test_what_macos_keeps_beside_the_slices_is_passed_over(
    tmp_path: Path, hu: NDArray[np.int16]
) -> None:
    write_series(tmp_path, hu, stack(6))
    for file in list(tmp_path.iterdir()):
        (tmp_path / f"._{file.name}").write_bytes(b"\0\5\x16\7" + bytes(200))
    assert read_scan(tmp_path).notes == ()


def test_many_files_that_cannot_be_read_are_counted(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path, hu, stack(6))
    for n in range(7):
        (tmp_path / f"x{n}.dcm").write_bytes(b"")
    notes = read_scan(tmp_path).notes
    assert len(notes) == 5
    assert notes[-1] == "left out 3 more files like these"


@pytest.mark.parametrize("levels", ["PT0/ST0/SE0", "DICOM/PA0/ST0/SE0"])
def test_a_disc_is_read_as_it_is(tmp_path: Path, hu: NDArray[np.int16], levels: str) -> None:
    series = tmp_path / levels
    series.mkdir(parents=True)
    write_series(series, hu, stack(6))
    contents = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
    del contents.Rows, contents.Columns
    contents.SOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    contents.save_as(tmp_path / "DICOMDIR")
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array_kji, hu.astype(int) - 1024)
    assert scan.notes == (f"found the slices in {series}",)
    with pytest.raises(VolumeError, match="a DICOM file without one; give its folder"):
        read_scan(tmp_path / "DICOMDIR")
