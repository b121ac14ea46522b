"""MetaImage headers: numbers that the library of MetaImage replaces without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.header_numbers import (
    GZIP_RATIO,
    checked_origin,
    checked_size,
    checked_spacing,
    squared_directions,
)

_HEADER_LIMIT = 1 << 20
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_OFFSETS = ("Offset", "Position", "Origin")
_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_metaimage(file: Path) -> list[str]:
    """Check the header of a MetaImage and return what the user must know.

    Parameters
    ----------
    file : Path
        ``.mha`` or ``.mhd``.

    Raises
    ------
    VolumeError
        No header, impossible numbers, sheared axes, or more voxels than the file can hold.
    """
    with file.open("rb") as stream:
        fields, end = _fields(stream.read(_HEADER_LIMIT))
    size = _numbers(fields, ("DimSize",))
    data_file = fields.get("ElementDataFile")
    if size is None or data_file is None or not (size == np.rint(size)).all():
        message = "expected a MetaImage header with DimSize and ElementDataFile, got none"
        raise VolumeError(message)
    counts = [int(count) for count in size]
    each = _BYTES.get(
        fields.get("ElementType", "")
        .removeprefix("MET_")
        .replace("UCH", "CH")
        .replace("USH", "SH")
        .replace("UINT", "INT")
        .replace("ULONG", "LONG"),
        1,
    )
    local = data_file.upper() == "LOCAL" and fields.get("BinaryData", "True")[:1].upper() == "T"
    compressed = fields.get("CompressedData", "False")[:1].upper() == "T"
    there = (file.stat().st_size - end) * (GZIP_RATIO if compressed else 1)
    checked_size(counts, each, there if local else float("inf"))
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"))
    if spacing is not None:
        checked_spacing(spacing[:3], counts[:3], "ElementSpacing")
    offset = _numbers(fields, _OFFSETS)
    if offset is not None:
        checked_origin(offset[:3], "Offset")
    matrix = _numbers(fields, _MATRICES)
    if matrix is not None and len(matrix) == len(counts) ** 2:
        axes = matrix.reshape(len(counts), -1)[:3, :3]
        if axes.shape == (3, 3):
            squared_directions(axes.T, (1, 1, 1), "TransformMatrix")
    if spacing is None:
        return ["the header has no ElementSpacing; took voxels of 1 mm, as Slicer does"]
    return []


def _fields(content: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and where the voxels begin."""
    fields: dict[str, str] = {}
    position = 0
    for line in content.splitlines(keepends=True):
        position += len(line)
        name, mark, value = line.decode("latin-1").partition("=")
        if not mark:
            break
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            break
    return fields, position


def _numbers(fields: dict[str, str], names: tuple[str, ...]) -> np.ndarray | None:
    """Return the numbers of the first field of some names that is there."""
    for name in names:
        if name in fields:
            try:
                return np.array([float(word) for word in fields[name].split()])
            except ValueError:
                message = f"expected numbers as {name}, got {fields[name]!r}; correct the header"
                raise VolumeError(message) from None
    return None
