"""The table of a batch: which CTs, which clicks, which output names."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from CTSAM3DLib.batch.case import Case
from CTSAM3DLib.errors import ClicksFileError
from CTSAM3DLib.io.other_files import check_letters, image_stem
from CTSAM3DLib.io.segmentation import SUFFIX
from CTSAM3DLib.io.text import decoded, found_instead, read_bounded, table_of

_LOG = logging.getLogger(__name__)
_REQUIRED = ("ct", "clicks")
_COLUMNS = (*_REQUIRED, "output")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .xls
_REMEDY = 'Save the table as "CSV UTF-8"'


@dataclass(frozen=True)
class BatchCase:
    """One row of the table."""

    name: str  # Output within the output folder, without suffix; distinct within the batch
    case: Case
    error: str = ""  # Why it cannot run; the other rows can


def read_table(
    path: str | Path,
    output_dir: str | Path,
    pictures: bool = True,
    warn: Callable[[str], None] = _LOG.warning,
    label_maps: bool = False,
    dicom_segs: bool = False,
    recompute: bool = False,
) -> list[BatchCase]:
    """Read a table of cases.

    Raises ClicksFileError: the table cannot be read, lacks a column or a value, or an output lies
    outside the folder. The text names the line. A row whose output is a link to elsewhere has an
    error in its `BatchCase`. Whether rows write one file is for `check_outputs`.

    Parameters
    ----------
    path : str or Path
        CSV with the columns ``ct``, ``clicks`` and optionally ``output``, separated by commas,
        semicolons or tabs; other columns are ignored. UTF-8, or UTF-16 with a byte order mark;
        anything else is read as Windows-1252. Several clicks files are separated by ``;``, in
        quotation marks where that separates columns too. Relative paths of CT and clicks count
        from the table's folder, those of outputs from the output folder. Empty lines are ignored.
    output_dir : str or Path
        Folder for what is written; no output may lie outside it. Without an output name, the name
        of the CT is taken, with its folder where several CTs have the same name.
    pictures : bool
        Whether to write a picture for each case.
    label_maps, dicom_segs : bool
        Whether to write a NIfTI label map, a DICOM SEG, for each case.
    recompute : bool
        See `Case`.
    warn : callable
        Called with each warning; by default it goes to the log.

    Returns
    -------
    list of BatchCase
        In the order of the table.
    """
    table = Path(path)
    rows = _rows(table, warn)
    cts = [_absolute(row["ct"], table.parent) for _, row in rows]
    unnamed = [ct for (_, row), ct in zip(rows, cts, strict=True) if not row.get("output")]
    names = iter(_names(unnamed))
    found = []
    for (line, row), ct in zip(rows, cts, strict=True):
        given = row.get("output") or next(names) + SUFFIX
        output, name, error = _output(given, Path(output_dir), f"{table}, line {line}")
        stem = output.name[: -len(SUFFIX)]
        case = Case(
            ct=ct,
            clicks=tuple(
                _absolute(part.strip(), table.parent)
                for part in row["clicks"].split(";")
                if part.strip()
            ),
            output=output,
            picture=output.with_name(f"{stem}.png") if pictures else None,
            report=output.with_name(f"{stem}.json"),
            title=name,
            recompute=recompute,
            label_map=output.with_name(f"{stem}.nii.gz") if label_maps else None,
            dicom_seg=output.with_name(f"{stem}.dcm") if dicom_segs else None,
        )
        found.append(BatchCase(name, case, error))
    return found


def _rows(table: Path, warn: Callable[[str], None]) -> list[tuple[int, dict[str, str]]]:
    """Return line number and values, by column, of each row that is not empty."""
    try:
        text = _text(table, warn)
        rows, delimiter = table_of(text)
        above = text.removesuffix(rows).count("\n")
        reader = csv.reader(io.StringIO(rows, ""), delimiter=delimiter, skipinitialspace=True)
        stripped = ((above + reader.line_num, [value.strip() for value in row]) for row in reader)
        lines = [(number, row) for number, row in stripped if any(row)]
    except FileNotFoundError as error:
        raise ClicksFileError(
            f"{table}: expected a readable CSV table, {found_instead(error)}"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ClicksFileError(
            f"{table}: expected a readable CSV table, {found_instead(error)}. {_REMEDY}"
        ) from error
    columns = [name.lower() for name in lines[0][1]] if lines else []
    _check_columns(columns, table, warn)
    if len(lines) < 2:
        raise ClicksFileError(f"{table}: expected at least one case below the header, got none")
    return [(n, _row(columns, values, f"{table}, line {n}")) for n, values in lines[1:]]


def _text(table: Path, warn: Callable[[str], None]) -> str:
    """Return the text of a table; ClicksFileError when it is none."""
    content = read_bounded(table)
    if content.startswith(_WORKBOOKS):
        raise ClicksFileError(f"{table}: expected a readable CSV table, got a workbook. {_REMEDY}")
    try:
        text = decoded(content)
    except UnicodeDecodeError:
        text = content.decode("cp1252")
        warn(f"{table} is not in UTF-8 and was read as Windows-1252. {_REMEDY}")
    if "\0" in text:
        raise ClicksFileError(f"{table}: expected a readable CSV table, got zero bytes. {_REMEDY}")
    return text


def _row(columns: Sequence[str], values: Sequence[str], what: str) -> dict[str, str]:
    """Return the values of one row by column; a value without a column is an error."""
    row = dict(zip(columns, values, strict=False))
    if not all(row.get(name) for name in _REQUIRED) or any(values[len(columns) :]):
        named = ", ".join(name for name in columns if name)
        raise ClicksFileError(f"{what}: expected a value for each of {named}, got {list(values)}")
    return row


def _check_columns(columns: Sequence[str], table: Path, warn: Callable[[str], None]) -> None:
    """Raise for a missing or repeated column; warn about those that are ignored."""
    known = [name for name in columns if name in _COLUMNS]
    if not set(_REQUIRED) <= set(known) or len(set(known)) != len(known):
        raise ClicksFileError(
            f"{table}: expected the columns ct, clicks and optionally output; got "
            f"{', '.join(columns) or 'none'}"
        )
    for name in dict.fromkeys(columns):
        if name and name not in _COLUMNS:
            hint = " Choose the device for the whole batch instead." if name == "device" else ""
            warn(f"{table}: the column {name!r} is ignored.{hint}")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # links in a circle are no error to it


def _absolute(value: str, folder: Path) -> Path:
    """Return a path from the table; a relative one counts from the table's folder."""
    path = folder / os.path.expanduser(value)  # noqa: PTH111 - an unknown user is no error
    check_letters(path, ClicksFileError)
    return path


