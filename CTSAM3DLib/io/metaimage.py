"""MetaImage headers: numbers that the library of MetaImage replaces without a word."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.header_numbers import (
    GZIP_RATIO,
    checked_origin,
    checked_size,
    checked_spacing,
    numbers_in,
    squared_directions,
    surplus_note,
)
from CTSAM3DLib.io.metaimage_files import NumberType, pieces_of, surplus_of

_HEADER_LIMIT = 1 << 20
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_OFFSETS = ("Offset", "Position", "Origin")
_SIZES = ("ElementSpacing", "ElementSize")  # steps and extents of voxels, which may differ
_TYPES = {
    "CHAR": "i1", "SHORT": "i2", "INT": "i4", "LONG": "i4", "LONG_LONG": "i8",
    "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
# Of a field that is there twice, the library takes the first one.
_ONCE = {
    "NDims", "DimSize", "ElementType", "CompressedData", "BinaryData", "HeaderSize",
    *_MATRICES, *_OFFSETS, *_SIZES,
}  # fmt: skip
# The sides at which an axis of L, P, S begins and ends
_SIDES = (("R", "L"), ("A", "P"), ("I", "S"))
_CLEAR_SIDE = 0.8  # of a direction of length 1


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
    number = _number_type(fields.get("ElementType", ""))
    each = number.itemsize
    local = data_file.upper() == "LOCAL" and _is_true(fields, "BinaryData", "True")
    compressed = _is_true(fields, "CompressedData", "False")
    there = (file.stat().st_size - end) * (GZIP_RATIO if compressed else 1)
    checked_size(counts, each, there if local else math.inf)
    pieces = pieces_of(file, fields, end, counts)
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
    is_text = not _is_true(fields, "BinaryData", "True")
    surplus = surplus_of(pieces, number, is_text=is_text, is_packed=compressed)
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
    return notes + _notes(fields) + surplus_note(surplus, "number" if is_text else "byte")


def _number_type(name: str) -> NumberType:
    """Return the type of the voxels; of an unknown one ITK says what is wrong."""
    kind = name.removeprefix("MET_").removesuffix("_ARRAY")
    signed = re.sub("^U(?=CH|SH|INT|LONG)", "", kind)
    code = _TYPES.get(signed, "u1")
    return np.dtype(code if signed == kind else code.replace("i", "u"))


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
    return notes + _side_notes(fields)


def _side_notes(fields: dict[str, str]) -> list[str]:
    """Return what to tell where the sides that the header names are not those of its matrix."""
    named = fields.get("AnatomicalOrientation", "").upper()
    matrix = _numbers(fields, _MATRICES)
    if matrix is None or matrix.size != 9 or not re.fullmatch("[RLAPIS]{3}", named):
        return []
    rows = matrix.reshape(3, 3)
    if (np.abs(rows).max(axis=1) < _CLEAR_SIDE).any():
        return []  # so oblique that the sides are a matter of choice
    axes = np.abs(rows).argmax(axis=1)
    forward = [bool(row[axis] > 0) for row, axis in zip(rows, axes, strict=True)]
    # Some programs name the sides where the axes begin, as ITK does, others where they end.
    for end in (0, 1):
        sides = (
            _SIDES[axis][end if ahead else 1 - end]
            for axis, ahead in zip(axes, forward, strict=True)
        )
        if "".join(sides) == named:
            return []
    return [
        f"the header names the sides {named} (AnatomicalOrientation), its TransformMatrix others; "
        "took the matrix, as Slicer does"
    ]


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
        name, value = name.strip(), value.strip()
        if name in _ONCE and fields.get(name, value) != value:
            raise VolumeError(
                f"expected every field once, got {name} = {fields[name]} and {value}; find out "
                "which is right and remove the other"
            )
        fields[name] = value
        if name == "ElementDataFile":
            break
    return fields, position


def _numbers(
    fields: dict[str, str], names: tuple[str, ...], count: int | None = None
) -> np.ndarray | None:
    """Return the numbers of a field with several names; VolumeError: none, or two that differ."""
    found = {name: numbers_in(fields[name], name, count) for name in names if name in fields}
    first = next(iter(found), "")
    for name, numbers in found.items():
        if names != _SIZES and not np.array_equal(numbers, found[first], equal_nan=True):
            raise VolumeError(
                f"expected one place in the header, got {first} = {fields[first]} and {name} = "
                f"{fields[name]}; find out which is right and remove the other"
            )
    return found.get(first)
