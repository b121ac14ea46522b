"""Point lists of Slicer's older file format (.fcsv)."""

from __future__ import annotations

import csv
from typing import Any

from CTSAM3DLib.errors import ClicksFileError

_VERSION = "markups fiducial file version"
_COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc")
_MORE_COLUMNS = ("associatedNodeID", "positionStatus")  # the last one has no name in the file
_DEFINED = "2"
_NAMELESS = 1  # columns that Slicer writes after those with a name


def markups_from_fcsv(text: str) -> dict[str, Any]:
    r"""Return what an ``.fcsv`` file holds as `markups.prompts_from_markups` reads it: one list.

    Slicer 4 and 5 write a version and LPS or RAS (as a word or as 1 or 0); without a coordinate
    system they read LPS. Files of Slicer 3 have no version and are in RAS. Raises ClicksFileError:
    no header, columns in another order than Slicer reads them, or a position that is not three
    numbers; the text names the line.
    """
    lines = text.splitlines()
    pairs = (line[1:].partition("=") for line in lines if line.startswith("#"))
    header = {name.strip().lower(): value.strip() for name, _, value in pairs}
    named = [name.strip() for name in header.get("columns", "").split(",") if name.strip()]
    if _VERSION in header:
        columns, system = [*_COLUMNS, *_MORE_COLUMNS], header.get("coordinatesystem", "LPS")
        if named != columns[: len(named)]:
            raise ClicksFileError(
                f"expected the columns {', '.join(_COLUMNS)}, which Slicer reads in this order "
                f"whatever they are called, got {', '.join(named)}. Write them in this order"
            )
    elif named:
        columns, system = named, "RAS"
    else:
        raise ClicksFileError(
            'expected "# Markups fiducial file version = ..." at the top of a point list (.fcsv), '
            "got none. Save the point list again with Slicer"
        )
    points = [
        _point(values, columns, f"line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("#")
        for values in csv.reader([line])
    ]
    defined = [point for point in points if point is not None]
    return {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": defined}]}


def _point(values: list[str], columns: list[str], what: str) -> dict[str, Any] | None:
    """Return one control point; None when it was not placed."""
    if len(values) > len(columns) + _NAMELESS:
        raise ClicksFileError(
            f"{what}: expected at most {len(columns) + _NAMELESS} values, got {len(values)}; write "
            "numbers with a decimal point and commas in a text within quotes"
        )
    row = dict(zip(columns, values, strict=False))
    if row.get("positionStatus", _DEFINED) != _DEFINED:
        return None
    try:
        position = [float(row[axis]) for axis in ("x", "y", "z")]
    except (KeyError, ValueError):
        raise ClicksFileError(f"{what}: expected a position of 3 numbers, got {values}") from None
    return {"position": position, "label": row.get("label", ""), "description": row.get("desc", "")}
