"""Faults at the n-th call of a function of ours, on the thread that calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

PLACES = ("/CTSAM3DLib/mrml/", "/CTSAM3DModuleLib/editing/")


class CallFaults:
    """Runs a function and raises at the n-th call, counted from 1, of a function of some folders.

    As memory may run out anywhere, it asks at each call; `calls` counts them, `hit` tells of a
    fault.
    """

    def __init__(self, function: Callable[[], Any], at: int = 0, error: type = MemoryError) -> None:
        self._function = function
        self._error = error
        self.at = at
        self.calls = 0
        self.hit = ""

    def __call__(self) -> Any:
        before = sys.getprofile()
        sys.setprofile(self._on_call)
        try:
            return self._function()
        finally:
            sys.setprofile(before)

    def _on_call(self, frame: Any, event: str, argument: object) -> None:
        code = frame.f_code
        name = code.co_filename.replace("\\", "/")
        if event != "call" or not any(place in name for place in PLACES):
            return
        self.calls += 1
        if self.calls == self.at and not self.hit:
            self.hit = f"{name.rpartition('/')[2]}:{code.co_name}"
            raise self._error("injected")
