"""Files that are either complete or absent."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from CTSAM3DLib.errors import OutputFileError

_DAY_S = 86400.0
_PREFIX = ".ctsam3d-"
_LEFTOVER = re.compile(re.escape(_PREFIX) + "([0-9]{1,9})-[a-z0-9_]{8}-.+", re.DOTALL)
_KEPT_LETTERS = 48  # of the name, so that the temporary one is never too long; suffixes are shorter


@contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary path; rename it to ``path`` when the block ends without an error.

    The temporary file lies in the same folder, which is made when it is missing, and has the same
    suffixes, since many writers choose their format by it. After an error it is removed and an
    older file at ``path`` stays as it was. Raises OutputFileError: the folder cannot be made or
    written, `path` is a folder, or the block itself raised an OSError, for example for want of
    space. The text names `path`, not the temporary file.

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
        temporary, lock = temporary_beside(final)
        try:
            yield temporary
            temporary.replace(final)
        except BaseException:  # not after it was renamed: then nothing may fail any more
            temporary.unlink(missing_ok=True)
            raise
        finally:
            if lock is not None:
                os.close(lock)
    except OutputFileError:
        raise
    except OSError as error:
        raise _cannot_write(final, error) from error


def check_writable(path: str | Path) -> None:
    """Raise OutputFileError where a file could not be written; leaves nothing behind.

    Looks at the folder of `path` or, where it is missing, the one in which it would be made. Raises
    OutputFileError: the folder cannot be made or written, or `path` is a folder.

    Examples
    --------
    >>> check_writable(Path(tempfile.mkdtemp()) / "new" / "a.txt")
    >>> check_writable("/")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.OutputFileError: cannot write /: a folder has this name. Choose another ...
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

    What cannot be written in UTF-8, such as bytes of a file name, is written as an escape. Raises
    OutputFileError as `written_atomically`.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def temporary_beside(final: Path) -> tuple[Path, int | None]:
    """Make an empty file in the folder of another, and that folder; return its lock as well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for path in leftovers(final.parent):
        with suppress(OSError):  # removed by another process, or not ours to remove
            path.unlink()
    prefix, suffix = f"{_PREFIX}{os.getpid()}-", f"-{final.name[-_KEPT_LETTERS:]}"
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=final.parent)
    try:
        # mkstemp keeps the file private; give it the permissions of an ordinary new file.
        Path(name).chmod(0o666 & ~_umask())
        if _lock(handle):
            return Path(name), handle
    except BaseException:
        os.close(handle)
        Path(name).unlink(missing_ok=True)
        raise
    os.close(handle)
    return Path(name), None


def leftovers(folder: Path, suffix: str = "") -> list[Path]:
    """Return the temporary files that processes, which have ended, left in a folder, if it exists.

    `suffix` is how their names end; the name of the finished file is one.

    Examples
    --------
    >>> leftovers(Path("no such folder"), "a.pt")
    []
    """
    paths: list[Path] = []
    with suppress(OSError):  # a folder that can be written need not be readable
        ours = folder.glob(f"{_PREFIX}*")  # of 40,000 files in a folder, a few
        paths = [path for path in ours if path.name.endswith(suffix[-_KEPT_LETTERS:])]
    found = []
    for path in paths:
        match = _LEFTOVER.fullmatch(path.name)
        with suppress(OSError):  # removed by another process, or not ours to open
            if match and path.is_file() and not path.is_symlink() and _is_left(path, int(match[1])):
                found.append(path)
    return found


def _cannot_write(final: Path, error: OSError) -> OutputFileError:
    """Return the error for the user, which does not name the temporary file."""
    in_the_way = [place for place in final.parents if place.exists() and not place.is_dir()]
    reason = error.strerror or type(error).__name__
    remedy = "Choose another folder or name"
    if in_the_way:
        reason = f"{in_the_way[0]} is a file, not a folder"
    elif final.is_dir():
        reason = "a folder has this name"
    elif error.errno == errno.ENOSPC:
        remedy = "Free some space, or choose another folder"
    return OutputFileError(f"cannot write {final}: {reason}. {remedy}")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


if sys.platform == "win32":

    def _lock(handle: int) -> bool:  # noqa: ARG001 - as below
        """Lock nothing: a file that is open cannot be renamed there."""
        return False

    def _is_left(path: Path, pid: int) -> bool:  # noqa: ARG001 - as below
        """Tell whether a temporary file is so old that nobody still writes it."""
        return time.time() - path.stat().st_mtime > _DAY_S

else:
    import fcntl

    def _lock(handle: int) -> bool:
        """Lock a file until it is closed or the process ends; tell whether that succeeded."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by another, or a file system without locks
            return False
        return True

    def _is_left(path: Path, pid: int) -> bool:
        """Tell whether the process that made a temporary file has ended.

        The lock tells it of processes in other containers, whose numbers are their own; the
        number tells it of files that a writer has replaced by new ones, which have no lock.
        """
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return False
        with path.open("r+b") as file:
            return _lock(file.fileno())
