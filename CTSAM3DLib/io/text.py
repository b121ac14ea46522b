"""Text files in the encodings that can be told for certain."""

from __future__ import annotations

import codecs
import errno
from pathlib import Path

MOST_BYTES = 1 << 26  # of a table or a clicks file; a million clicks need less


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


def decoded(content: bytes) -> str:
    """Return text in UTF-8, or in UTF-16 when a byte order mark says so.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    UnicodeDecodeError
        Another encoding, or a file that is cut off.

    Examples
    --------
    >>> decoded("Müller".encode("utf-16")), decoded("Müller".encode("utf-8-sig"))
    ('Müller', 'Müller')
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")
