"""Faults at the n-th call to the file system: an error, a full disk, or the end of the process.

Python tells an audit hook of every file that it opens, renames, removes or makes, before it does
so. The hook may raise; then the call fails.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_EVENTS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate",
    "os.listdir", "os.scandir", "os.symlink", "os.link", "os.utime",
}  # fmt: skip


@dataclass
class FileFaults:
    """Counts the calls that touch a folder, and lets one of them, or all from one on, fail.

    Parameters
    ----------
    folder : Path
        Calls for what lies elsewhere are let pass.
    act : callable, optional
        Called in place of the call that fails; raises or does not come back.
    at : int
        The number of that call, counted from 1; 0 for none.
    goes_on : bool
        Later calls fail as well.
    """

    folder: Path
    act: Callable[[], object] | None = None
    at: int = 0
    goes_on: bool = False
    calls: int = 0
    hits: int = 0
    last: str = ""

    def told(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in _EVENTS or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        if not os.fsdecode(arguments[0]).startswith(str(self.folder)):
            return
        self.calls += 1
        is_due = self.calls >= self.at if self.goes_on else self.calls == self.at
        if self.at and is_due and self.act is not None:
            self.hits += 1
            self.last = event
            self.act()


_active: FileFaults | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _active is not None:
        _active.told(event, arguments)


sys.addaudithook(_hook)


@contextmanager
def injected(faults: FileFaults) -> Iterator[FileFaults]:
    """Have a fault happen in a block."""
    global _active  # noqa: PLW0603  an audit hook stays for ever
    _active = faults
    try:
        yield faults
    finally:
        _active = None


def calls_of(step: Callable[[], object], folder: Path) -> int:
    """Run a step and count how often it touches a folder."""
    with injected(FileFaults(folder)) as faults:
        step()
    return faults.calls


def raising(error: BaseException) -> Callable[[], None]:
    """Return what raises an error."""

    def act() -> None:
        raise error

    return act


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """Let no file become longer than some bytes: the write that would do so fails."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def killed(step: Callable[[], object], folder: Path, at: int) -> bool:
    """Run a step in a process that ends by SIGKILL at a call; tell whether it was killed."""
    with warnings.catch_warnings():
        # Python 3.12 warns of threads, such as those of pytest-xdist; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            faults = FileFaults(folder, lambda: os.kill(os.getpid(), signal.SIGKILL), at)
            with injected(faults):
                step()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
