"""Read a CT from an image file or from DICOM slices, as Slicer does or not at all."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError, SegmentationFileError, VolumeError, VolumeWarning
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.dicom import read_dicom_file, read_dicom_folder
from CTSAM3DLib.io.dicom_frames import is_dicom
from CTSAM3DLib.io.header_numbers import (
    GZIP_RATIO,
    checked_origin,
    checked_size,
    checked_spacing,
    squared_directions,
)
from CTSAM3DLib.io.metaimage import check_metaimage
from CTSAM3DLib.io.nifti import is_nifti, read_nifti
from CTSAM3DLib.io.nrrd_image import nrrd_place
from CTSAM3DLib.io.other_files import other_file
from CTSAM3DLib.io.simpleitk import itk_reason, printable, readable_by_itk, silent_simpleitk

_FEW_SLICES = 8
_WITH_DIRECTIONS = {".hdf5", ".hdf", ".h5", ".he5", ".hd5", ".mnc"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how one begins
_SMALL_MM = 40.0
_NO_READER = "Unable to determine ImageIO reader"
_UNIT = 2e-3  # how far directions rounded to three digits may be from length 1


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT as it was read, and what its reader must tell."""

    volume: Volume
    # Sentences: which of several placements or series was taken, what was left out
    notes: tuple[str, ...] = ()


def read_volume(path: str | os.PathLike[str], series: str = "") -> Volume:
    """Read a CT volume as `read_scan`; its notes are given as Python warnings.

    Raises VolumeError and ImportError as `read_scan`.

    Examples
    --------
    >>> read_volume("no-such-file.nii.gz")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.VolumeError: expected an image file or a DICOM folder, found nothing at ...
    """
    scan = read_scan(path, series)
    for note in scan.notes:
        warnings.warn(note, VolumeWarning, stacklevel=2)
    return scan.volume


def read_scan(path: str | os.PathLike[str], series: str = "") -> Scan:
    """Read a CT volume, with what must be told about it.

    Voxels lie where Slicer 5.12 places them, within 0.01 mm, or the difference is noted.

    Parameters
    ----------
    path : path
        An image file (NIfTI, NRRD, MetaImage, DICOM and what else SimpleITK reads; a fourth
        dimension of size one is dropped), or a folder of DICOM files.
    series : str
        Series Instance UID in a DICOM folder; by default the CT with slices at most places.
        Of no effect for a file.

    Returns
    -------
    Scan
        Voxels in the dtype of the file, scaled where the file says so (DICOM: HU), and notes. The
        name of the volume is that of the file or folder; for a folder, the UID of the chosen
        series follows.

    Raises
    ------
    VolumeError
        No such file, not an image, a truncated or damaged one, several frames or values per
        voxel, not 3D, NaN or infinite voxels, impossible numbers in the header, sheared axes, a
        header that contradicts itself, uneven DICOM slices, a tilted gantry, no such series.
    ImportError
        SimpleITK or pydicom is needed and not installed.

    Examples
    --------
    >>> read_scan("no-such-folder")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.VolumeError: expected an image file or a DICOM folder, found nothing at ...
    """
    place = Path(path)
    shown = printable(place)
    # A name that is too long is no error to these.
    if not (os.path.isfile(place) or os.path.isdir(place)):  # noqa: PTH112, PTH113
        raise VolumeError(f"expected an image file or a DICOM folder, found nothing at {shown}")
    try:
        array, geometry, name, notes = _read(place, series)
        return Scan(Volume(array, geometry, name), tuple(notes))
    except (VolumeError, GeometryError, SegmentationFileError, OSError, MemoryError) as error:
        reason = str(error) or "the voxels do not fit into the main memory"
        raise VolumeError(f"cannot use {shown}: {reason}") from error


def size_warning(volume: Volume) -> str | None:
    """Return why size or spacing of a volume let expect a poor result; None when they do not.

    Examples
    --------
    >>> import numpy as np
    >>> size_warning(Volume.from_array(np.zeros((3, 200, 200)), (1, 1, 3)))
    '3 slices: the model needs about 8 to see an organ; expect a poor result'
    >>> size_warning(Volume.from_array(np.zeros((50, 35, 200)), (1, 1, 1)))[:24]
    'a field of view of 35 mm'
    """
    geometry = volume.geometry
    fewest = min(geometry.size_ijk)
    if fewest < _FEW_SLICES:
        slices = "1 slice" if fewest == 1 else f"{fewest} slices"
        return (
            f"{slices}: the model needs about {_FEW_SLICES} to see an organ; expect a poor result"
        )
    side = min(n * mm for n, mm in zip(geometry.size_ijk, geometry.spacing_mm, strict=True))
    if side < _SMALL_MM:
        return (
            f"a field of view of {side:.3g} mm: the model needs about {_SMALL_MM:g} mm along every "
            "axis to see an organ; expect a poor result"
        )
    return None


