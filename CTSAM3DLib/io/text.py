"""Text files in the encodings that can be told for certain."""

from __future__ import annotations

import codecs


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
