"""Waiting for threads and processes: ends on what happens, however slow the computer is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from CTSAM3DLib.engine.worker import SessionWorker

# Only ends a test that would hang; no test may rely on how long this is.
HANG_S = 300.0


def at_rest(worker: SessionWorker) -> None:
    """Wait until the tasks of a worker have ended and `drain` knows of it.

    A future has its result a moment before that.
    """
    done = threading.Event()
    worker.submit_quiet(done.set)
    assert done.wait(HANG_S)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + HANG_S
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)
