"""Voxels of MetaImage: in which files they lie, and whether these hold them all.

The library of MetaImage takes what is in the memory for voxels that are missing, or ends the
process on a pattern of names without its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.data_files import check_data_files
from CTSAM3DLib.io.header_numbers import unpacked_length
from CTSAM3DLib.io.nrrd_text import text_surplus
from CTSAM3DLib.io.simpleitk import printable

NumberType: TypeAlias = np.dtype[Any]

_AT_THE_END = "-1"  # HeaderSize of voxels that end with their file
_LIST = "LIST"
_MOST_FILES = 1 << 16
_LIST_LIMIT = 1 << 24


@dataclass(frozen=True)
class Piece:
    """A file, or the end of one, with voxels."""

    file: Path
    start: int | None  # The byte where the voxels begin; None where they end with the file
    voxels: int
    packed: int | None  # Bytes, where the header tells them


def pieces_of(file: Path, fields: Mapping[str, str], end: int, size: Sequence[int]) -> list[Piece]:
    """Return where the voxels of a MetaImage lie, of which `end` bytes are the header.

    Raises VolumeError: a wrong HeaderSize, a list or a pattern of names that are not those of all
    slices, or a file that is missing or lies elsewhere.
    """
    skip = fields.get("HeaderSize", "0")
    if not skip.isdecimal() and skip != _AT_THE_END:
        raise VolumeError(
            f"expected a HeaderSize of {_AT_THE_END}, 0 or more bytes, got {skip!r}; correct the "
            "header"
        )
    stated = fields.get("CompressedDataSize", "")
    packed = int(stated) if stated.isdecimal() else None
    if fields["ElementDataFile"].upper() == "LOCAL":
        is_packed = fields.get("CompressedData", "")[:1].upper() in ("T", "1")
        if is_packed and packed is None:
            raise VolumeError(
                "expected CompressedDataSize in the header of packed voxels, without which they "
                "cannot be found; save the CT again"
            )
        return [Piece(file, end, math.prod(size), packed)]
    names = _names(file, fields["ElementDataFile"], end, size)
    check_data_files(file, names)
    start = None if skip == _AT_THE_END else int(skip)
    voxels = math.prod(size) // len(names)
    return [Piece(file.parent / name, start, voxels, packed) for name in names]


def surplus_of(
    pieces: Sequence[Piece], number: NumberType, *, is_text: bool, is_packed: bool
) -> int:
    """Return how many bytes, or numbers of a text, follow the voxels of all pieces.

    Packed voxels are unpacked once: the library of MetaImage takes what is cut off or damaged.
    Raises VolumeError: voxels that are missing or damaged, or a number out of its type.
    """
    one = _text_surplus if is_text else _packed_surplus if is_packed else _plain_surplus
    return sum(one(piece, number) for piece in pieces)


def _names(file: Path, given: str, end: int, size: Sequence[int]) -> list[str]:
    """Return the names of the files with voxels: one, or one of each slice."""
    words, each = given.split(), str(len(size) - 1)
    if given.startswith(_LIST):
        with file.open("rb") as stream:
            stream.seek(end)
            lines = stream.read(_LIST_LIMIT).decode("utf-8", "surrogateescape").splitlines()
        names = [line.strip() for line in lines if line.strip()]
        dimensions, is_known = words[1:], words[0] == _LIST
    elif "%" in given:
        numbers, dimensions = words[1:], []  # a fourth number makes the library read nothing
        is_known = len(numbers) == 3 and all(word.isdecimal() for word in numbers)
        names = _by_pattern(words[0], [int(word) for word in numbers]) if is_known else []
    else:
        return [given]
    is_known = is_known and dimensions in ([], [each], [f"{each}D"])
    if not is_known or len(names) != size[-1]:
        raise VolumeError(
            f"expected the names of {size[-1]} files, one of each slice, in ElementDataFile, got "
            f"{len(names)} by {given!r:.80}; write the list LIST, or a pattern with its first "
            "number, last number and step"
        )
    return names


def _by_pattern(pattern: str, numbers: Sequence[int]) -> list[str]:
    first, last, step = numbers
    if step < 1 or not 0 <= last - first < _MOST_FILES * step:
        return []
    try:
        return [pattern % number for number in range(first, last + 1, step)]
    except (TypeError, ValueError):
        return []


def _plain_surplus(piece: Piece, number: NumberType) -> int:
    wanted = piece.voxels * number.itemsize
    there = piece.file.stat().st_size - (piece.start or 0)
    if there < wanted:
        raise VolumeError(
            f"expected {wanted} bytes of voxels in {printable(piece.file.name)}, got "
            f"{max(there, 0)}: it is truncated or the header is wrong; copy it again"
        )
    return 0 if piece.start is None else there - wanted


def _packed_surplus(piece: Piece, number: NumberType) -> int:
    wanted, start = piece.voxels * number.itemsize, piece.start or 0
    there = piece.file.stat().st_size - start
    packed = there if piece.packed is None else piece.packed
    with piece.file.open("rb") as stream:
        stream.seek(start)
        unpacked = unpacked_length(stream, packed)
    if unpacked < wanted or packed > there:
        raise VolumeError(
            f"expected {wanted} bytes of packed voxels, got a truncated or damaged file; copy it "
            "again"
        )
    return unpacked - wanted + there - packed


def _text_surplus(piece: Piece, number: NumberType) -> int:
    with piece.file.open("rb") as stream:
        stream.seek(piece.start or 0)
        surplus = text_surplus(stream, number, piece.voxels)
    if surplus < 0:
        raise VolumeError(
            f"expected {piece.voxels} numbers as voxels in {printable(piece.file.name)}, got "
            f"{piece.voxels + surplus}: it is truncated or the header is wrong; copy it again"
        )
    return surplus
