"""The small part of the NRRD format that Slicer's segmentation files use.

Own code and no library: text fields must be UTF-8 with NRRD's escapes, and the voxels are
written plane by plane, so that several layers never lie in memory twice.
Format: http://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import SegmentationFileError, VolumeError
from CTSAM3DLib.io.content_mark import BLANK, KEY, fill_mark
from CTSAM3DLib.io.header_numbers import GZIP_RATIO, checked_size
from CTSAM3DLib.io.safe_write import written_atomically
from CTSAM3DLib.io.text import found_instead

_MAGIC = b"NRRD000"
_TYPES = {"uint8": "unsigned char", "uint16": "unsigned short"}
_DTYPES = {
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("ushort", "unsigned short", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("short", "signed short", "short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int"), "u8"),
    **dict.fromkeys(("uint64", "uint64_t"), "u8"),
}
# The format has two names for some fields.
_NAMES = {
    "datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip",
    "oldmin": "old min", "oldmax": "old max", "axismins": "axis mins",
}  # fmt: skip
_FLOATS = {"float": "f4", "double": "f8"}
_HEADER_LIMIT = 16 * 2**20


@dataclass(frozen=True)
class NrrdHeader:
    """What stands before the voxels."""

    fields: Mapping[str, str]  # The ``name: value`` lines of the format itself
    # The ``key:=value`` lines, without escapes
    keys: Mapping[str, str] = field(default_factory=dict)

    def numbers(self, name: str) -> list[int]:
        """Return a field of integers; SegmentationFileError when it is missing or otherwise."""
        try:
            return [int(word) for word in self.fields[name].split()]
        except (KeyError, ValueError):
            raise SegmentationFileError(
                f"expected integers in the field {name!r}, got {self.fields.get(name)!r}"
            ) from None

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The type of the voxels; None when it is none of numbers."""
        name = self.fields.get("type", "").lower()
        kind = {**_DTYPES, **_FLOATS}.get(name)
        return None if kind is None else np.dtype(kind)

    def vectors(self, name: str) -> list[tuple[float, ...] | None]:
        """Return the vectors of a field such as ``none (1,0,0) (0,1,0) (0,0,1)``, None for none."""
        # Any other letter is a word of its own, and no vector.
        words = re.findall(r"none|\([^()]*\)|\S", self.fields.get(name, "").lower())
        try:
            return [
                None if word == "none" else tuple(map(float, word[1:-1].split(",")))
                for word in words
            ]
        except ValueError:
            raise SegmentationFileError(
                f"expected vectors in the field {name!r}, got {self.fields.get(name)!r:.80}"
            ) from None


def write_nrrd(
    path: str | Path, header: NrrdHeader, planes: Iterable[NDArray[Any]], dtype: np.dtype[Any]
) -> None:
    """Write a gzip-compressed NRRD file of uint8 or uint16; one that exists is replaced whole.

    `header` has all fields but type, endian and encoding; `planes` are the voxels in file order,
    cut along the slowest axis. Raises OSError: the file cannot be written.
    """
    lines = ["NRRD0004", "# http://teem.sourceforge.net/nrrd/format.html"]
    lines += [f"type: {_TYPES[dtype.name]}", "endian: little", "encoding: gzip"]
    lines += [f"{name}: {value}" for name, value in header.fields.items()]
    lines += [f"{KEY}:={BLANK}"]  # above all that users name
    lines += [f"{key}:={_escaped(value)}" for key, value in header.keys.items()]
    stored = np.dtype(f"<u{dtype.itemsize}")
    with written_atomically(path) as temporary:
        with temporary.open("wb") as file:
            # What is no Unicode must not keep a result from being written.
            file.write(("\n".join(lines) + "\n\n").encode("utf-8", "replace"))
            with gzip.GzipFile("", "wb", compresslevel=4, fileobj=file, mtime=0) as packed:
                for plane in planes:
                    packed.write(np.ascontiguousarray(plane, dtype=stored).data)
        fill_mark(temporary)


