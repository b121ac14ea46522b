"""Slices of a series that do not quite belong together: told, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_cases import SERIES, stack, write_series, write_slice
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan


@pytest.fixture
def hu(rng: np.random.Generator) -> NDArray[np.int16]:
    """A small CT (4, 5, 6)."""
    return rng.integers(-1000, 2000, (4, 5, 6)).astype(np.int16)


@pytest.mark.parametrize(
    ("tag", "usual", "odd", "apart_mm"),
    [
        ("PixelSpacing", [0.8, 0.75], [0.8, 0.759], 6 * 0.009),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], [1, 9e-3, 0, -9e-3, 1, 0], 9e-3 * 8.5),
    ],
)
@pytest.mark.parametrize("is_told", [True, False])
def test_slices_that_differ_a_little_are_told(
    tmp_path: Path, hu: NDArray[np.int16], tag: str, usual: list, odd: list, apart_mm: float,
    is_told: bool,
) -> None:  # fmt: skip
    # A tenth of these differences is within the tolerance of the reader, all of it is not.
    share = 0.1 if is_told else 1.0
    ours = [a + share * (b - a) for a, b in zip(usual, odd, strict=True)]
    wide = np.tile(hu, (1, 8, 8))
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", wide[n], position, **{tag: ours if n == 2 else usual})
    if not is_told:
        with pytest.raises(VolumeError, match="slices of one size, spacing and orientation"):
            read_scan(tmp_path)
        return
    (note,) = read_scan(tmp_path).notes
    assert f"differs between slices, by up to {0.8 * apart_mm:.2g} mm" in note


def test_slices_of_two_studies_are_refused(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, StudyInstanceUID=f"{SERIES}.{n % 2}")
    with pytest.raises(VolumeError, match=r"slices of one study .* sort the files by study first"):
        read_scan(tmp_path)


def test_several_frames_of_reference_are_told(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    for n, position in enumerate(stack(4)):
        write_slice(tmp_path / f"{n}.dcm", hu[n], position, FrameOfReferenceUID=f"1.2.{n % 2}")
    (note,) = read_scan(tmp_path).notes
    assert "several frames of reference" in note


def test_a_slice_that_is_there_twice_says_what_to_do(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    write_series(tmp_path, hu, stack(4))
    (tmp_path / "copy.dcm").write_bytes(next(tmp_path.glob("*-1.dcm")).read_bytes())
    with pytest.raises(VolumeError, match="lie at one place; keep one of them"):
        read_scan(tmp_path)
