"""NIfTI images: one of two placements in the header, chosen as Slicer does, and whole voxels.

Own code and no library: ITK reads no NIfTI-2, fills missing bytes with zeros, takes NaN as 0 and
believes a header that contradicts itself.
Format: https://nifti.nimh.nih.gov/nifti-1 and https://nifti.nimh.nih.gov/nifti-2
"""

from __future__ import annotations

import glob
import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.header_numbers import (
    GZIP,
    GZIP_RATIO,
    TOLD_MM,
    checked_origin,
    checked_size,
    checked_spacing,
    largest_distance,
    squared_directions,
    squared_note,
    surplus_note,
)
from CTSAM3DLib.io.nifti_header import NiftiHeader

_CHUNK = 1 << 24  # bytes, a multiple of the size of every voxel
_SINGLE_FILE = (".nii", ".nii.gz")
_PAIR = (".hdr", ".img", ".hdr.gz", ".img.gz")
_LARGEST_CODE = 5
_SLICER_SQUARE = 1e-4  # the largest error of R R^T with which ITK takes an sform
_SAME_SIZE = 1e-3  # of the voxels in pixdim and sform
_LEAST_REST = 1e-7  # square of the first number of a quaternion


def is_nifti(file: Path) -> bool:
    """Whether a file is NIfTI by its name, or a header or voxels of a pair by its content."""
    name = file.name.lower()
    return name.endswith(_SINGLE_FILE) or (name.endswith(_PAIR) and _pair(file)[0] is not None)


def read_nifti(file: Path) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Read a NIfTI-1 or NIfTI-2 image: ``.nii``, ``.nii.gz``, or one of ``.hdr`` and ``.img``.

    Content decides whether a file is compressed, its name does not. Returns voxels (K, J, I) with
    slope and intercept applied; the geometry of the sform or the qform, whichever Slicer takes; and
    notes: forms that are apart, axes that were made square, bytes behind the last voxel. Raises
    VolumeError: not NIfTI, not a 3D image of one value a voxel, cut off, damaged, NaN, impossible
    numbers, sheared axes, or forms that differ in left and right.
    """
    header_file, voxel_file = (
        (file, file) if file.name.lower().endswith(_SINGLE_FILE) else _pair(file)
    )
    if header_file is None or voxel_file is None:
        raise VolumeError(
            f"expected a pair of .hdr and .img, found only {file.name}; copy both files"
        )
    try:
        with _opened(header_file) as stream:
            header = NiftiHeader.from_bytes(stream.read(540), header_file == voxel_file)
        geometry, notes = _placed(header)
        if header.intent:
            notes.append(
                f"the header names other values than those of a CT (intent code {header.intent}; "
                "1002 are labels); took them as HU"
            )
        there = voxel_file.stat().st_size * (GZIP_RATIO if _is_compressed(voxel_file) else 1)
        with _opened(voxel_file) as stream:
            stored, surplus = _voxels(stream, header, there)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise VolumeError(
            f"expected a whole compressed file, got a truncated or damaged one ({error}); copy it "
            "again"
        ) from error
    return _scaled(stored, header), geometry, notes + surplus_note(surplus)


def _placed(header: NiftiHeader) -> tuple[Geometry, list[str]]:
    """Return where the voxels lie, as Slicer places them, and what to tell about it."""
    header.voxel_type  # noqa: B018  a wrong kind of image is refused first
    checked_size(header.size, 1)
    stated = checked_spacing(np.array(header.pixdim[1:4]) * header.mm, header.size, "pixdim")
    for name, code in (("qform", header.qform_code), ("sform", header.sform_code)):
        if not 0 <= code <= _LARGEST_CODE:
            raise VolumeError(
                f"expected a {name} code of 0 to {_LARGEST_CODE}, got {code}; save it again"
            )
    lengths = stated * (np.array(header.size) - 1)
    qform = _qform(header) if header.qform_code else None
    if not header.sform_code:
        if qform is None:  # as ITK: the axes of the file are those of LPS
            note = "the header does not place the image; took the voxel axes as L, P, S at 0, 0, 0"
            return _geometry(np.diag([-1.0, -1, 1]), np.zeros(3), stated, header), [note]
        return _geometry(*qform, stated, header), []
    axes, moved = squared_directions(header.sform[:, :3], lengths, "axes in the sform")
    origin = checked_origin(header.sform[:, 3] * header.mm, "offset in the sform")
    _check_sizes(stated, np.linalg.norm(header.sform[:, :3], axis=0) * header.mm)
    if qform is None:
        return _geometry(axes, origin, stated, header), squared_note(moved, "axes in the sform")
    apart = largest_distance((axes - qform[0]) * lengths, origin - qform[1])
    if np.linalg.det(axes) * np.linalg.det(qform[0]) < 0:
        raise VolumeError(
            "expected one side for left in the header, got opposite ones in qform and sform, "
            f"{apart:.3g} mm apart; find out which is right and save the CT with that one"
        )
    taken = "sform" if _slicer_takes_sform(header) or apart <= TOLD_MM else "qform"
    notes = []
    if apart > TOLD_MM:
        notes.append(
            f"qform (code {header.qform_code}) and sform (code {header.sform_code}) place voxels "
            f"up to {apart:.3g} mm apart; took the {taken}, as Slicer does"
        )
    place = (axes, origin) if taken == "sform" else qform
    return _geometry(*place, stated, header), notes


def _slicer_takes_sform(header: NiftiHeader) -> bool:
    """Whether ITK takes the sform of a header with both forms that are apart."""
    units = header.sform[:, :3] / np.linalg.norm(header.sform[:, :3], axis=0)
    square = bool(np.abs(units @ units.T - np.eye(3)).max() <= _SLICER_SQUARE)
    return square and header.sform_code == 1


def _check_sizes(stated: NDArray[np.float64], sform: NDArray[np.float64]) -> None:
    """Raise VolumeError when the sform has voxels of another size than pixdim."""
    if (np.abs(sform - stated) > _SAME_SIZE * stated).any():
        shown = [" x ".join(f"{value:.4g}" for value in sizes) for sizes in (stated, sform)]
        raise VolumeError(
            f"expected voxels of one size in the header, got {shown[0]} mm in pixdim and "
            f"{shown[1]} mm in the sform; find out which is right and save the CT again"
        )


def _qform(header: NiftiHeader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return directions and origin of the qform, mm."""
    from scipy.spatial.transform import Rotation

    b, c, d = header.quaternion
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest >= -1e-3:  # also NaN
        raise VolumeError(
            f"expected a unit quaternion in the qform, got {b:g}, {c:g}, {d:g}; save the CT again"
        )
    # The rest of single precision is noise; ITK draws the same line.
    a = math.sqrt(rest) if rest >= _LEAST_REST else 0.0
    axes: NDArray[np.float64] = Rotation.from_quat((b, c, d, a)).as_matrix()
    if header.pixdim[0] < 0:
        axes[:, 2] = -axes[:, 2]
    return axes, checked_origin(np.array(header.qoffset) * header.mm, "offset in the qform")


