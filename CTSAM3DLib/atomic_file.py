"""Files that are either complete or absent."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary path; rename it to ``path`` when the block ends without an error.

    The temporary file lies in the same folder, which is made when it is missing, and has the
    same suffixes, since many writers choose their format by it. After an error it is removed and
    an older file at ``path`` stays as it was.

    Parameters
    ----------
    path : str or Path
        Where the finished file shall be.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OSError
        The folder cannot be made or written.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_atomically(folder / "new" / "a.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> [file.name for file in (folder / "new").iterdir()]
    ['a.txt']
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=f"-{final.name}", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        # mkstemp keeps the file private; give it the permissions of an ordinary new file.
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all.

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def _umask() -> int:
    """Return the file creation mask of the process."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
