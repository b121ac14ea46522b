"""Two traps of reading NIfTI with ITK: files that end early, and neighbours of the same name."""

from __future__ import annotations

import gzip
import math
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from CTSAM3DLib.errors import VolumeError

_CHUNK = 1 << 20
_HEADER = 348  # bytes; ITK reads no NIfTI-2


def check_nifti_complete(file: Path) -> None:
    """Raise VolumeError if a .nii or .nii.gz file holds less data than its header says.

    ITK fills what is missing with zeros: a broken download becomes slices of water. A compressed
    file is read through once, which also verifies its checksum and costs about as much as
    reading the image.

    Parameters
    ----------
    file : path
        Any file; other suffixes are not looked at.

    Raises
    ------
    VolumeError
        The file ends early, or its compressed stream is damaged.
    """
    name = file.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    try:
        with gzip.open(file) if name.endswith(".gz") else file.open("rb") as stream:
            header = stream.read(_HEADER)
            found = len(header)
            while chunk := stream.read(_CHUNK):
                found += len(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"expected a whole compressed file, got a truncated or damaged one ({error})"
        raise VolumeError(message) from error
    wanted = _expected_bytes(header)
    if wanted is not None and found < wanted:
        message = f"expected {wanted} bytes of image, got {found}: the file is truncated"
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


def _expected_bytes(header: bytes) -> int | None:
    """Return the number of bytes of a single-file NIfTI-1 image; None if it is not one."""
    if len(header) < _HEADER or header[344:347] != b"n+1":
        return None
    order = "<" if struct.unpack_from("<i", header)[0] == _HEADER else ">"
    sizes: tuple[int, ...] = struct.unpack_from(order + "8h", header, 40)
    bits: int = struct.unpack_from(order + "h", header, 72)[0]
    offset: float = struct.unpack_from(order + "f", header, 108)[0]
    voxels = math.prod(max(1, size) for size in sizes[1 : sizes[0] + 1])
    return int(offset) + voxels * bits // 8
