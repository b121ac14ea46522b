"""Prompts in the content of a Slicer Markups file (.mrk.json, or .fcsv in the same form)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from CTSAM3DLib.errors import ClicksFileError, GeometryError
from CTSAM3DLib.geometry.grid import ras_from_lps
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.prompts import Box, Click, Lasso, Prompt, Prompts, Scribble

# Slicer writes text; some old files hold the number of its enumeration.
_SYSTEMS = {"RAS": "RAS", "LPS": "LPS", "0": "RAS", "1": "LPS"}
_DEFAULT_NAME = re.compile(
    r"(F|PointList|MarkupsFiducial|Fiducials?|OC|CC|(Open|Closed)?Curve|R|ROI)([-_ ]\d+)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(^|\s*-\s*)\d+$")
_LINES: dict[str, type[Scribble] | type[Lasso]] = {"Curve": Scribble, "ClosedCurve": Lasso}
SEPARATORS = (".", "_", "-", " ")
"""What may stand between the name of a CT and the rest in that of its clicks file."""
_NEGATIVE = re.compile(r"(^|[-_ ]+)negative$", re.IGNORECASE)


def prompts_from_markups(
    content: dict[str, Any], file_name: str, ct_name: str = ""
) -> dict[str, Prompts]:
    """Return the prompts of a Markups file by structure, RAS mm: of point lists, curves and ROIs.

    `content` is the parsed JSON with lists of the type Fiducial, Curve, ClosedCurve or ROI, in LPS
    (default) or RAS, in mm. A curve is a scribble and a closed curve is a lasso, both straight from
    point to point; a ROI of the type Box is a box. Their name says structure and sign, as that of a
    point list does.

    The structure of a point is the first known anatomy among the point's label, the list's name and
    the file's name; when none of them is known, it is the list's name, else the label, else the
    file's name. Slicer's numbering is cut off (``liver-1`` means ``liver``) and its default names
    (``F``, ``PointList``) are ignored. Known anatomies get their TotalSegmentator name. Where the
    file's name begins with `ct_name`, that of the CT without its end, only the rest counts
    (``patient1 liver.mrk.json``).

    A point is negative when its label, its list or, for a list without a name, the file ends with
    the word ``negative`` (``liver negative-2``, ``liver_negative.mrk.json``). The point's
    description overrules that when it is the word ``negative`` or ``positive``.

    Points whose position is not defined (preview, missing) are left out; orientation, selection and
    the associated node do not matter. The positions are world positions: they fit a volume without
    a parent transform. Raises ClicksFileError: the content is not of that form; the text names list
    and point, counted from 1.

    Examples
    --------
    >>> points = [{"label": "liver-1", "position": [-1, -2, 3]},
    ...           {"label": "liver negative-1", "position": [-4, -5, 6]}]
    >>> found = prompts_from_markups(
    ...     {"markups": [{"type": "Fiducial", "controlPoints": points}]}, "F.mrk.json")
    >>> [(click.position_ras, click.positive) for click in found["liver"]]
    [((1.0, 2.0, 3.0), True), ((4.0, 5.0, 6.0), False)]
    """
    lists = content.get("markups")
    if not isinstance(lists, list):
        raise ClicksFileError(f'expected a list under "markups", got {type(lists).__name__}')
    found: dict[str, list[Prompt]] = {}
    stem = re.sub(r"(\.mrk)?\.(json|fcsv)$", "", file_name, flags=re.IGNORECASE)
    stem = _without_ct(stem, ct_name)
    for number, markups in enumerate(lists, start=1):
        what = f"point list {number}"
        clicks = []
        for place, point in enumerate(_points_of(markups, what), start=1):
            which = f"{what}, point {place}"
            if not isinstance(point, dict):
                got = type(point).__name__
                raise ClicksFileError(f"{which}: expected an object, got {got}")
            if point.get("positionStatus", "defined") != "defined":
                continue
            names = _Names(point, markups, stem)
            at = point.get("position")
            click = click_at(at, names.positive, _system(markups, what), which)
            if markups["type"] == "Fiducial":
                found.setdefault(names.structure(which), []).append(click)
            clicks.append(click)
        if markups["type"] != "Fiducial":
            names = _Names({}, markups, stem)
            try:
                shape = _shape(markups, clicks, names.positive, _system(markups, what))
            except GeometryError as error:
                raise ClicksFileError(f"{what}: {error}") from error
            found.setdefault(names.structure(what), []).append(shape)
    return {name: Prompts(clicks) for name, clicks in found.items()}


class _Names:
    """What label, list and file say about one point."""

    def __init__(self, point: dict[str, Any], markups: dict[str, Any], stem: str) -> None:
        label, own = (_text(point.get("label")), _text(markups.get("name")))
        self._label, label_negative = _plain(label)
        self._list, list_negative = _plain(own)
        self._file, file_negative = _plain(stem)
        description = _text(point.get("description")).lower()
        by_name = label_negative or list_negative or (file_negative and not own)
        self.positive = description == "positive" or (description != "negative" and not by_name)

    def structure(self, what: str) -> str:
        """Return the structure; ClicksFileError when nothing names one."""
        for name in (self._label, self._list, self._file):
            anatomy = find(name)
            if anatomy is not None:
                return anatomy.name
        for name in (self._list, self._label, self._file):
            if name and not _DEFAULT_NAME.fullmatch(name):
                return name
        raise ClicksFileError(f"{what}: expected the structure as its label, got {self._label!r}")


def _plain(name: str) -> tuple[str, bool]:
    """Return a name without number and sign, and whether it says negative."""
    unnumbered = _NUMBER.sub("", name.strip())
    plain = _NEGATIVE.sub("", unnumbered)
    return plain, plain != unnumbered


def _without_ct(stem: str, ct_name: str) -> str:
    """Return a file's name without that of the CT before it; all of it where it is an anatomy."""
    rest = stem.removeprefix(ct_name)
    begins = ct_name and len(rest) < len(stem) and rest.startswith(SEPARATORS)
    named = rest.lstrip("".join(SEPARATORS))
    return named if begins and named and find(_plain(stem)[0]) is None else stem


