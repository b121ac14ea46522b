"""Outputs that would destroy an input or each other are refused before any work is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.io.content_mark import is_replaceable
from CTSAM3DLib.io.safe_write import check_writable

SUFFIXES = {
    "segmentation": ".seg.nrrd",
    "picture": ".png",
    "report": ".json",
    "label map": ".nii.gz",
    "DICOM SEG": ".dcm",
    "table": ".csv",
    "Markdown table": ".md",
}


def check_outputs(outputs: Iterable[Mapping[str, Path]], inputs: Iterable[Path]) -> None:
    """Raise OutputFileError unless every file can be written without harm.

    `outputs` is what each case writes, by kind; `SUFFIXES` lists the kinds that need a certain
    suffix. Refused are: a wrong suffix, the same file twice, a file that is an input or lies in an
    input folder, which holds DICOM slices, and a folder that cannot be written. Paths are compared
    as they are resolved, without regard to upper and lower case, since many disks have none;
    existing files also by their number on the disk, which other paths share.
    """
    given = list(inputs)
    sources = {_identity(path): path for path in given}
    folders = {identity: path for identity, path in sources.items() if path.is_dir()}
    files = {_file_number(path) for path in given} - {None}
    numbers = {_file_number(folder): folder for folder in folders.values()}
    number_of = cache(_file_number)  # many outputs lie in one folder
    seen: dict[str, Path] = {}
    for kind, path in (item for group in outputs for item in group.items()):
        suffix = SUFFIXES.get(kind, "")
        if not path.name.lower().endswith(suffix):  # other programs would take it for another
            text = f"{path} cannot hold a {kind}. Choose a name that ends with {suffix}"
            raise OutputFileError(text)
        identity = _identity(path)
        if identity in sources or _file_number(path) in files:
            raise OutputFileError(f"{path} is an input. Write the {kind} to another file")
        above = [folders.get(str(parent)) for parent in Path(identity).parents]
        above += [numbers.get(number_of(parent)) for parent in path.absolute().parents]
        for folder in filter(None, above):
            raise OutputFileError(
                f"{path} lies in the DICOM folder {folder}. Write the {kind} elsewhere"
            )
        if identity in seen:
            text = f"{seen[identity]} and {path} are one file"
            if seen[identity] == path:
                text = f"{path} would be written twice"
            raise OutputFileError(f"{text}. Give each output its own name")
        seen[identity] = path
    checked: set[Path] = set()
    for path in seen.values():
        if path.parent not in checked or path.is_dir():
            check_writable(path)
            checked.add(path.parent)


def check_replaceable(
    paths: Iterable[Path], may_replace: Callable[[Path], bool] = is_replaceable
) -> None:
    """Raise OutputFileError for a file that this program did not write, or that was changed since.

    `may_replace` tells it of a path. Raises OSError: a file that exists cannot be read.
    """
    for path in paths:
        if not may_replace(path):
            raise OutputFileError(
                f"{path} exists and was not written by this program, or was changed since. "
                "Choose another name, or replace it with --overwrite"
            )


def _identity(path: Path) -> str:
    """Return what two paths to the same file have in common."""
    # Links in a circle are no error to it.
    return os.path.realpath(_expanded(path)).casefold()


def _expanded(path: Path) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - ~a.nii is a name like any other


def _file_number(path: Path) -> tuple[int, int] | None:
    """Return what all paths and hard links to an existing file have in common."""
    try:
        status = _expanded(path).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None
