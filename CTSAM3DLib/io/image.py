"""Read a CT from any image file that SimpleITK knows, or from a folder of DICOM slices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import GeometryError, VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.dicom import chosen_series, import_simpleitk, read_series
from CTSAM3DLib.io.nifti import check_nifti, without_namesake


def read_volume(path: str | os.PathLike[str], series: str = "") -> Volume:
    """Read a CT volume.

    Parameters
    ----------
    path : path
        An image file (NIfTI, NRRD, MetaImage, DICOM and what else SimpleITK reads; a fourth
        dimension of size one is dropped), or a folder of DICOM slices.
    series : str
        Series Instance UID in a DICOM folder; by default the series with most slices is taken.
        Of no effect for a file.

    Returns
    -------
    Volume
        Voxels in the dtype of the file, scaled where the file says so (DICOM: HU). Its name is
        that of the file or folder; for a folder, the UID of the chosen series follows.

    Notes
    -----
    Files that GDCM cannot read are not part of a DICOM series: one inside the stack leaves a gap,
    which is refused; one at its end shortens the volume.

    Raises
    ------
    VolumeError
        No such file, not an image, a truncated or damaged one, several frames or values per
        voxel, not 3D, NaN or infinite voxels, sheared axes, uneven DICOM slices, a tilted gantry,
        no such series.
    ImportError
        SimpleITK is not installed.

    Examples
    --------
    >>> read_volume("no-such-file.nii.gz")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.VolumeError: expected an image file or a DICOM folder, found nothing at ...
    """
    place = Path(path)
    if not place.exists():
        message = f"expected an image file or a DICOM folder, found nothing at {place}"
        raise VolumeError(message)
    try:
        with _silent_itk():
            array, geometry, name = (
                _read_folder(place, series) if place.is_dir() else _read_file(place)
            )
        return Volume(array, geometry, name)
    except (VolumeError, GeometryError) as error:
        message = f"cannot use {place}: {error}"
        raise VolumeError(message) from error


def _read_folder(folder: Path, series: str) -> tuple[Any, Geometry, str]:
    """Return voxels, geometry and name of a DICOM series in a folder."""
    uid, files = chosen_series(folder, series)
    name = f"{folder.resolve().name} (series {uid}, {len(files)} files)"
    if len(files) == 1:  # one slice, or all frames in one file
        return (*_read_file(Path(files[0]))[:2], name)
    try:
        return (*read_series(files, f"series {uid}"), name)
    except RuntimeError as error:  # what SimpleITK raises
        message = f"expected readable DICOM slices, got: {_itk_reason(error)}"
        raise VolumeError(message) from error


def _read_file(file: Path) -> tuple[Any, Geometry, str]:
    """Return voxels, geometry and name of an image file."""
    sitk = import_simpleitk()

    reader = sitk.ImageFileReader()
    try:
        with without_namesake(file) as readable:
            reader.SetFileName(str(readable))
            # The header first: a wrong kind of image is refused before its voxels are read.
            reader.ReadImageInformation()
            _check_header(reader.GetSize(), reader.GetNumberOfComponents())
            check_nifti(readable)
            image = _without_single_frame(reader.Execute())
    except RuntimeError as error:  # what SimpleITK raises
        message = f"expected a readable image, got: {_itk_reason(error)}"
        raise VolumeError(message) from error
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry.from_lps(
        image.GetOrigin(), image.GetSpacing(), image.GetDirection(), array.shape
    )
    return array, geometry, file.name


def _check_header(size: tuple[int, ...], components: int) -> None:
    """Raise VolumeError unless the image is 3D, or 4D with one frame, with one value a voxel."""
    if components != 1:
        message = f"expected one value per voxel, got {components} (a colour or vector image)"
        raise VolumeError(message)
    if len(size) != 3 and size[3:] != (1,):
        kind = f"{len(size)}D image" if len(size) < 3 else "series of frames"
        message = f"expected a 3D image, got a {kind} of size {size}"
        raise VolumeError(message)


def _without_single_frame(image: Any) -> Any:
    """Return a 3D image, dropping the fourth axis if there is one."""
    return image[:, :, :, 0] if image.GetDimension() == 4 else image


def _itk_reason(error: Exception) -> str:
    """Return the part of an ITK message that says what is wrong."""
    return " ".join(str(error).rpartition("ERROR:")[2].split())


@contextmanager
def _silent_itk() -> Iterator[None]:
    """Keep ITK's warnings off the terminal; what matters in them is raised as an error here."""
    sitk = import_simpleitk()

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
