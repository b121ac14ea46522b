"""Clicks files: our JSON and Slicer's point lists (.mrk.json, .fcsv)."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import ClicksFileError, SegmentationFileError
from CTSAM3DLib.geometry.grid import ras_from_lps
from CTSAM3DLib.io.dicom_frames import is_dicom
from CTSAM3DLib.io.fcsv import markups_from_fcsv
from CTSAM3DLib.io.markups import click_at, prompts_from_markups
from CTSAM3DLib.io.safe_write import write_text_atomically
from CTSAM3DLib.io.segmentation_reader import is_segmentation, read_prompts
from CTSAM3DLib.io.text import begins_as_text, decoded, found_instead, json_content, read_bounded
from CTSAM3DLib.prompts import Click, Prompt, Prompts, prompt_from_row

_SYSTEMS = ("RAS", "LPS")
_FORMATS = "a clicks file (.json, .mrk.json, .fcsv, or a .seg.nrrd with prompts in its tags)"
_LEAST_MARKS = 2  # between the columns of a table with positions
_SIGNS = {"positive": True, "negative": False}
_LISTS = {"scribbles": "scribble", "lassos": "lasso", "boxes": "box", "prompts": None}
"""Key of a structure to the kind of the prompts under it; None where each names its own."""


def read_clicks(
    paths: str | Path | Sequence[str | Path],
    allow_negative: Container[str] = (),
    further: Sequence[tuple[str, Click]] = (),
    ct_name: str = "",
) -> dict[str, Prompts]:
    """Read the clicks of one or several files.

    Parameters
    ----------
    paths : path or sequence of paths
        Each file is our JSON, a Slicer point list, or a ``.seg.nrrd`` with prompts in its tags,
        told apart by its content. The clicks of several files are joined in the order given.
    allow_negative : container of str
        Structures that need no positive click, since they have a mask.
    further : sequence of (str, Click)
        Structures and clicks that come after those of the files.
    ct_name : str
        Name of the CT's file without its end; see `markups.prompts_from_markups`.

    Returns
    -------
    dict of str to Prompts
        Structure name to its clicks, RAS mm, in file order.

    Raises
    ------
    ClicksFileError
        A file cannot be read or understood, or a structure has no positive click. The text names
        file, structure and click, counted from 1.

    Notes
    -----
    Our JSON::

        {"coordinate_system": "RAS",
         "structures": {"liver": {"positive": [[r, a, s], ...], "negative": [...]},
                        "spleen": {"clicks": [[r, a, s, 1], [r, a, s, 0]]},
                        "aorta": {"scribbles": [{"line": [[r, a, s], ...], "positive": true}]},
                        "colon": {"lassos": [{"line": [[r, a, s], ...], "positive": true}]},
                        "kidney": {"boxes": [{"corners": [[r, a, s], [r, a, s]],
                                              "positive": true}]}}}

    ``coordinate_system`` is RAS or LPS. ``clicks`` keeps the exact order (1 positive, 0 negative)
    and excludes the two other keys, which are read positives first. ``scribbles``, ``lassos`` and
    ``boxes`` may stand beside them and are read last. A box along R, A and S has two opposite
    ``corners``; any other has its ``middle`` and its three ``edges`` as vectors. ``prompts`` stands
    alone and keeps the order of all kinds, each with its ``"kind"``:
    ``{"kind": "click", "position": [r, a, s], "positive": true}``.
    For files of Slicer see `markups.prompts_from_markups` and `fcsv.markups_from_fcsv`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "clicks.json"
    >>> _ = path.write_text('{"coordinate_system": "LPS",'
    ...                     ' "structures": {"liver": {"positive": [[1, 2, 3]]}}}')
    >>> next(iter(read_clicks(path)["liver"])).position_ras
    (-1.0, -2.0, 3.0)
    """
    several = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not several and not further:
        raise ClicksFileError("expected at least one clicks file, got none")
    joined: dict[str, list[Prompt]] = {}
    for path in several:
        for name, clicks in _read_file(Path(path), ct_name).items():
            joined.setdefault(name, []).extend(clicks)
    for name, click in further:
        joined.setdefault(name, []).append(click)
    where = ", ".join(Path(path).name for path in several) or "clicks"
    for name in joined:
        check_name(name, f"{where}: ")
    structures = {name: Prompts(clicks) for name, clicks in joined.items()}
    for name, prompts in structures.items():
        if not prompts.has_positive and name not in allow_negative:
            raise ClicksFileError(
                f"{where}: structure {name!r}: expected a positive click, got only negative ones"
            )
    return structures


def write_clicks(path: str | Path, clicks: Mapping[str, Prompts]) -> None:
    """Write the prompts of structures as our JSON in RAS; their order is kept.

    A file at `path` is replaced whole. Raises OSError: the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "clicks.json"
    >>> prompts = Prompts([Click((87.0, 17.0, -39.0), True)])
    >>> write_clicks(path, {"liver": prompts})
    >>> read_clicks(path) == {"liver": prompts}
    True
    """
    rows = [f"  {json.dumps(name)}: {_structure_text(prompts)}" for name, prompts in clicks.items()]
    body = ",\n".join(rows)
    text = f'{{"coordinate_system": "RAS",\n "structures": {{\n{body}}}}}\n'
    write_text_atomically(path, text)


def prompts_from_points(points: Any, what: str, system: str = "RAS") -> Prompts:
    """Return the prompts of one structure from its JSON form, which `read_clicks` describes.

    `what` names the structure in an error, `system` is RAS or LPS, the frame of the positions in
    mm. Raises ClicksFileError: unknown keys, wrong lengths, or anything but finite numbers.

    Examples
    --------
    >>> prompts = prompts_from_points({"positive": [[1, 2, 3]]}, "liver", "LPS")
    >>> prompts[0].position_ras
    (-1.0, -2.0, 3.0)
    """
    if not isinstance(points, Mapping):
        raise ClicksFileError(f"{what}: expected an object, got {_kind(points)}")
    keys = set(points)
    clicks = keys - {key for key, kind in _LISTS.items() if kind}
    if not keys or not (clicks <= set(_SIGNS) or clicks == {"clicks"} or keys == {"prompts"}):
        got = sorted(map(str, keys))
        raise ClicksFileError(
            f'{what}: expected "positive" and "negative", or "clicks" alone, got {got}'
        )
    found: list[Prompt] = []
    for key in ("positive", "negative", "clicks"):
        rows = _as_list(points.get(key, []), f'{what}, "{key}"')
        kind = "click" if key == "clicks" else f"{key} click"
        for number, row in enumerate(rows, start=1):
            found.append(_click(row, _SIGNS.get(key), system, f"{what}, {kind} {number}"))
    for key, own in _LISTS.items():
        for number, row in enumerate(_as_list(points.get(key, []), f'{what}, "{key}"'), start=1):
            named = {"kind": own, **row} if own and isinstance(row, dict) else row
            found.append(_prompt(named, system, f"{what}, {own or 'prompt'} {number}"))
    return Prompts(found)


def check_name(name: Any, where: str = "") -> None:
    """Raise ClicksFileError unless a structure can have a name: Unicode text, not only blanks.

    Half of a character, as Python has for bytes of file names that are not in UTF-8, ends Slicer.
    """
    if not isinstance(name, str) or not name.strip():
        raise ClicksFileError(f"{where}expected a name for every structure, got {name!r}")
    if name.encode("utf-8", "ignore").decode() != name:
        raise ClicksFileError(
            f"{where}structure {name!r}: expected a name in Unicode, got half of a character"
        )


def _read_file(path: Path, ct_name: str) -> dict[str, Prompts]:
    """Return the clicks of one file, not yet checked for positive ones."""
    if is_segmentation(path):
        return _from_segmentation(path)
    try:
        if is_dicom(path):
            raise ClicksFileError(
                f"{path}: expected {_FORMATS}, got a DICOM file, which holds no clicks. Give the "
                ".seg.nrrd of the same result"
            )
        if not begins_as_text(path):
            raise ClicksFileError(
                f"{path}: expected {_FORMATS}, got a file that is no text, such as an image. "
                "Give the file with the clicks"
            )
        text = decoded(read_bounded(path))
    except OSError as error:
        raise ClicksFileError(
            f"{path}: expected a readable clicks file, {found_instead(error)}"
        ) from error
    except UnicodeDecodeError as error:
        raise ClicksFileError(
            f"{path}: expected {_FORMATS}, got a file that is not in UTF-8 ({error}). If it holds "
            "the clicks, save it as UTF-8, else give the file that does"
        ) from error
    try:
        content = _content(text)
        if isinstance(content, dict) and "markups" in content:
            found = prompts_from_markups(content, path.name, ct_name)
        else:
            found = _structures_from_json(content)
    except ClicksFileError as error:
        raise ClicksFileError(f"{path}: {error}") from error
    if not found:
        raise ClicksFileError(f"{path}: expected clicks, got none")
    return found


def _from_segmentation(path: Path) -> dict[str, Prompts]:
    try:
        found = read_prompts(path)
    except SegmentationFileError as error:
        raise ClicksFileError(f"{path}: expected {_FORMATS}; as a segmentation: {error}") from error
    except ClicksFileError as error:
        raise ClicksFileError(f"{path}: {error}") from error
    if not found:
        raise ClicksFileError(
            f"{path}: expected prompts in the tags of its segments, got none. Only segments that "
            "were made with prompts have them"
        )
    return found


def _content(text: str) -> Any:
    """Return the parsed JSON, or an .fcsv file in the form of .mrk.json."""
    if text.startswith("#"):
        return markups_from_fcsv(text)
    try:
        return json_content(text)
    except json.JSONDecodeError as error:
        if not text.lstrip().startswith(("{", "[")):
            got = "text of another kind" if text.strip() else "an empty one"
            remedy = "Give the file with the clicks"
            if any(text.strip().partition("\n")[0].count(mark) >= _LEAST_MARKS for mark in ",;\t"):
                got, remedy = "a table", "Save the point list with Slicer as .mrk.json"
            raise ClicksFileError(f"expected {_FORMATS}, got {got} ({error}). {remedy}") from error
        raise ClicksFileError(
            f"expected JSON or a point list of Slicer, got text that is none ({error}); look there "
            "for a comma or bracket too many or too few"
        ) from error
    except ValueError as error:
        raise ClicksFileError(str(error)) from error


def _structures_from_json(content: Any) -> dict[str, Prompts]:
    """Return the clicks in our own JSON."""
    if isinstance(content, dict) and set(content) == {"structures"}:
        raise ClicksFileError(
            'expected "coordinate_system": "RAS" or "LPS" next to "structures", got none'
        )
    if not isinstance(content, dict) or set(content) != {"coordinate_system", "structures"}:
        got = sorted(content) if isinstance(content, dict) else _kind(content)
        raise ClicksFileError(
            f'expected the keys "coordinate_system" and "structures", or "markups", got {got}'
        )
    system = content["coordinate_system"]
    if system not in _SYSTEMS:
        raise ClicksFileError(
            f'expected "coordinate_system" RAS or LPS, with positions in mm, got {system!r}'
        )
    structures = content["structures"]
    if not isinstance(structures, dict) or not structures:
        raise ClicksFileError(f"expected named structures, got {_kind(structures)} without any")
    found = {}
    for name, points in structures.items():
        check_name(name)
        found[name] = prompts_from_points(points, f"structure {name!r}", system)
        if not found[name]:
            raise ClicksFileError(f"structure {name!r}: expected clicks, got none")
    return found


def _click(row: Any, positive: bool | None, system: str, what: str) -> Click:
    """Return the click of one row; without a given sign the row's last number tells it."""
    length = 3 if positive is not None else 4
    values = list(row) if isinstance(row, Iterable) and not isinstance(row, (str, dict)) else []
    if len(values) != length:
        raise ClicksFileError(f"{what}: expected {length} numbers, got {row!r}")
    if positive is None and values[3] not in (0, 1):
        raise ClicksFileError(f"{what}: expected 1 (positive) or 0 (negative), got {values[3]!r}")
    return click_at(values[:3], bool(values[3]) if positive is None else positive, system, what)