def _points_of(markups: Any, what: str) -> list[Any]:
    """Return the control points of one list after a check of its kind."""
    if not isinstance(markups, dict):
        raise ClicksFileError(f"{what}: expected an object, got {type(markups).__name__}")
    kinds = ("Fiducial", *_LINES, "ROI")
    if markups.get("type") not in kinds:
        expected = f"expected the type {', '.join(kinds[:-1])} or {kinds[-1]}"
        raise ClicksFileError(f"{what}: {expected}, got {markups.get('type')!r}")
    units = markups.get("coordinateUnits", "mm")
    if units not in ("mm", ["mm", "mm", "mm"]):
        raise ClicksFileError(f"{what}: expected coordinates in mm, got {units!r}")
    points = markups.get("controlPoints", [])
    if not isinstance(points, list):
        raise ClicksFileError(f"{what}: expected a list of points, got {type(points).__name__}")
    return points


def _shape(
    markups: dict[str, Any], clicks: list[Click], positive: bool, system: str
) -> Scribble | Lasso | Box:
    """Return a curve or a ROI as one prompt in RAS."""
    if markups["type"] in _LINES:
        line = tuple(click.position_ras for click in clicks)
        return _LINES[markups["type"]](line, positive)
    if markups.get("roiType", "Box") != "Box":
        raise GeometryError(f"expected a ROI of the type Box, got {markups['roiType']!r}")
    rows = [markups.get(key) for key in ("center", "size", "orientation")]
    try:
        middle, size, axes = (np.array(row, float).reshape(-1) for row in rows)
        edges = (axes.reshape(3, 3) * size.reshape(1, 3)).T
        at = np.stack([middle.reshape(3), *edges])
    except (TypeError, ValueError, OverflowError):
        raise GeometryError(
            f"expected a ROI with 3 numbers as center and size and 9 as orientation, got {rows}"
        ) from None
    middle_ras, *edges_ras = (at if system == "RAS" else ras_from_lps(at)).tolist()
    return Box(middle_ras, tuple(edges_ras), positive)


def _system(markups: dict[str, Any], what: str) -> str:
    given = str(markups.get("coordinateSystem", "LPS"))
    if given not in _SYSTEMS:
        raise ClicksFileError(f"{what}: expected coordinates in LPS or RAS, got {given!r}")
    return _SYSTEMS[given]


def click_at(position: Any, positive: bool, system: str, what: str) -> Click:
    """Return a click at a list of three numbers in a frame, RAS or LPS; `what` names it."""
    try:
        if not isinstance(position, list):
            raise GeometryError(f"expected 3 numbers as its position, got {position!r}")
        click = Click(tuple(position), positive)
    except GeometryError as error:
        raise ClicksFileError(f"{what}: {error}") from error
    if system == "RAS":
        return click
    return Click(tuple(ras_from_lps(click.position_ras).tolist()), positive)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
