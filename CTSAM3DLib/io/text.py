"""Text files in the encodings that can be told for certain."""

from __future__ import annotations

import codecs
import errno
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import CTSAM3DError

MOST_BYTES = 1 << 26  # of a table or a clicks file; a million clicks need less
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NAMES_SEPARATOR = re.compile(r'"?sep=([,;\t])"?[,;\s]*$', re.IGNORECASE)
_NO_TEXT = frozenset(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")


def read_bounded(path: Path) -> bytes:
    """Return the content of a text file; a huge one must not fill the memory.

    Raises
    ------
    OSError
        More than 64 MiB, or a file that cannot be read.

    Examples
    --------
    >>> read_bounded(Path(__file__))[:5]
    b'\"\"\"Te'
    """
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"more than {MOST_BYTES >> 20} MiB of text", str(path))
    return content


def begins_as_text(path: Path) -> bool:
    """Tell whether a file may be text: its first kilobyte has no bytes that text does not have.

    Raises OSError: the file cannot be read.

    Examples
    --------
    >>> import gzip, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ct.nii.gz"
    >>> _ = path.write_bytes(gzip.compress(b"voxels"))
    >>> begins_as_text(path), begins_as_text(Path(__file__))
    (False, True)
    """
    with path.open("rb") as stream:
        first = stream.read(1024)
    return first.startswith(_WIDE) or not set(first) & _NO_TEXT


def decoded(content: bytes) -> str:
    """Return text in UTF-8, or in UTF-16 when a byte order mark says so.

    Raises UnicodeDecodeError: another encoding, or a file that is cut off.

    Examples
    --------
    >>> decoded("Müller".encode("utf-16")), decoded("Müller".encode("utf-8-sig"))
    ('Müller', 'Müller')
    """
    return content.decode("utf-16" if content.startswith(_WIDE) else "utf-8-sig")


def found_instead(error: Exception) -> str:
    """Return, for a message, what there was in place of a file that can be read.

    Examples
    --------
    >>> found_instead(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.json"))
    'found nothing there'
    >>> found_instead(ValueError("text that is no JSON"))
    'got text that is no JSON'
    """
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "found nothing there"
    if isinstance(error, IsADirectoryError):
        return "found a folder there"
    return f"got {error}"


def table_of(text: str) -> tuple[str, str]:
    r"""Return a CSV text from its header on, and what separates its columns.

    It is comma, semicolon or tab, whichever the header has most often, or what the line ``sep=;``
    says that Excel reads and writes above it; that line is left out.

    Examples
    --------
    >>> table_of("ct;clicks"), table_of("ct"), table_of("sep=,\nct,clicks;more")
    (('ct;clicks', ';'), ('ct', ','), ('ct,clicks;more', ','))
    """
    lines = text.splitlines(keepends=True)
    named = ""
    while lines and (not lines[0].strip() or (not named and _NAMES_SEPARATOR.match(lines[0]))):
        match = _NAMES_SEPARATOR.match(lines.pop(0))
        named = match[1] if match else named
    return "".join(lines), named or max(",;\t", key=lines[0].count if lines else "".count)


def json_content(text: str) -> Any:
    """Return what a JSON text holds.

    Raises ValueError: no JSON (then json.JSONDecodeError), too deep a nesting, or a name twice in
    one object: the first would be dropped.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError as error:
        raise ValueError("expected JSON, got too deep a nesting") from error


def read_json(path: Path) -> Any:
    """Return what a JSON file in UTF-8 holds; OSError or ValueError as above where it is none.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.json"
    >>> _ = path.write_text('{"1": "liver"}')
    >>> read_json(path)
    {'1': 'liver'}
    """
    return json_content(read_bounded(path).decode("utf-8-sig"))


def readable_json(path: Path, what: str, kind: type[CTSAM3DError]) -> Any:
    """Return the content of a JSON file; an error of a kind, which says what it is, without one."""
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise kind(f"{path}: expected {what}, {found_instead(error)}") from error


def read_settings(
    path: Path, known: Collection[str], kind: type[CTSAM3DError], example: str = ""
) -> dict[str, Any]:
    """Return a JSON file of an object with `known` keys; an error of a kind if it is another."""
    values = readable_json(path, f"readable settings in JSON{example}", kind)
    if not isinstance(values, dict) or not values.keys() <= set(known):
        got = sorted(values.keys() - set(known)) if isinstance(values, dict) else values
        names = ", ".join(known)
        raise kind(f"{path}: expected settings of {names} and nothing else, got {got!r:.80}")
    return values


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, each name of which comes once."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"expected every name once, got {key!r} twice")
        found[key] = value
    return found
