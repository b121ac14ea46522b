"""Collects exceptions raised in observers and slots, which Qt and VTK would only print."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

_raised: list[str] = []


def _record(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _raised.append("".join(traceback.format_exception(kind, error, trace)))


def take() -> list[str]:
    """Return what was raised since the last call, as tracebacks."""
    found = list(_raised)
    _raised.clear()
    return found


@contextmanager
def recorded() -> Iterator[None]:
    """Record instead of printing."""
    before = sys.excepthook
    sys.excepthook = _record
    try:
        yield
    finally:
        sys.excepthook = before
