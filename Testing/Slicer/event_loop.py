"""Waiting for what another thread does: ends on what happens, however slow the computer is."""

from __future__ import annotations

import time

import slicer

# Only ends a test that would hang; no test may rely on how long this is.
HANG_S = 300.0


def until(happened, what="what the test waits for"):
    """Let the application go on until something has happened."""
    end = time.monotonic() + HANG_S
    slicer.app.processEvents()
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {HANG_S:.0f} s")
        time.sleep(0.002)
        slicer.app.processEvents()
    slicer.app.processEvents()
