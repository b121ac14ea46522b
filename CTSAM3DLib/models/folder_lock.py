"""One process at a time changes a folder, also where two applications run on one computer."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from CTSAM3DLib.errors import OutputFileError

WAIT_S = 10.0
_POLL_S = 0.05


@contextmanager
def locked_folder(folder: str | Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Run a block while nobody else runs one for the same folder.

    The lock is one of the operating system on a file outside the folder (in that for temporary
    files): it ends with the process, however that ends, and leaves nothing in the folder, which
    need not exist. Two computers that share a folder do not see each other's locks.

    Parameters
    ----------
    folder : str or Path
        The folder to change.
    wait_s : float
        How long to wait for others, in seconds.

    Raises
    ------
    OutputFileError
        Somebody else is not done in time, or no lock can be had. The block has not run.

    Examples
    --------
    >>> with locked_folder("models"):
    ...     with locked_folder("models", wait_s=0.0):
    ...         pass
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.OutputFileError: cannot change models: expected nobody else to, but ...
    """
    path = _lock_file(Path(folder))
    handle = _taken(path, Path(folder), wait_s)
    try:
        yield
    finally:
        _give_back(handle, path)


def _lock_file(folder: Path) -> Path:
    """Return the file whose lock stands for a folder."""
    name = os.path.normcase(os.path.realpath(folder))
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"ctsam3d-{digest}.lock"


def _taken(path: Path, folder: Path, wait_s: float) -> int:
    """Wait until the lock is this one's; return its file."""
    end = time.monotonic() + wait_s
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            message = f"cannot change {folder}: expected a lock at {path}, got {reason}"
            raise OutputFileError(message) from error
        # Who had it before may have removed the file in the meantime.
        if _try(handle) and _lies_at(handle, path):
            return handle
        os.close(handle)
        if time.monotonic() >= end:
            message = (
                f"cannot change {folder}: expected nobody else to, but another import or removal "
                f"is still at it after {wait_s:g} s; try again when it has ended"
            )
            raise OutputFileError(message)
        time.sleep(_POLL_S)


def _lies_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _give_back(handle: int, path: Path) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        os.close(handle)
        with suppress(OSError):  # a file that somebody has open stays
            path.unlink()

else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _give_back(handle: int, path: Path) -> None:
        with suppress(OSError):
            path.unlink()
        os.close(handle)  # which ends the lock