def _geometry(
    axes: NDArray[np.float64],
    origin: NDArray[np.float64],
    spacing: NDArray[np.float64],
    header: NiftiHeader,
) -> Geometry:
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = origin
    i, j, k = header.size
    return Geometry(matrix, (k, j, i))


def _pair(file: Path) -> tuple[Path | None, Path | None]:
    """Return the files with header and voxels of a pair; None for what is not there."""
    stem = file.name[: -len(".gz")] if file.suffix.lower() == ".gz" else file.name
    stem = stem.rpartition(".")[0]
    is_packed = file.suffix.lower() == ".gz"
    found: dict[str, Path] = {}

    def rank(path: Path) -> tuple[bool, bool, str]:
        return path.name == file.name, (path.suffix.lower() == ".gz") == is_packed, path.name

    # The last one stays: the file that is asked for, then what is packed as it is.
    for path in sorted(file.parent.glob(f"{glob.escape(stem)}.*"), key=rank):
        suffix = path.name[len(stem) :].lower()
        if suffix in _PAIR:
            found[suffix[:4]] = path
    header_file = found.get(".hdr")
    if header_file is None:
        return None, None
    try:
        with _opened(header_file) as stream:
            start = stream.read(348)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None, None
    known = {struct.pack(order, length) for order in ("<i", ">i") for length in (348, 540)}
    return (header_file, found.get(".img")) if start[:4] in known else (None, None)


def _is_compressed(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == GZIP


def _opened(file: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file)) if _is_compressed(file) else file.open("rb")


def _voxels(stream: IO[bytes], header: NiftiHeader, there: int) -> tuple[NDArray[Any], int]:
    """Return the stored numbers (K, J, I) and how many bytes follow, up to the checksum."""
    kind = header.voxel_type
    total = math.prod(header.size) * kind.itemsize
    checked_size(header.size, kind.itemsize, there)
    found = len(stream.read(header.offset))
    content = np.empty(total, np.uint8)  # pages that are never filled cost no memory
    filled = 0
    while filled < total and (piece := stream.read(min(_CHUNK, total - filled))):
        content[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    if filled < total:
        wanted, got = header.offset + total, found + filled
        raise VolumeError(f"expected {wanted} bytes of image, got {got}: the file is truncated")
    surplus = 0
    while piece := stream.read(_CHUNK):
        surplus += len(piece)
    array = content.view(kind).reshape(header.size[::-1])
    if kind.isnative:
        return array, surplus
    array.byteswap(inplace=True)
    return array.view(kind.newbyteorder("=")), surplus


def _scaled(stored: NDArray[Any], header: NiftiHeader) -> NDArray[Any]:
    """Return slope and intercept applied; the stored numbers when there is nothing to apply."""
    slope, intercept = header.slope, header.intercept
    unscaled = slope == 0 or not math.isfinite(slope)
    if unscaled and (intercept == 0 or not math.isfinite(intercept)):
        return stored
    if unscaled or not math.isfinite(intercept):
        raise VolumeError(
            f"expected slope and intercept, or neither, got {slope:g} and {intercept:g}; "
            "correct the header or export the CT again"
        )
    if (slope, intercept) == (1.0, 0.0):
        return stored
    kind = np.result_type(stored.dtype, np.float32)
    with np.errstate(over="ignore"):
        array = stored.astype(kind)
        array *= kind.type(slope)
        array += kind.type(intercept)
    return array