def _names(cts: Sequence[Path]) -> list[str]:
    """Return a distinct name for each CT, as short as possible."""
    is_folder = os.path.isdir  # a name that is too long is no error to it
    short = [ct.name if is_folder(ct) else image_stem(ct.name) for ct in cts]
    folders = [Path(os.path.abspath(ct)).parent.name for ct in cts]  # noqa: PTH100 - keeps links
    longer = [f"{folder}_{name}" for folder, name in zip(folders, short, strict=True)]
    several = Counter(short)
    names = [b if several[a] > 1 else a for a, b in zip(short, longer, strict=True)]
    several = Counter(names)
    return [f"{a}_{n}" if several[a] > 1 else a for n, a in enumerate(names, 1)]


def _output(value: str, folder: Path, what: str) -> tuple[Path, str, str]:
    """Return the segmentation file of a row, its name within the output folder, and an error."""
    if not value.lower().endswith(SUFFIX):
        raise ClicksFileError(f"{what}: expected an output ending with {SUFFIX}, got {value!r}")
    output = _absolute(value, folder)
    try:
        inside, error = _real(output).relative_to(_real(folder)), ""
    except ValueError as reason:
        inside = Path(os.path.relpath(output, folder))
        error = f"expected an output inside the folder {folder}, got {value!r}"
        if inside.parts[0] == os.pardir:
            raise ClicksFileError(f"{what}: {error}") from reason
        error += ", a link to elsewhere. Remove the link, or choose another name"
    return output, inside.as_posix()[: -len(SUFFIX)], error
