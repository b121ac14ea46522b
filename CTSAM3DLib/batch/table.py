"""The table of a batch: which CTs, which clicks, which output names."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from CTSAM3DLib.batch.case import Case
from CTSAM3DLib.errors import ClicksFileError
from CTSAM3DLib.io.segmentation import SUFFIX

_REQUIRED = ("ct", "clicks")
_OPTIONAL = ("output", "device")
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class BatchCase:
    """One row of the table.

    Parameters
    ----------
    name : str
        Output within the output folder, without suffix; distinct within the batch.
    case : Case
        What to read and write.
    device : str
        Where to run the model; empty for the device of the batch.
    """

    name: str
    case: Case
    device: str = ""


def read_table(path: str | Path, output_dir: str | Path, pictures: bool = True) -> list[BatchCase]:
    """Read a table of cases.

    Parameters
    ----------
    path : str or Path
        CSV in UTF-8 with the columns ``ct`` and ``clicks`` and, if wanted, ``output`` and
        ``device``, with commas, semicolons or tabs between them. Several clicks files are
        separated by ``;``, in quotation marks where that separates columns too. Relative paths of
        CT and clicks count from the table's folder, those of outputs from the output folder.
        Empty lines are passed over.
    output_dir : str or Path
        Folder for what is written; no output may lie outside it. Without an output name, the name
        of the CT is taken, with its folder where several CTs have the same name.
    pictures : bool
        Whether to write a picture for each case.

    Returns
    -------
    list of BatchCase
        In the order of the table.

    Raises
    ------
    ClicksFileError
        The table cannot be read, lacks a column or a value, has an unknown column, an output lies
        outside the folder, or two rows write the same file. The text names the line.

    Examples
    --------
    >>> read_table("no-such-table.csv", "out")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.ClicksFileError: no-such-table.csv: expected a readable CSV table, got ...
    """
    table = Path(path)
    rows = _rows(table)
    cts = [_absolute(row["ct"], table.parent) for _, row in rows]
    unnamed = [ct for (_, row), ct in zip(rows, cts, strict=True) if not row.get("output")]
    names = iter(_names(unnamed))
    found = []
    for (line, row), ct in zip(rows, cts, strict=True):
        given = row.get("output") or next(names) + SUFFIX
        output, name = _output(given, Path(output_dir), f"{table}, line {line}")
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
        )
        found.append(BatchCase(name, case, row.get("device", "")))
    _check_distinct(found, table)
    return found


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Return line number and values of each row that is not empty."""
    try:
        text = table.read_bytes().decode("utf-8-sig")
        header = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=header.count)
        reader = csv.DictReader(
            io.StringIO(text, newline=""), restkey="", skipinitialspace=True, delimiter=delimiter
        )
        columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
        _check_columns(columns, table)
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ClicksFileError(f"{table}: expected a readable CSV table, got {error}") from error
    if not rows:
        raise ClicksFileError(f"{table}: expected at least one case below the header, got none")
    for line, row in rows:
        missing = [name for name in _REQUIRED if not (row.get(name) or "").strip()]
        if missing or "" in row:
            raise ClicksFileError(
                f"{table}, line {line}: expected a value for each of {', '.join(columns)}, "
                f"got {list(row.values())}"
            )
    return [(n, {k: (v or "").strip() for k, v in row.items()}) for n, row in rows]


def _check_columns(columns: Sequence[str], table: Path) -> None:
    """Raise for a missing, unknown or repeated column."""
    known = set(_REQUIRED + _OPTIONAL)
    if not set(_REQUIRED) <= set(columns) <= known or len(set(columns)) != len(columns):
        raise ClicksFileError(
            f"{table}: expected the columns ct, clicks and optionally output, device; got "
            f"{', '.join(columns) or 'none'}"
        )


def _absolute(value: str, folder: Path) -> Path:
    """Return a path from the table; a relative one counts from the table's folder."""
    return folder / Path(value).expanduser()


def _names(cts: Sequence[Path]) -> list[str]:
    """Return a distinct name for each CT, as short as possible."""
    short = [ct.name.split(".")[0] if not ct.is_dir() else ct.name for ct in cts]
    folders = [Path(os.path.abspath(ct)).parent.name for ct in cts]  # noqa: PTH100 - keeps links
    longer = [f"{folder}_{name}" for folder, name in zip(folders, short, strict=True)]
    several = Counter(short)
    names = [b if several[a] > 1 else a for a, b in zip(short, longer, strict=True)]
    several = Counter(names)
    return [f"{a}_{n}" if several[a] > 1 else a for n, a in enumerate(names, 1)]


def _output(value: str, folder: Path, what: str) -> tuple[Path, str]:
    """Return the segmentation file of a row, and its name within the output folder."""
    if not value.lower().endswith(SUFFIX):
        raise ClicksFileError(f"{what}: expected an output ending with {SUFFIX}, got {value!r}")
    output = folder / Path(value).expanduser()
    try:
        inside = output.resolve().relative_to(folder.resolve())
    except ValueError as error:
        text = f"{what}: expected an output inside the folder {folder}, got {value!r}"
        raise ClicksFileError(text) from error
    return output, inside.as_posix()[: -len(SUFFIX)]


def _check_distinct(cases: Sequence[BatchCase], table: Path) -> None:
    """Raise when two rows write the same file, also where the disk ignores upper and lower case."""
    files = [path for case in cases for path in case.case.files.values()]
    counts = Counter(str(path.resolve()).casefold() for path in files)
    for path in files:
        count = counts[str(path.resolve()).casefold()]
        if count > 1:
            raise ClicksFileError(f"{table}: expected distinct outputs, got {path} {count} times")