def _prompt(row: Any, system: str, what: str) -> Prompt:
    """Return the prompt of one row with its kind."""
    prompt = prompt_from_row(row, what)
    if system == "RAS":
        return prompt
    values = prompt.to_json().items()
    return prompt.from_json(
        {key: ras_from_lps(at).tolist() if isinstance(at, list) else at for key, at in values}
    )


def _structure_text(prompts: Prompts) -> str:
    """Return the JSON of one structure, in the plain form when that keeps the order."""
    if len(prompts.clicks) < len(prompts):
        return json.dumps({"prompts": prompts.rows()})
    in_order = [*prompts.positives(), *prompts.negatives()]
    if list(prompts.clicks) != in_order:
        rows = [[*click.position_ras, int(click.positive)] for click in prompts.clicks]
        return json.dumps({"clicks": rows})
    points = {"positive": [list(click.position_ras) for click in prompts.positives()]}
    if prompts.negatives():
        points["negative"] = [list(click.position_ras) for click in prompts.negatives()]
    return json.dumps(points)


def _as_list(value: Any, what: str) -> list[Any]:
    """Return a list or raise, naming the place."""
    if isinstance(value, (Mapping, str)) or not isinstance(value, Iterable):
        raise ClicksFileError(f"{what}: expected a list, got {_kind(value)}")
    return list(value)


def _kind(value: Any) -> str:
    """Return the JSON name of a value's type."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else repr(value))
