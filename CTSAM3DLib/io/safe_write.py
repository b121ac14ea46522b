"""Files that are either complete or absent."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from CTSAM3DLib.errors import OutputFileError

_WINDOWS = sys.platform == "win32"
_PREFIX = ".ctsam3d-"
_LEFTOVER = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}-.+", re.DOTALL)
_KEPT_LETTERS = 48  # of the name, so that the temporary one is never too long; suffixes are shorter


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
    OutputFileError
        The folder cannot be made or written, `path` is a folder, or the block itself raised an
        OSError, for example for want of space. The text names `path`, not the temporary file.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_atomically(folder / "new" / "a.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> [file.name for file in (folder / "new").iterdir()]
    ['a.txt']
    """
    final = Path(path)
    try:
        temporary, handle = _temporary_beside(final)
        try:
            yield temporary
            if _WINDOWS:  # which does not rename an open file
                handle = _closed(handle)
            temporary.replace(final)
        finally:
            _closed(handle)
            temporary.unlink(missing_ok=True)
    except OutputFileError:
        raise
    except OSError as error:
        raise _cannot_write(final, error) from error


def check_writable(path: str | Path) -> None:
    """Raise OutputFileError where a file could not be written; leaves nothing behind.

    Looks at the folder of `path` or, where it is missing, the one in which it would be made.

    Raises
    ------
    OutputFileError
        The folder cannot be made or written, or `path` is a folder.

    Examples
    --------
    >>> check_writable(Path(tempfile.mkdtemp()) / "new" / "a.txt")
    >>> check_writable("/")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.OutputFileError: cannot write /: expected a writable folder, got a folder ...
    """
    final = Path(path)
    try:
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(place for place in final.absolute().parents if place.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(final, error) from error


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all.

    What cannot be written in UTF-8, such as bytes of a file name, is written as an escape.

    Raises
    ------
    OutputFileError
        See `written_atomically`.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def _temporary_beside(final: Path) -> tuple[Path, int]:
    """Make an empty, locked file in the folder of another, and that folder when it is missing."""
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(final.parent)
    suffix = f"-{final.name[-_KEPT_LETTERS:]}"
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=suffix, dir=final.parent)
        _lock(handle, wait=True)
        if Path(name).exists():  # else another process took it for a leftover before it was locked
            break
        os.close(handle)
    # mkstemp keeps the file private; give it the permissions of an ordinary new file.
    Path(name).chmod(0o666 & ~_umask())
    return Path(name), handle


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that have ended."""
    try:
        paths = [path for path in folder.iterdir() if _LEFTOVER.fullmatch(path.name)]
    except OSError:  # a folder that can be written need not be readable
        return
    for path in paths:
        if path.is_file() and not path.is_symlink():
            with suppress(OSError):  # in use, or not ours to remove
                _remove_unless_locked(path)


def _remove_unless_locked(path: Path) -> None:
    """Remove a file that no process holds."""
    handle = os.open(path, os.O_RDWR)
    try:
        if _WINDOWS:  # which does not remove a file that somebody has open
            handle = _closed(handle)
            path.unlink()
        elif _lock(handle, wait=False):
            path.unlink()
    finally:
        _closed(handle)


def _closed(handle: int) -> int:
    """Close a handle that is open; return the one that stands for none."""
    if handle >= 0:
        os.close(handle)
    return -1


def _cannot_write(final: Path, error: OSError) -> OutputFileError:
    """Return the error for the user, which does not name the temporary file."""
    in_the_way = [place for place in final.parents if place.exists() and not place.is_dir()]
    got = error.strerror or type(error).__name__
    if in_the_way:
        got = f"the file {in_the_way[0]}"
    elif final.is_dir():
        got = "a folder of that name"
    return OutputFileError(f"cannot write {final}: expected a writable folder, got {got}")


def _umask() -> int:
    """Return the file creation mask of the process."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


if sys.platform == "win32":

    def _lock(handle: int, wait: bool) -> bool:  # noqa: ARG001 - as below
        """Do nothing: an open file cannot be removed there."""
        return True

else:
    import fcntl

    def _lock(handle: int, wait: bool) -> bool:
        """Lock a file until it is closed or the process ends; tell whether that succeeded."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:  # held by another, or a file system without locks
            return False
        return True
