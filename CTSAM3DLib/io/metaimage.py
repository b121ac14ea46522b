"""MetaImage headers: numbers that the library of MetaImage replaces without a word."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.data_files import check_data_files
from CTSAM3DLib.io.header_numbers import (
    GZIP_RATIO,
    checked_origin,
    checked_size,
    checked_spacing,
    numbers_in,
    squared_directions,
    surplus_note,
    unpacked_length,
)
from CTSAM3DLib.io.simpleitk import printable

_HEADER_LIMIT = 1 << 20
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_OFFSETS = ("Offset", "Position", "Origin")
_SIZES = ("ElementSpacing", "ElementSize")  # steps and extents of voxels, which may differ
_AT_THE_END = "-1"  # HeaderSize of voxels that end with their file
_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_metaimage(file: Path) -> list[str]:
    """Check the header of a MetaImage (``.mha``, ``.mhd``) and return what the user must know.

    Raises VolumeError: no header, impossible numbers or too few of them, sheared axes, more voxels
    than the file can hold, or voxels in a file that is missing or lies elsewhere.
    """
    with file.open("rb") as stream:
        fields, end = _fields(stream.read(_HEADER_LIMIT))
    size = _numbers(fields, ("DimSize",))
    data_file = fields.get("ElementDataFile")
    if size is None or data_file is None or not (np.isfinite(size) & (size == np.rint(size))).all():
        raise VolumeError("expected a MetaImage header with DimSize and ElementDataFile, got none")
    counts = [int(count) for count in size]
    kind = fields.get("ElementType", "").removeprefix("MET_").removesuffix("_ARRAY")
    each = _BYTES.get(re.sub("^U(?=CH|SH|INT|LONG)", "", kind), 1)
    local = data_file.upper() == "LOCAL" and _is_true(fields, "BinaryData", "True")
    compressed = _is_true(fields, "CompressedData", "False")
    there = (file.stat().st_size - end) * (GZIP_RATIO if compressed else 1)
    checked_size(counts, each, there if local else math.inf)
    if data_file.upper() != "LOCAL" and data_file.split()[:1] != ["LIST"]:
        check_data_files(file, data_file.split()[:1] if "%" in data_file else [data_file])
    axes_by_number = _numbers(fields, ("NDims",), 1)
    if axes_by_number is not None and axes_by_number[0] != len(counts):
        raise VolumeError(
            f"expected {axes_by_number[0]:g} numbers as DimSize, got {fields['DimSize']!r}; "
            "correct the header"
        )
    spacing = _numbers(fields, _SIZES, len(counts))
    if spacing is not None:
        checked_spacing(spacing[:3], counts[:3], "ElementSpacing")
    offset = _numbers(fields, _OFFSETS, len(counts))
    if offset is not None:
        checked_origin(offset[:3], "Offset")
    matrix = _numbers(fields, _MATRICES, len(counts) ** 2)
    if matrix is not None:
        axes = matrix.reshape(len(counts), -1)[:3, :3]
        if axes.shape == (3, 3):
            squared_directions(axes.T, (1, 1, 1), "TransformMatrix")
    surplus = _surplus(file, fields, end, math.prod(counts) * each)
    missing = [
        told
        for told, numbers in (
            ("ElementSpacing; took voxels of 1 mm", spacing),
            ("TransformMatrix; took its axes as L, P, S", matrix),
            ("Offset; took 0, 0, 0", offset),
        )
        if numbers is None
    ]
    notes = [f"the header has no {told}, as Slicer does" for told in missing]
    return notes + _notes(fields) + surplus_note(surplus)


def _surplus(file: Path, fields: dict[str, str], end: int, voxels: int) -> int:
    """Return how many bytes follow the last voxel, 0 where a list of files or text hides it.

    Packed voxels are unpacked once: the library of MetaImage takes what is cut off or damaged.
    """
    name, skip = fields["ElementDataFile"], fields.get("HeaderSize", "0")
    if not skip.isdecimal() and skip != _AT_THE_END:
        raise VolumeError(
            f"expected a HeaderSize of {_AT_THE_END}, 0 or more bytes, got {skip!r}; correct the "
            "header"
        )
    hidden = "%" in name or name.split()[:1] == ["LIST"]
    if hidden or not _is_true(fields, "BinaryData", "True"):
        return 0
    is_local = name.upper() == "LOCAL"
    data, start = (file, end) if is_local else (file.parent / name, max(int(skip), 0))
    there = data.stat().st_size - start
    if not _is_true(fields, "CompressedData", "False"):
        if there < voxels:
            raise VolumeError(
                f"expected {voxels} bytes of voxels in {printable(data.name)}, got "
                f"{max(there, 0)}: it is truncated or the header is wrong; copy it again"
            )
        return 0 if skip == _AT_THE_END else there - voxels
    stated = fields.get("CompressedDataSize", "")
    if is_local and not stated.isdecimal():
        raise VolumeError(
            "expected CompressedDataSize in the header of packed voxels, without which they cannot "
            "be found; save the CT again"
        )
    packed = int(stated) if stated.isdecimal() else there
    with data.open("rb") as stream:
        stream.seek(start)
        unpacked = unpacked_length(stream, packed)
    if unpacked < voxels:
        raise VolumeError(
            f"expected {voxels} bytes of packed voxels, got a truncated or damaged file; copy it "
            "again"
        )
    return unpacked - voxels + there - packed


def _notes(fields: dict[str, str]) -> list[str]:
    """Return what to tell about fields that Slicer passes over."""
    notes = []
    unit = fields.get("DistanceUnits", "mm").lower()
    if unit not in ("mm", "?"):
        notes.append(f"the header has lengths in {unit}; took them as mm, as Slicer does")
    scale = [fields.get(f"ElementToIntensityFunction{name}") for name in ("Slope", "Offset")]
    if scale != [None, None]:
        notes.append(
            f"the header has a slope of {scale[0] or 1} and an offset of {scale[1] or 0} for its "
            "voxels; took the voxels as they are, as Slicer does"
        )
    return notes


def _is_true(fields: dict[str, str], name: str, default: str) -> bool:
    return fields.get(name, default)[:1].upper() in ("T", "1")  # as the library of MetaImage


def _fields(content: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and where the voxels begin."""
    fields: dict[str, str] = {}
    position = 0
    for line in content.splitlines(keepends=True):
        position += len(line)
        # It may name a file, in whatever letters.
        name, mark, value = line.decode("utf-8", "surrogateescape").partition("=")
        if not mark:
            break
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            break
    return fields, position


def _numbers(
    fields: dict[str, str], names: tuple[str, ...], count: int | None = None
) -> np.ndarray | None:
    """Return the numbers of a field with several names; VolumeError: none, or two that differ."""
    found = {name: numbers_in(fields[name], name, count) for name in names if name in fields}
    first = next(iter(found), "")
    for name, numbers in found.items():
        if names != _SIZES and not np.array_equal(numbers, found[first]):
            raise VolumeError(
                f"expected one place in the header, got {first} = {fields[first]} and {name} = "
                f"{fields[name]}; find out which is right and remove the other"
            )
    return found.get(first)
