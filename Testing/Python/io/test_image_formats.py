"""Formats that say little, and what is no file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_scan


@pytest.fixture
def hu(rng: np.random.Generator) -> NDArray[np.int16]:
    """A small CT (4, 5, 6)."""
    return rng.integers(-1000, 2000, (4, 5, 6)).astype(np.int16)


@pytest.mark.parametrize("suffix", ["vtk", "gipl", "mrc", "tif"])
def test_a_format_without_directions_is_told(
    tmp_path: Path, hu: NDArray[np.int16], suffix: str
) -> None:
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((2, 3, 5))
    path = tmp_path / f"ct.{suffix}"
    sitk.WriteImage(image, str(path))
    scan = read_scan(path)
    assert np.array_equal(scan.volume.array_kji, hu)
    assert scan.notes == (
        f"a .{suffix} file does not say how the patient lies; took its axes as L, P, S",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such thing on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ct.nii")
    with pytest.raises(VolumeError, match="expected an image file or a DICOM folder, found"):
        read_scan(tmp_path / "ct.nii")
