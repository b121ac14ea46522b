"""What the code in a TorchScript file may do: compute, and nothing with files."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path

import torch

from CTSAM3DLib.errors import BundleError

_MOST_CODE_BYTES = 1 << 26
_MOST_BYTES = 1 << 33
_LONGEST_NAME = 255  # bytes; PyTorch's reader cuts names at 511
# Operators that open files, and those of other libraries. A name cannot be spelled otherwise.
_FORBIDDEN = re.compile(r"\b(?:save|from_file)\b|\bops\.(?!prim\.)\w+|\btorch\.classes\b")


def check_script(path: Path) -> None:
    """Raise BundleError for a file of ``torch.jit.save`` whose code could do more than compute.

    TorchScript cannot run Python, but it has operators that write and map files. Nothing is run.
    Refused are: no such archive, one that two readers could list otherwise, one that unpacks to
    more than 8 GiB, and one whose code names an operator for files or of a library other than
    PyTorch.
    """
    try:
        _check_end(path)
        with zipfile.ZipFile(path) as archive:
            sizes = _sizes(path, archive)
        code = [name for name in sizes if name.lower().endswith(".py")]
        _check_size(path, sum(sizes.values()), _MOST_BYTES)
        _check_size(path, sum(sizes[name] for name in code), _MOST_CODE_BYTES)
        reader = torch._C.PyTorchFileReader(str(path))
        # Older PyTorch tells no sizes.
        size_of = getattr(reader, "get_record_size", sizes.get)
        if {name: size_of(name) for name in reader.get_all_records()} != sizes:
            raise _refused(path, "its files are not the same for Python and PyTorch")
        texts = [reader.get_record(name).decode("utf-8", "replace") for name in code]
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not a readable TorchScript bundle: {error}") from error
    for text in texts:
        found = _FORBIDDEN.search(text)
        if found:
            raise _refused(path, f"its code names {found[0]!r}, and a model may only compute")


def _check_end(path: Path) -> None:
    """Raise BundleError unless the directory lies right before the end, where all readers look."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(-min(length, 98), 2)
        end = file.read()
    if len(end) < 22:
        raise zipfile.BadZipFile("File is not a zip file")
    mark, size, offset, comment = struct.unpack("<4s8xIIH", end[-22:])
    stop, alone = length - 22, True
    if end[-42:-38] == b"PK\x06\x07":  # the longer end, for large files
        short = size, offset
        mark64, size, offset = struct.unpack("<4s36xQQ", end[:56])
        stop = length - 98
        (place,) = struct.unpack("<Q", end[-34:-26])
        alone = mark64 == b"PK\x06\x06" and place == stop
        alone &= short[0] in (size, 2**32 - 1) and short[1] in (offset, 2**32 - 1)
    if mark != b"PK\x05\x06":
        raise zipfile.BadZipFile("File is not a zip file")
    if comment or not alone or offset + size != stop:
        raise _refused(path, "its directory of files does not lie right before its end")


def _sizes(path: Path, archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the size of each file by its name as PyTorch takes it: without the first folder."""
    sizes: dict[str, int] = {}
    for record in archive.infolist():
        if len(record.orig_filename.encode()) > _LONGEST_NAME:
            raise _refused(path, f"it holds a file whose name is longer than {_LONGEST_NAME} bytes")
        sizes[record.orig_filename.partition("/")[2]] = record.file_size
    if len({name.lower() for name in sizes}) != len(archive.infolist()):
        raise _refused(path, "it holds two files of one name")
    return sizes


def _refused(path: Path, reason: str) -> BundleError:
    return BundleError(f"{path} is refused: {reason}; get the model from whoever made it")


def _check_size(path: Path, got: int, most: int) -> None:
    if got > most:
        raise BundleError(
            f"{path} is refused: it unpacks to {got} bytes, at most {most} are expected"
        )
