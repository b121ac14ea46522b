"""NRRD voxels in text: what ITK reads otherwise than it stands there is refused, more is counted.

ITK cuts decimals off in a whole-number type, wraps numbers that are too large, and passes over what
follows the last voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from CTSAM3DLib.errors import VolumeError

TEXT = ("ascii", "text", "txt")
_PIECE = 1 << 20
_DIGITS = b"0123456789abcdefABCDEF"


def text_surplus(stream: BinaryIO, dtype: np.dtype[np.generic], voxels: int) -> int:
    r"""Return how many numbers follow the last voxel in a text; VolumeError for one out of type.

    Examples
    --------
    >>> from io import BytesIO
    >>> text_surplus(BytesIO(b"1 -2,\n3 4"), np.dtype(np.int16), 3)
    1
    """
    count = 0
    for piece in _words(stream):
        words = [word for word in (one.strip(b",") for one in piece) if word]
        count += len(words)
        _check(words[: max(0, len(words) - max(0, count - voxels))], dtype)
    return count - voxels


def hex_surplus(stream: BinaryIO, expected_bytes: int) -> int:
    """Return how many bytes follow the last voxel in hexadecimal digits."""
    digits = 0
    while piece := stream.read(_PIECE):
        digits += len(piece) - len(piece.translate(None, _DIGITS))
    return (digits - 2 * expected_bytes) // 2


def _words(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the words of a text in pieces."""
    rest = b""
    while piece := stream.read(_PIECE):
        words = (rest + piece + b"|").split()
        rest = words.pop()[:-1]  # may go on in the next piece
        yield words
    yield [rest] if rest else []


def _check(words: list[bytes], dtype: np.dtype[np.generic]) -> None:
    try:
        if dtype.kind == "f":
            np.array(words, "S").astype(np.float64)
            return
        limits, numbers = np.iinfo(dtype.str), np.array(words, "S").astype(np.int64)
        if not ((numbers < limits.min) | (numbers > int(limits.max))).any():
            return
    except (ValueError, OverflowError):
        pass
    got = next((word for word in words if not _is_number(word, dtype)), None)
    if got is None:
        return
    kind = "numbers" if dtype.kind == "f" else "whole numbers"
    raise VolumeError(
        f"expected {kind} of the type {dtype.name} as voxels, got "
        f"{got.decode('ascii', 'replace')!r:.40}; correct the type in the header, or save the CT "
        "again with gzip"
    )


def _is_number(word: bytes, dtype: np.dtype[np.generic]) -> bool:
    try:
        if dtype.kind == "f":
            float(word)
            return True
        limits = np.iinfo(dtype.str)
        return int(limits.min) <= int(word) <= int(limits.max)
    except ValueError:
        return False
