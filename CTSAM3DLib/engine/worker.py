"""One long-lived thread for inference: first in, first out; results are fetched, never pushed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any, TypeVar

from CTSAM3DLib.errors import CTSAM3DError

T = TypeVar("T")


class SessionWorker:
    """Runs functions one after the other on one thread of its own.

    The thread lives as long as the worker, since plans and memory that a network prepares belong
    to a thread. Nothing is called back on the owner's side: the owner asks with `drain`, from a
    timer for example. The thread starts with the first task.

    Examples
    --------
    >>> worker = SessionWorker()
    >>> future = worker.submit(pow, 2, 5)
    >>> future.result()
    32
    >>> worker.shutdown()
    >>> worker.drain() == [future], worker.drain()
    (True, [])
    >>> worker.submit(pow, 2, 5)
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.CTSAM3DError: expected a running worker, got one that was shut down
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._executor: ThreadPoolExecutor | None = ThreadPoolExecutor(1, "CTSAM3D inference")
        self._news: deque[Any] = deque()
        self._undrained: set[Any] = set()
        self._unfinished: set[Future[Any]] = set()
        self._idle_task: Future[Any] | None = None
        self._something_ended = Event()
        self._cancelled = Event()

    @property
    def is_running(self) -> bool:
        """Whether it takes tasks: it was not shut down."""
        return self._executor is not None

    @property
    def pending(self) -> int:
        """Number of submitted tasks that `drain` has not returned yet; idle ones do not count."""
        return len(self._undrained)

    @property
    def is_working(self) -> bool:
        """Whether a task of any kind waits or runs, or there is something to drain."""
        return bool(self._unfinished or self._news)

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Tells a task that asks for it, before it is submitted, whether `cancel` came since."""
        return self._cancelled.is_set

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Queue a task for the worker's thread; an idle task that has not begun yet is cancelled.

        The future holds the result or the exception; `drain` returns it once, when it is done.

        Raises
        ------
        CTSAM3DError
            The worker was shut down.
        """
        if self._executor is None:
            message = "expected a running worker, got one that was shut down"
            raise CTSAM3DError(message)
        self._cancel_idle()
        future = self._executor.submit(function, *arguments)
        self._undrained.add(future)
        future.add_done_callback(self._news.append)
        self._follow(future)
        return future

    def submit_idle(self, function: Callable[..., object], *arguments: Any) -> bool:
        """Run a task in spare time, and tell whether it was queued: only if nothing else waits.

        A newer one replaces an older one. Nobody gets its result or its errors: it prepares what a
        later task can also do by itself.
        """
        if self._undrained or self._executor is None:
            return False
        self._cancel_idle()
        self._idle_task = self._executor.submit(function, *arguments)
        self._follow(self._idle_task)
        return True

    def submit_quiet(self, function: Callable[..., object], *arguments: Any) -> None:
        """Queue a task whose end is not reported; without effect after `shutdown`.

        When the interpreter ends, Python ends the thread before Slicer ends the module: then too.
        """
        if self._executor is not None:
            with suppress(RuntimeError):
                self._follow(self._executor.submit(function, *arguments))

    def post(self, note: object) -> None:
        """Leave a note for the owner, to be called by a running task; `drain` returns it."""
        self._news.append(note)
        self._something_ended.set()

    def wait(self, seconds: float) -> None:
        """Wait until there is something to drain or a task has ended, `seconds` at most.

        The owner's thread releases Python's lock meanwhile. Without any task it returns at once.
        """
        self._something_ended.clear()
        if self._unfinished and not self._news:
            self._something_ended.wait(seconds)

    def drain(self) -> list[Any]:
        """Return what is new since the last call, in order: futures that ended, and notes."""
        news = []
        while self._news:
            item = self._news.popleft()
            self._undrained.discard(item)
            news.append(item)
        return news

    def cancel(self) -> None:
        """Take back what has not begun, and tell the running task, if it asks, to stop early."""
        self._cancelled.set()
        self._cancelled = Event()
        self._cancel_idle()
        for future in list(self._undrained):
            future.cancel()

    def shutdown(self) -> None:
        """Cancel all, wait for the running task and end the thread; a second call does nothing."""
        self.cancel()
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _cancel_idle(self) -> None:
        if self._idle_task is not None:
            self._idle_task.cancel()
            self._idle_task = None

    def _follow(self, future: Future[Any]) -> None:
        """Know that a task is there until it has ended."""
        self._unfinished.add(future)
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[Any]) -> None:
        self._unfinished.discard(future)
        self._something_ended.set()
