"""Waiting for threads by one timer that releases Python's lock. Main thread only."""

from __future__ import annotations

from collections.abc import Callable

from CTSAM3DModuleLib.widgets import timer

RELEASED_S = 0.022
PAUSE_MS = 8


class Waiting:
    """Waits for threads while the application goes on.

    `rounds` counts how often it has waited.

    In Slicer the main thread holds Python's lock while Qt waits for events: a thread can run
    Python only while the main thread runs a callback that waits. So a timer waits about 22 of
    every 30 ms as long as there is a thread to wait for, and then asks what has come of it.

    Examples
    --------
    >>> waiting = Waiting()  # doctest: +SKIP
    >>> waiting.watch(thread.join, lambda: thread.is_alive())  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self.rounds = 0
        self._timer = timer(PAUSE_MS, self._on_timer, single=True)
        self._watched: dict[Callable[[], bool], Callable[[float], object]] = {}

    @property
    def is_active(self) -> bool:
        """Whether there is a thread to wait for."""
        return bool(self._watched)

    def watch(self, wait: Callable[[float], object], go_on: Callable[[], bool]) -> None:
        """Wait for a thread from now on.

        `wait` takes seconds and waits for the thread that long at most; `go_on` is called after
        each time, deals with what has come and returns whether to wait on.
        """
        self._watched[go_on] = wait
        if not self._timer.active:
            self._timer.start()

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._watched.clear()
        self._timer.stop()

    def _on_timer(self) -> None:
        try:
            for wait in list(self._watched.values())[:1]:  # all threads run meanwhile
                wait(RELEASED_S)
                self.rounds += 1
            for go_on, wait in list(self._watched.items()):
                del self._watched[go_on]  # also if it raises
                if go_on():
                    self._watched.setdefault(go_on, wait)
        finally:
            if self._watched and not self._timer.active:
                self._timer.start()
