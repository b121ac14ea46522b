"""NRRD images: where Slicer 5.12 places them, and which headers it places against their word."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.data_files import check_data_files
from CTSAM3DLib.io.header_numbers import (
    GZIP,
    GZIP_RATIO,
    checked_origin,
    checked_size,
    checked_spacing,
    numbers_in,
    squared_directions,
    surplus_note,
    unpacked_length,
)
from CTSAM3DLib.io.nrrd import NrrdHeader, read_nrrd_header
from CTSAM3DLib.io.nrrd_text import TEXT, hex_surplus, text_surplus

_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
# These name no side of the patient; Slicer takes them as LPS.
_NAMELESS = ("", "scanner-xyz", "3d-right-handed")
_MM = {"mm", "millimeter", "millimeters", "millimetre", "", "???"}
_ENCODINGS = {"raw", "gzip", "gz", "hex", *TEXT}  # that ITK reads
_LETTERS = ("hex", *TEXT)
_LIST_LIMIT = 1 << 24
_LONGEST = 500  # letters of a field
_BYTES = {
    "8": 1, "16": 2, "32": 4, "64": 8,
    "char": 1, "short": 2, "long": 8, "int": 4, "float": 4, "double": 8,
}  # fmt: skip


def nrrd_place(file: Path) -> tuple[Geometry | None, list[str]]:
    """Return where an NRRD image (``.nrrd``, ``.nhdr``) lies by its header, and notes for the user.

    ITK 5.4 turns images of the space LAS by 180 degrees, and replaces numbers that are none. The
    place is None when the header has neither directions nor an origin in a space; then ITK and
    Slicer agree. Raises VolumeError or SegmentationFileError: not NRRD, impossible numbers, a space
    that is unknown or that Slicer takes for another, sheared axes, more voxels than the file can
    hold, or voxels in files that are missing or lie elsewhere.
    """
    header, bytes_left = read_nrrd_header(file)
    sizes = header.numbers("sizes")
    # The library in ITK writes its error about a long field past its memory.
    for name, value in header.fields.items():
        if (longest := max(len(name), len(value))) > _LONGEST:
            raise VolumeError(
                f"expected at most {_LONGEST} letters in a field of the header, got "
                f"{longest} in {name!r:.40}; export the CT again"
            )
    encoding = header.fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise VolumeError(
            f"expected voxels in the encoding raw, gzip, hex or text, got {encoding!r:.40}; save "
            "the CT again with gzip"
        )
    ratio = {"raw": 1, "gzip": GZIP_RATIO, "gz": GZIP_RATIO}.get(encoding, 100_000)
    there = math.inf if "data file" in header.fields else bytes_left * ratio
    checked_size(sizes, _bytes_each(header), there)
    check_data_files(file, _data_files(file, header, bytes_left))
    space = header.fields.get("space", "").lower()
    if space not in _TO_RAS and space not in _NAMELESS:
        raise VolumeError(
            "expected the space RAS, LAS or LPS of three axes, got "
            f"{header.fields['space']!r}, whose directions Slicer drops; save the CT again as "
            "left-posterior-superior, without a time axis"
        )
    notes = _unit_notes(header) + _other_notes(header)
    if encoding in _LETTERS:
        notes += _letters_note(file, header, sizes, bytes_left)
    notes += surplus_note(_surplus(file, header, sizes, bytes_left))
    if "space directions" not in header.fields:
        notes += _spacing_notes(header, sizes)
        return _at_origin(header, sizes, space), notes
    if space in _NAMELESS:
        notes.append(
            f"the header names no sides of the patient (space {space or 'not given'}); took LPS, "
            "as Slicer does"
        )
    return _geometry(header, sizes, space), notes


def _data_files(file: Path, header: NrrdHeader, bytes_left: int) -> list[str]:
    """Return the names of files that hold the voxels, when these do not follow the header."""
    given = header.fields.get("data file", "")
    if given.split()[:1] == ["LIST"]:
        with file.open("rb") as stream:
            stream.seek(-bytes_left, 2)
            lines = stream.read(_LIST_LIMIT).decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return given.split()[:1] if "%" in given else [given][: bool(given)]


def _unit_notes(header: NrrdHeader) -> list[str]:
    """Return what to tell about lengths that are not in mm; Slicer takes all as mm."""
    units = header.fields.get("space units", header.fields.get("units", ""))
    others = set(re.findall(r'"([^"]*)"', units)) - _MM
    shown = ", ".join(sorted(others))
    return [f"the header has lengths in {shown}; took them as mm, as Slicer does"] * bool(others)


def _other_notes(header: NrrdHeader) -> list[str]:
    """Return what to tell about fields that Slicer passes over, or that are no CT's."""
    fields = header.fields
    notes = []
    kinds = fields.get("kinds", "").lower().split()
    odd = sorted(set(kinds) - {"domain", "space", "list", "none", "???", "stub", "scalar"})
    if odd:
        notes.append(f"the header has an axis of the kind {', '.join(odd)}; took it as one of mm")
    if "old min" in fields or "old max" in fields:
        notes.append(
            "the header says that the voxels were scaled from other numbers (old min, old max); "
            "took the voxels as they are, as Slicer does"
        )
    if "space directions" in fields and "space origin" not in fields:
        notes.append("the header has no space origin; took 0, 0, 0, as Slicer does")
    return notes


