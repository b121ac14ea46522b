"""One CT series out of a DICOM folder, with the geometry taken from every slice's position."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.affine import ORTHOGONALITY_TOLERANCE
from CTSAM3DLib.geometry.grid import Geometry

# A slice this fraction of the spacing away from its even place is missing, doubled or uneven.
SLICE_TOLERANCE = 0.1


def import_simpleitk() -> Any:
    """Return the SimpleITK module, which is needed only to read files.

    Raises
    ------
    ImportError
        SimpleITK is not installed; the message says how to get it.
    """
    try:
        return import_module("SimpleITK")
    except ImportError as error:
        message = "reading images needs SimpleITK: pip install SimpleITK"
        raise ImportError(message) from error


def series_in(folder: Path) -> dict[str, list[str]]:
    """Return UID and files, in slice order, of the image series in a folder, the longest first.

    Subfolders are not searched. Series of equal length stand in the text order of their UIDs.

    Raises
    ------
    VolumeError
        The folder holds no DICOM image series.
    """
    sitk = import_simpleitk()

    uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    files = {uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in uids}
    files = {uid: list(names) for uid, names in files.items() if names}
    if not files:
        message = f"expected a folder with a DICOM image series, found none in {folder}"
        raise VolumeError(message)
    return {uid: files[uid] for uid in sorted(files, key=lambda one: (-len(files[one]), one))}


def chosen_series(folder: Path, series: str = "") -> tuple[str, list[str]]:
    """Return UID and files, in slice order, of one image series in a folder.

    Parameters
    ----------
    folder : Path
        Folder of DICOM slices.
    series : str
        Its Series Instance UID; by default the series with most slices, of equally long ones the
        first UID in text order.

    Raises
    ------
    VolumeError
        The folder holds no DICOM image series, or not that one.
    """
    found = series_in(folder)
    uid = series or next(iter(found))
    if uid not in found:
        message = f"expected the series {uid} in {folder}, got {', '.join(found)}"
        raise VolumeError(message)
    return uid, found[uid]


def series_note(folder: Path, series: str = "") -> str | None:
    """Return which of several series in a folder is read; None when there is no choice.

    Parameters
    ----------
    folder : Path
        Any path; a file holds no choice.
    series : str
        The wish, as for `chosen_series`.

    Raises
    ------
    VolumeError
        See `chosen_series`.
    """
    if not folder.is_dir():
        return None
    found = series_in(folder)
    if len(found) == 1:
        return None
    taken = chosen_series(folder, series)[0]
    others = [f"{uid} ({len(files)} slices)" for uid, files in found.items() if uid != taken]
    return (
        f"took series {taken} ({len(found[taken])} slices) of {folder}; the option series takes "
        f"another: {', '.join(others)}"
    )


def read_series(files: list[str], name: str) -> tuple[NDArray[Any], Geometry]:
    """Return the voxels of a series, slope and intercept applied, and where they lie.

    Parameters
    ----------
    files : list of str
        Two or more, one slice each, in the order of their positions.
    name : str
        For messages.

    Returns
    -------
    array_kji : (K, J, I) array
        HU, in the dtype that SimpleITK chooses.
    geometry : Geometry
        From position, orientation and pixel spacing of the slices; the slice step is the mean.

    Raises
    ------
    VolumeError
        Not scalar, slices of different orientation or size, positions that are doubled, missing
        or unevenly spaced, or a tilted gantry.
    """
    sitk = import_simpleitk()

    headers = [_SliceHeader.read(file) for file in files]
    first = headers[0]
    if first.components != 1:
        message = f"expected one value per voxel in {name}, got {first.components}"
        raise VolumeError(message)
    for number, header in enumerate(headers, start=1):
        if header.size != first.size or not np.allclose(header.plane, first.plane, atol=1e-3):
            message = (
                f"expected slices of one size, spacing and orientation in {name}, got "
                f"{first.text} in slice 1 and {header.text} in slice {number}"
            )
            raise VolumeError(message)
    step = _slice_step(np.array([header.origin_lps for header in headers]), first.direction, name)
    columns, rows, _ = first.size
    geometry = Geometry.from_lps(
        first.origin_lps, (*first.spacing_mm, step), first.direction, (len(files), rows, columns)
    )
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    return sitk.GetArrayFromImage(reader.Execute()), geometry


@dataclass(frozen=True, eq=False)
class _SliceHeader:
    """Place and kind of the image in one file of a series."""

    origin_lps: tuple[float, ...]
    direction: NDArray[np.float64]  # (3, 3), columns, LPS
    spacing_mm: tuple[float, float]
    size: tuple[int, ...]
    components: int

    @classmethod
    def read(cls, file: str) -> _SliceHeader:
        """Read the header of a file, not its pixels."""
        sitk = import_simpleitk()

        reader = sitk.ImageFileReader()
        reader.SetFileName(file)
        reader.ReadImageInformation()
        size, spacing = reader.GetSize(), reader.GetSpacing()
        if len(size) != 3 or size[2] != 1:
            message = f"expected one slice per file, got size {size} in {Path(file).name}"
            raise VolumeError(message)
        direction = np.array(reader.GetDirection()).reshape(3, 3)
        components = reader.GetNumberOfComponents()
        return cls(reader.GetOrigin(), direction, (spacing[0], spacing[1]), size, components)

    @property
    def plane(self) -> NDArray[np.float64]:
        """Directions and pixel spacing, which all slices must share."""
        return np.concatenate([self.direction.ravel(), self.spacing_mm])

    @property
    def text(self) -> str:
        """Size, pixel spacing and directions for a message."""
        spacing = f"{self.spacing_mm[0]:.4g} x {self.spacing_mm[1]:.4g} mm"
        axes = np.round(self.direction[:, :2].T, 3).tolist()
        return f"{self.size[0]} x {self.size[1]} pixels of {spacing} along LPS {axes}"


def _slice_step(origins: NDArray[np.float64], direction: NDArray[np.float64], name: str) -> float:
    """Return the distance of evenly stacked slices; VolumeError if they are not.

    Parameters
    ----------
    origins : (N, 3) float64
        Positions of the slices, LPS mm, N >= 2.
    direction : (3, 3) float64
        Columns; the last one is the normal of the slices.
    name : str
        For messages.
    """
    mean = (origins[-1] - origins[0]) / (len(origins) - 1)
    step = float(mean @ direction[:, 2])
    even = origins[0] + np.arange(len(origins))[:, None] * mean
    deviation = np.linalg.norm(origins - even, axis=1)
    worst = int(deviation.argmax())
    if step <= 0 or deviation[worst] > SLICE_TOLERANCE * step:
        message = (
            f"expected evenly spaced slices in {name}, got slice {worst + 1} of {len(origins)} "
            f"{deviation[worst]:.2f} mm away from a step of {step:.2f} mm; slices are missing, "
            "doubled or of mixed spacing"
        )
        raise VolumeError(message)
    sideways = float(np.linalg.norm(mean - step * direction[:, 2]))
    if sideways > ORTHOGONALITY_TOLERANCE * step:
        angle = np.degrees(np.arctan2(sideways, step))
        message = (
            f"expected slices stacked at right angles in {name}, got a gantry tilt of "
            f"{angle:.2f} degrees; resample the series to a regular grid first"
        )
        raise VolumeError(message)
    return step