def _read(place: Path, series: str) -> tuple[NDArray[Any], Geometry, str, list[str]]:
    if place.is_dir():
        return read_dicom_folder(place, series)
    name = printable(place.name)
    as_nifti = is_nifti(place)
    if other := other_file(place, as_nifti):
        raise VolumeError(f"expected an image, got {other}")
    if as_nifti:
        array, geometry, notes = read_nifti(place)
    elif is_dicom(place):
        array, geometry, notes = read_dicom_file(place)
    else:
        array, geometry, notes = _read_with_itk(place)
    return array, geometry, name, notes


def _read_with_itk(file: Path) -> tuple[NDArray[Any], Geometry, list[str]]:
    geometry: Geometry | None = None
    notes: list[str] = []
    most = math.inf
    with file.open("rb") as stream:
        start = stream.read(4)
    if start == b"NRRD":
        geometry, notes = nrrd_place(file)
    elif file.suffix.lower() in (".mha", ".mhd"):
        notes = check_metaimage(file)
    elif start in _TIFF:
        raise VolumeError(
            "expected voxels with their size in mm, got a TIFF, which does not know the distance "
            "of slices; save the CT as .nrrd with it, for example in Slicer"
        )
    elif file.suffix.lower() == ".spr":
        raise VolumeError(
            "expected voxels in the folder of their header, got Stimulate (.spr), whose header may "
            "name any file; save the CT as .nrrd"
        )
    else:
        most = file.stat().st_size * GZIP_RATIO
        if not _WITH_DIRECTIONS.intersection(suffix.lower() for suffix in file.suffixes):
            notes.append(
                f"a {file.suffix} file does not say how the patient lies; took its axes as L, P, S"
            )
    try:
        with readable_by_itk(file) as readable, silent_simpleitk() as sitk:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(readable))
            # The header first: a wrong kind of image is refused before its voxels are read.
            reader.ReadImageInformation()
            _check_header(reader.GetSize(), reader.GetNumberOfComponents())
            checked_size(reader.GetSize(), 1, most)
            image = reader.Execute()
            image = image[:, :, :, 0] if image.GetDimension() == 4 else image
            array = sitk.GetArrayFromImage(image)
    # What SimpleITK raises, and what Python does where its message is no Unicode.
    except (RuntimeError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    if geometry is None:
        spacing = checked_spacing(image.GetSpacing(), image.GetSize())
        axes = np.array(image.GetDirection()).reshape(3, 3)
        squared_directions(axes, spacing.tolist())
        lengths = np.linalg.norm(axes, axis=0)
        if np.abs(lengths - 1).max() > _UNIT:
            shown = ", ".join(f"{length:.4g}" for length in lengths)
            raise VolumeError(
                f"expected directions of length 1 in the header, got {shown}, which would change "
                "the voxel size; correct the directions or export the CT again"
            )
        origin = checked_origin(image.GetOrigin())
        geometry = Geometry.from_lps(origin.tolist(), spacing.tolist(), axes, array.shape)
    return array, geometry, notes


def _check_header(size: tuple[int, ...], components: int) -> None:
    """Raise VolumeError unless the image is 3D, or 4D with one frame, with one value a voxel."""
    if components != 1:
        raise VolumeError(
            f"expected one value per voxel, got {components} (a colour or vector image); save the "
            "CT with one number a voxel"
        )
    if len(size) != 3 and size[3:] != (1,):
        kind, do = (
            (f"{len(size)}D image", "save all slices of the CT in one file")
            if len(size) < 3
            else ("series of frames", "export one of them")
        )
        raise VolumeError(f"expected a 3D image, got a {kind} of size {size}; {do}")


def _unreadable(file: Path, error: Exception) -> VolumeError:
    """Return what to say of a file that ITK does not read."""
    reason = itk_reason(error)
    if _NO_READER not in reason:
        return VolumeError(f"expected a readable image, got: {reason}; export the CT again")
    ends = (".mhd", ".nhdr", ".hdr")
    headers = [file.with_suffix(end) for end in ends if file.suffix.lower() not in ends]
    if found := next((header for header in headers if header.is_file()), None):
        return VolumeError(
            f"expected an image, got voxels without their header; give {printable(found.name)}"
        )
    if file.suffix.lower() in (".img", ".raw", ".zraw"):
        return VolumeError("expected an image, got voxels without their header; copy both files")
    return VolumeError(
        "expected an image as NIfTI, NRRD, MetaImage or DICOM, got a file of an unknown kind; save "
        "the CT as .nii.gz or .nrrd"
    )
