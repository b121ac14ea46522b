"""A mark in a written file that fits its content as long as nobody changes the file."""

from __future__ import annotations

import re
import zlib
from hashlib import sha256
from pathlib import Path

from CTSAM3DLib.io.safe_write import written_atomically

KEY = "CTSAM3D.Content"
"""Name of the field, near the start of the file, that holds the mark."""
BLANK = "0" * 64
"""What stands there before `fill_mark`."""

_SEARCHED = 4096
_CRC_BYTES = 4  # a text of a PNG file is followed by its checksum
_FIELD = re.compile(re.escape(KEY).encode() + rb"[^0-9A-Za-z]{1,4}([0-9a-f]{64})")
_TEXT = b"tEXt"


def fill_mark(path: str | Path) -> None:
    """Replace the blank mark of a finished file by the SHA-256 of all that surrounds the mark.

    It is a text file, an NRRD file, or a PNG file with the mark as one of its texts. Raises
    ValueError: the file has no blank mark; OSError: the file cannot be read or written.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "a.json"
    >>> _ = file.write_text('{"CTSAM3D.Content": "' + BLANK + '", "liver": 1}')
    >>> fill_mark(file); mark_of(file) in file.read_text()
    True
    >>> _ = file.write_text(file.read_text().replace("1}", "2}")); mark_of(file) is None
    True
    """
    content = Path(path).read_bytes()
    place = _place(content)
    if place is None:
        raise ValueError(f"expected a blank mark {KEY!r} in {path}, got none")
    start, stop = place
    filled = _digest(content, start, stop).encode()
    if content.startswith(b"\x89PNG"):
        text = content[content.rindex(_TEXT, 0, start) : start] + filled
        filled += zlib.crc32(text).to_bytes(_CRC_BYTES, "big")
    with Path(path).open("r+b") as file:
        file.seek(start)
        file.write(filled)


def write_marked_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text that holds a blank mark, whole or not at all, and fill the mark.

    What cannot be written in UTF-8 is written as an escape. Raises OutputFileError.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
        fill_mark(temporary)


def mark_of(path: str | Path) -> str | None:
    """Return the mark of a file, 64 letters; None if it is missing, unmarked, or was changed since.

    Raises OSError: the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    place = _place(content)
    if place is None:
        return None
    found = content[slice(*place)].decode()
    return found if found == _digest(content, *place) else None


def is_replaceable(path: str | Path) -> bool:
    """Tell whether a file is missing, empty, or as this program wrote it: no work is lost then.

    Raises OSError: the file cannot be read.

    Examples
    --------
    >>> is_replaceable("no-such-file"), is_replaceable(__file__)
    (True, False)
    """
    file = Path(path)
    return not file.exists() or not file.stat().st_size or mark_of(file) is not None


def _place(content: bytes) -> tuple[int, int] | None:
    match = _FIELD.search(content[:_SEARCHED])
    return None if match is None else match.span(1)


def _digest(content: bytes, start: int, stop: int) -> str:
    """Return the SHA-256 of a file without its mark and the checksum that may follow."""
    view = memoryview(content)
    digest = sha256(view[:start])
    digest.update(view[stop + _CRC_BYTES :])
    return digest.hexdigest()