def _geometry(header: NrrdHeader, sizes: list[int], space: str) -> Geometry:
    given, vectors = header.fields["space directions"], header.vectors("space directions")
    if len(vectors) != len(sizes):
        raise VolumeError(f"expected a direction for every axis, got {given!r}")
    size = [count for count, way in zip(sizes, vectors, strict=True) if way is not None]
    ways = [way for way in vectors if way is not None]
    if len(ways) != 3 or any(len(way) != 3 for way in ways):
        raise VolumeError(
            f"expected a 3D image, got space directions {given}; save the CT again with three axes"
        )
    directions = np.array(ways).T
    checked_spacing(np.linalg.norm(directions, axis=0), size)
    squared_directions(directions, (1, 1, 1), "space directions")
    signs = np.array(_TO_RAS.get(space, (-1, -1, 1)), np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = signs[:, None] * directions
    matrix[:3, 3] = signs * (_origin(header) if "space origin" in header.fields else 0.0)
    return Geometry(matrix, (size[2], size[1], size[0]))


def _origin(header: NrrdHeader) -> NDArray[np.float64]:
    """Return the space origin as it stands there."""
    vectors = header.vectors("space origin")
    if len(vectors) != 1 or vectors[0] is None or len(vectors[0]) != 3:
        raise VolumeError(
            f"expected three numbers in the space origin, got {header.fields['space origin']}"
        )
    return checked_origin(vectors[0], "space origin")


def _at_origin(header: NrrdHeader, sizes: list[int], space: str) -> Geometry | None:
    """Return the place of an image that has an origin in a space, and no directions."""
    if space not in _TO_RAS or "space origin" not in header.fields:
        return None
    if len(sizes) != 3:
        raise VolumeError(f"expected a 3D image, got sizes {sizes}")
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix[:3, 3] = np.array(_TO_RAS[space]) * _origin(header)
    return Geometry(matrix, (sizes[2], sizes[1], sizes[0]))


def _spacing_notes(header: NrrdHeader, sizes: list[int]) -> list[str]:
    """Return what to tell about a header without directions, after a look at its numbers."""
    spatial = [index for index, size in enumerate(sizes) if size > 1 or len(sizes) <= 3]
    if "axis mins" in header.fields:
        numbers = numbers_in(header.fields["axis mins"], "axis mins", len(sizes))
        checked_origin(numbers[spatial], "axis mins")
    if "spacings" not in header.fields:
        return ["the header has neither voxel size nor place; took 1 mm and LPS, as Slicer does"]
    numbers = numbers_in(header.fields["spacings"], "spacings", len(sizes))
    checked_spacing(numbers[spatial], [sizes[index] for index in spatial], "spacings")
    return ["the header names no sides of the patient; took its axes as L, P, S, as Slicer does"]


def _bytes_each(header: NrrdHeader) -> int:
    kind = header.fields.get("type", "").lower()
    return next((count for word, count in _BYTES.items() if word in kind), 1)


def _surplus(file: Path, header: NrrdHeader, sizes: list[int], bytes_left: int) -> int:
    """Return how many bytes follow the last voxel, 0 where lines or a way of packing hide it."""
    encoding = header.fields.get("encoding", "").lower()
    skipped = header.fields.get("line skip", "0")
    skip = header.fields.get("byte skip", "0")
    names = _data_files(file, header, bytes_left)
    if skipped != "0" or not skip.isdecimal() or len(names) > 1 or "%" in "".join(names):
        return 0
    voxels = math.prod(sizes) * _bytes_each(header) + int(skip)
    data = file.parent / names[0] if names else file
    there = data.stat().st_size if names else bytes_left
    if encoding == "raw":
        return there - voxels
    if encoding not in ("gzip", "gz"):
        return 0
    with data.open("rb") as stream:
        stream.seek(-there, 2)
        # ITK takes what is no gzip for voxels as they are.
        if stream.read(len(GZIP)) != GZIP and there != voxels:
            raise VolumeError(
                "expected voxels packed with gzip, got others; the file is damaged or its header "
                "is wrong: copy it or export the CT again"
            )
        stream.seek(-4, 2)
        if int.from_bytes(stream.read(4), "little") == voxels % 2**32:  # of a file in one piece
            return 0
        stream.seek(0 if names else -bytes_left, 0 if names else 2)
        return unpacked_length(stream) - voxels  # ITK tells what is cut off or damaged


def _letters_note(file: Path, header: NrrdHeader, sizes: list[int], bytes_left: int) -> list[str]:
    """Return what to tell about voxels in letters; VolumeError for numbers that ITK changes."""
    dtype = header.dtype
    names = _data_files(file, header, bytes_left)
    lines, skip = header.fields.get("line skip", "0"), header.fields.get("byte skip", "0")
    if dtype is None or len(names) > 1 or "%" in "".join(names):
        return []
    if not (lines.isdecimal() and skip.isdecimal()):
        return []
    with (file.parent / names[0] if names else file).open("rb") as stream:
        stream.seek(0 if names else -bytes_left, 0 if names else 2)
        for _ in range(int(lines)):
            stream.readline()
        stream.seek(int(skip), 1)
        if header.fields["encoding"].lower() == "hex":
            return surplus_note(hex_surplus(stream, math.prod(sizes) * dtype.itemsize))
        return surplus_note(text_surplus(stream, dtype, math.prod(sizes)), "number")
