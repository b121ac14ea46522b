"""Traps of reading NIfTI with ITK: files that end early, NaN as 0, neighbours of the same name."""

from __future__ import annotations

import glob
import gzip
import math
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from CTSAM3DLib.errors import VolumeError

_CHUNK = 1 << 20  # bytes, a multiple of the size of every voxel
_HEADER = 348  # bytes; ITK reads no NIfTI-2
_FLOAT_TYPES = {16: "f4", 64: "f8"}  # NIfTI's datatype: numpy's, without the byte order


def check_nifti(file: Path) -> None:
    """Raise VolumeError if a NIfTI file is not whole, or if some of its voxels are no numbers.

    ITK fills what is missing with zeros: a broken download becomes slices of water. It also takes
    NaN and infinite voxels as 0, before slope and intercept; what these make infinite, it keeps.
    The file is read through once, which also verifies the checksum of a compressed one and costs
    about as much as reading the image.

    Parameters
    ----------
    file : path
        Any file; other suffixes than .nii, .nii.gz, .hdr and .img are not looked at.

    Raises
    ------
    VolumeError
        The file ends early, its compressed stream is damaged, or a voxel is NaN or infinite.
    """
    header_file, voxel_file = _parts(file)
    if header_file is None or voxel_file is None:
        return
    try:
        with _opened(header_file) as stream:
            header = _Header.from_bytes(stream.read(_HEADER))
        with _opened(voxel_file) as stream:
            found, bad, first = _scan(stream, header)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"expected a whole compressed file, got a truncated or damaged one ({error})"
        raise VolumeError(message) from error
    if found < header.size_bytes:
        message = f"expected {header.size_bytes} bytes of image, got {found}: the file is truncated"
        raise VolumeError(message)
    if bad:
        place = header.index_ijk(first)
        message = (
            f"expected finite voxels, got {bad} NaN or infinite, the first at IJK {place}; "
            "ITK would take them as 0"
        )
        raise VolumeError(message)


@contextmanager
def without_namesake(file: Path) -> Iterator[Path]:
    """Give a path under which ITK reads the voxels of this very file.

    Asked for ct.nii.gz, ITK takes the voxels of ct.nii if there is one in the same folder, even
    if its image has another size. Such a file is copied to a folder of its own for the time of
    reading; any other file stays where it is.

    Parameters
    ----------
    file : path
        An image file of any kind.
    """
    stem = file.name[: -len(".nii.gz")]
    is_compressed = file.name.lower().endswith(".nii.gz")
    namesakes = (file.with_name(stem + suffix) for suffix in (".nii", ".NII"))
    if not (is_compressed and any(namesake.exists() for namesake in namesakes)):
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copy(file, folder))


@dataclass(frozen=True)
class _Header:
    """What a NIfTI-1 header says about the voxels; nothing when the file is not NIfTI-1.

    Parameters
    ----------
    offset : int
        First byte of the voxels in their file.
    size_bytes : int
        Where they end; 0 when unknown.
    voxel_type : dtype, optional
        Of voxels that may be NaN.
    size : tuple of int
        Voxels along i, j, k and further axes.
    """

    offset: int = 0
    size_bytes: int = 0
    voxel_type: np.dtype[Any] | None = None
    size: tuple[int, ...] = ()

    @classmethod
    def from_bytes(cls, content: bytes) -> _Header:
        """Understand the first bytes of a file."""
        if len(content) < _HEADER or content[344:347] not in (b"n+1", b"ni1"):
            return cls()
        order = "<" if struct.unpack_from("<i", content)[0] == _HEADER else ">"
        sizes: tuple[int, ...] = struct.unpack_from(order + "8h", content, 40)
        datatype, bits = struct.unpack_from(order + "2h", content, 70)
        start: float = struct.unpack_from(order + "f", content, 108)[0]
        size = tuple(max(1, count) for count in sizes[1 : sizes[0] + 1])
        kind = _FLOAT_TYPES.get(datatype)
        return cls(
            offset=int(start),
            size_bytes=int(start) + math.prod(size) * bits // 8,
            voxel_type=None if kind is None else np.dtype(order + kind),
            size=size,
        )

    def index_ijk(self, number: int) -> tuple[int, ...]:
        """Return the index of the voxel with a number in the order of the file."""
        return tuple(int(index) for index in np.unravel_index(number, self.size, order="F"))[:3]


def _parts(file: Path) -> tuple[Path | None, Path | None]:
    """Return the files with header and voxels of a NIfTI image; None for what is not there."""
    if file.name.lower().endswith((".nii", ".nii.gz")):
        return file, file
    if file.suffix.lower() not in (".hdr", ".img"):
        return None, None
    pair = {path.suffix.lower(): path for path in file.parent.glob(f"{glob.escape(file.stem)}.*")}
    header_file = pair.get(".hdr")
    is_nifti = header_file is not None and header_file.read_bytes()[344:347] == b"ni1"
    return (header_file, pair.get(".img")) if is_nifti else (None, None)


def _opened(file: Path) -> IO[bytes]:
    """Return a stream of the content of a file."""
    if file.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(file))
    return file.open("rb")


def _scan(stream: IO[bytes], header: _Header) -> tuple[int, int, int]:
    """Return bytes in a stream, voxels that are NaN or infinite, and the number of their first."""
    found, bad, first = len(stream.read(header.offset)), 0, 0
    while chunk := stream.read(_CHUNK):
        wanted = chunk[: max(0, header.size_bytes - found)]
        if header.voxel_type is not None and found >= header.offset:
            count = len(wanted) // header.voxel_type.itemsize
            wrong = ~np.isfinite(np.frombuffer(wanted, header.voxel_type, count))
            if not bad and wrong.any():
                begun = (found - header.offset) // header.voxel_type.itemsize
                first = begun + int(wrong.argmax())
            bad += int(wrong.sum())
        found += len(chunk)
    return found, bad, first