def read_nrrd(path: str | Path) -> tuple[NrrdHeader, NDArray[Any]]:
    """Read header and integer voxels of an NRRD file; the slowest axis of the file comes first.

    Raises SegmentationFileError, also for parts of the format that Slicer's segmentations lack.
    """
    try:
        with Path(path).open("rb") as file:
            header = _read_header(file)
            return header, _read_voxels(file, header)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SegmentationFileError(
            f"{path}: expected a readable NRRD file, {found_instead(error)}"
        ) from error
    except (SegmentationFileError, VolumeError) as error:
        raise SegmentationFileError(f"{path}: {error}") from error


def read_nrrd_header(path: str | Path) -> tuple[NrrdHeader, int]:
    """Return the header of an NRRD file of any kind, and how many bytes follow it."""
    with Path(path).open("rb") as file:
        header = _read_header(file)
        return header, Path(path).stat().st_size - file.tell()


def _read_header(file: BinaryIO) -> NrrdHeader:
    """Return the header and leave the file at the first byte of the voxels."""
    magic = file.readline(64)
    if not magic.startswith(_MAGIC) or len(magic.rstrip(b"\r\n")) != len(_MAGIC) + 1:
        raise SegmentationFileError(
            f"expected an NRRD file, got one that starts with {magic[:8]!r}"
        )
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    while True:
        line = file.readline(_HEADER_LIMIT)
        if not line and "data file" in fields:
            return NrrdHeader(fields, keys)
        if not line.endswith(b"\n"):
            raise SegmentationFileError("expected an empty line after the header, got none")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return NrrdHeader(fields, keys)
        if "\r" in text:  # other readers begin a line there
            raise SegmentationFileError(f"expected lines that end in a newline, got {text!r:.80}")
        if text.startswith("#"):
            continue
        _take(text, fields, keys)
        if fields.get("data file", "").split()[:1] == ["LIST"]:
            return NrrdHeader(fields, keys)  # names of files follow, to the end


def _take(text: str, fields: dict[str, str], keys: dict[str, str]) -> None:
    """Take a line of the header as one of its fields or keys."""
    name, mark, value = text.partition(":")
    if not mark:
        raise SegmentationFileError(f"expected 'name: value' in the header, got {text!r:.80}")
    if value.startswith("="):
        parts = value[1:].split("\\\\")  # as `_escaped` has left them
        keys[name] = "\\".join(part.replace("\\n", "\n") for part in parts)
        return
    name = name.strip().lower()
    name = _NAMES.get(name, name)
    if name in fields:
        raise SegmentationFileError(f"expected every field once, got {name!r:.40} twice")
    fields[name] = value.strip()


def _read_voxels(file: BinaryIO, header: NrrdHeader) -> NDArray[Any]:
    name = header.fields.get("type", "").lower()
    encoding = header.fields.get("encoding", "").lower()
    if name not in _DTYPES or "data file" in header.fields:
        raise SegmentationFileError(
            f"expected whole numbers as voxels, in the same file, got type {name!r}; save the "
            "segmentation again as such, for example with Slicer"
        )
    if encoding not in ("gzip", "gz", "raw"):
        raise SegmentationFileError(f"expected the encoding gzip or raw, got {encoding!r}")
    order = ">" if header.fields.get("endian", "little").lower() == "big" else "<"
    dtype = np.dtype(order + _DTYPES[name])
    shape = tuple(reversed(header.numbers("sizes")))
    there = Path(file.name).stat().st_size * (1 if encoding == "raw" else GZIP_RATIO)
    checked_size(shape, dtype.itemsize, there)
    expected = math.prod(shape) * dtype.itemsize
    if encoding == "raw":
        content = file.read(expected)
    else:
        with gzip.GzipFile(fileobj=file) as packed:
            content = packed.read(expected)
            packed.read(1)  # reaches the end, where the checksum is compared
    if len(content) != expected:
        raise SegmentationFileError(f"expected {expected} bytes of voxels, got {len(content)}")
    array = np.frombuffer(content, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _escaped(value: str) -> str:
    """Return a value as it stands in the file; the format escapes backslash and line end."""
    return value.replace("\\", "\\\\").replace("\r", " ").replace("\n", "\\n")
