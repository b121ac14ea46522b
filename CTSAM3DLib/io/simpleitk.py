"""SimpleITK, imported where it is used and kept from writing to the terminal."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import VolumeError


def optional_module(name: str, files: str) -> Any:
    """Return a module, named as its package, of some files; ImportError says how to get it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"reading {files} needs {name}: pip install {name}") from error


@contextmanager
def silent_simpleitk() -> Iterator[Any]:
    """Give SimpleITK, and keep off the terminal what ITK and the libraries in it print.

    What matters in it is raised as an error. MetaImage and NRRD libraries write to the standard
    streams of the process, past ITK's own switch.
    """
    sitk = optional_module("SimpleITK", "images")

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _streams_away():
            yield sitk
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextmanager
def readable_by_itk(file: Path) -> Iterator[Path]:
    """Give a path that ITK can open: ITK ends the process on a name that is not UTF-8.

    Such a file is linked in a folder of its own. Raises VolumeError: it has its voxels in another
    one, which a link would not find.
    """
    if printable(file.name) == file.name and printable(file.absolute()) == str(file.absolute()):
        yield file
        return
    if file.suffix.lower() in (".mhd", ".nhdr"):
        raise VolumeError(
            "expected a file name in UTF-8 beside its voxels, got another; rename the files"
        )
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"image{''.join(Path(printable(file.name)).suffixes[-2:])}"
        link.symlink_to(file.absolute())
        yield link


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as text for messages; bytes that are not UTF-8 become U+FFFD."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def itk_reason(error: Exception) -> str:
    """Return the part of an ITK message that says what is wrong."""
    text = " ".join(str(error).rpartition("ERROR:")[2].split())
    # Of the calls that the library of NRRD lists, the last one says it; addresses say nothing.
    return re.sub(r"^.*\[nrrd\] \w+: |\(0x[0-9a-f]+\)", "", text)


@contextmanager
def _streams_away() -> Iterator[None]:
    """Send the standard streams of the process to nowhere; where there are none, do nothing."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        kept = [(number, os.dup(number)) for number in (1, 2)]
    except OSError:  # a program without a terminal
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        os.close(nowhere)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
