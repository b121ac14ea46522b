"""Numbers of an image header: what no CT can have is refused, what is nearly right is told."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.affine import ORTHOGONALITY_TOLERANCE

TOLD_MM = 0.01  # smaller differences of place are not worth a word
MOST_VOXELS = 2**33
GZIP_RATIO = 1032  # deflate cannot pack better
GZIP = b"\x1f\x8b"  # how packed bytes begin
_ANY_HEADER = 47  # tells zlib to find out whether it is gzip
_PIECE = 1 << 16  # bytes; they unpack to 64 MiB at most
_ROUNDED = 1e-4  # the largest error of R R^T that Slicer lets pass
_SPACING_MM = (0.01, 100.0)
_LENGTH_MM = 5_000.0
_DISTANCE_MM = 20_000.0  # single precision is 0.002 mm there


def checked_size(size: Sequence[int], bytes_per_voxel: int, bytes_there: float = math.inf) -> None:
    """Raise VolumeError unless a grid has voxels, not too many for a CT, nor for its file.

    `bytes_per_voxel` is what is stored, `bytes_there` the most that the file can hold.
    """
    shown = " x ".join(str(count) for count in size)
    if any(count < 1 for count in size):
        raise VolumeError(
            f"expected at least one voxel along every axis, got {shown}; export the CT again"
        )
    voxels = math.prod(size)
    if voxels > MOST_VOXELS:
        raise VolumeError(
            f"expected at most {MOST_VOXELS} voxels, got {shown} in the header; "
            "crop the CT, or export it again if its header is wrong"
        )
    if voxels * bytes_per_voxel > bytes_there:
        raise VolumeError(
            f"expected {voxels * bytes_per_voxel} bytes of image for {shown} voxels, got at most "
            f"{int(bytes_there)}: the file is truncated or its header is wrong; copy it again"
        )


def checked_spacing(
    spacing_mm: ArrayLike, size: Sequence[int], what: str = "voxel spacing"
) -> NDArray[np.float64]:
    """Return spacings in mm, along axes of `size` voxels, as float64 if a CT can have them.

    `what` is their name in the header. Raises VolumeError: not finite, zero, negative, below 0.01
    or above 100 mm, or a side longer than 5 m.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    low, high = _SPACING_MM
    shown = ", ".join(f"{value:g}" for value in spacing)
    # Written so that NaN fails.
    if not ((spacing >= low) & (spacing <= high)).all():
        raise VolumeError(
            f"expected {what} of {low:g} to {high:g} mm, got {shown}; correct the header or "
            "export the CT again"
        )
    lengths = spacing * np.asarray(size)
    if lengths.max() > _LENGTH_MM:
        raise VolumeError(
            f"expected an image of at most {_LENGTH_MM:g} mm, got {lengths.max():g} mm by {what} "
            f"of {shown}; correct the header or export the CT again"
        )
    return spacing


def checked_origin(
    origin_mm: ArrayLike, what: str = "position of the first voxel"
) -> NDArray[np.float64]:
    """Return a position as float64; VolumeError when it is not finite or beyond 20 m."""
    origin = np.asarray(origin_mm, dtype=np.float64)
    if not (np.abs(origin) <= _DISTANCE_MM).all():
        shown = ", ".join(f"{value:g}" for value in origin)
        raise VolumeError(
            f"expected {what} within {_DISTANCE_MM:g} mm, got {shown}; correct the header or "
            "export the CT again"
        )
    return origin


def numbers_in(text: str, name: str, count: int | None = None) -> NDArray[np.float64]:
    """Return the numbers of a field; VolumeError unless it has `count` numbers, or any of them."""
    try:
        found = np.array([float(word) for word in text.split()])
    except ValueError:
        found = None
    if found is None or count not in (None, len(found)):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise VolumeError(f"expected {wanted} as {name}, got {text!r}; correct the header")
    return found


def unpacked_length(stream: BinaryIO, most: float = math.inf) -> int:
    """Return the bytes that a stream of gzip or zlib unpacks to, and what follows it as it is.

    At most `most` packed bytes are looked at. Zeros that follow are padding and do not count. The
    result is -1 when the stream is cut off or damaged.
    """
    total, rest, unpacker = 0, b"", zlib.decompressobj(_ANY_HEADER)
    while piece := rest or stream.read(int(min(_PIECE, most))):
        most -= 0 if rest else len(piece)
        try:
            total += len(unpacker.decompress(piece))
        except zlib.error:
            return -1
        rest = unpacker.unused_data
        if unpacker.eof and rest.startswith(GZIP):
            unpacker = zlib.decompressobj(_ANY_HEADER)
        elif unpacker.eof:
            after = rest + stream.read(int(min(_PIECE, most)))
            return total + len(after.rstrip(b"\0"))
    return total if unpacker.eof else -1


def surplus_note(surplus: int, unit: str = "byte") -> list[str]:
    """Return what to tell about bytes behind the last voxel: nothing, or one sentence."""
    if surplus <= 0:
        return []
    more = f"{surplus} {unit}{'s' * (surplus != 1)} more"
    return [
        f"the file holds {more} than the voxels that its header names; took "
        "the voxels by the header. Look whether its size and type are right, or export the CT again"
    ]


def squared_directions(
    directions: ArrayLike, lengths_mm: Sequence[float], what: str = "directions of the axes"
) -> tuple[NDArray[np.float64], float]:
    """Return the rotation or reflection nearest to directions, and how far a corner moves, mm.

    The directions (3, 3) are columns of any length, `lengths_mm` the sides of the image, `what` the
    name in the header. The result has columns of length 1: as they are where they are square but
    for rounding, which Slicer takes too, orthonormal otherwise. Raises VolumeError: not finite, a
    direction of length 0, or axes off square by more than 0.057 degrees.
    """
    matrix = np.asarray(directions, dtype=np.float64)
    norms = np.linalg.norm(matrix, axis=0)
    if not (np.isfinite(matrix).all() and (norms > 0).all()):
        raise VolumeError(f"expected finite {what}, got {matrix.T.tolist()}; export the CT again")
    units = matrix / norms
    cosines = units.T @ units - np.eye(3)
    if np.abs(cosines).max() > ORTHOGONALITY_TOLERANCE:
        first, second = np.unravel_index(np.abs(cosines).argmax(), (3, 3))
        angle = float(np.degrees(np.arcsin(min(1.0, np.abs(cosines).max()))))
        raise VolumeError(
            f"expected {what} at right angles, got {'ijk'[first]} and {'ijk'[second]} "
            f"{angle:.3f} degrees off square (a sheared image or a gantry tilt); resample the CT "
            "to a regular grid first, for example in Slicer with Resample Scalar/Vector/DWI Volume"
        )
    if np.abs(units @ units.T - np.eye(3)).max() <= _ROUNDED:
        return units, 0.0
    left, _, right = np.linalg.svd(units)
    square: NDArray[np.float64] = left @ right
    moved = largest_distance((square - units) * np.asarray(lengths_mm), np.zeros(3))
    return square, moved


def largest_distance(matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> float:
    """Return the largest length of ``matrix @ corner + shift`` over the corners of a unit cube."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    return float(np.linalg.norm(corners @ matrix.T + shift, axis=1).max())


def squared_note(moved_mm: float, what: str = "axes of the image") -> list[str]:
    """Return what to tell about axes that were made square: nothing, or one sentence."""
    if moved_mm <= TOLD_MM:
        return []
    return [
        f"the {what} are not quite square; took the nearest rotation, up to {moved_mm:.2g} mm away"
    ]
