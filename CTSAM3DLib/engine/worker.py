"""One long-lived thread for inference: first in, first out; results are fetched, never pushed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
        self._waiting: set[Any] = set()
        self._idle_task: Future[Any] | None = None
        self._cancelled = Event()

    @property
    def is_running(self) -> bool:
        """Whether it takes tasks: it was not shut down."""
        return self._executor is not None

    @property
    def idling(self) -> bool:
        """Whether an idle task waits or runs."""
        return self._idle_task is not None and not self._idle_task.done()

    @property
    def pending(self) -> int:
        """Number of submitted tasks that `drain` has not returned yet; idle tasks do not count."""
        return len(self._waiting)

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Tells a task that asks for it, before it is submitted, whether `cancel` came since."""
        return self._cancelled.is_set

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Queue a task; an idle task that has not begun yet gives way to it.

        Parameters
        ----------
        function : callable
            Runs on the worker's thread.
        *arguments
            Its arguments.

        Returns
        -------
        Future
            Holds the result or the exception; `drain` returns it once, when it is done.

        Raises
        ------
        CTSAM3DError
            The worker was shut down.
        """
        if self._idle_task is not None:
            self._idle_task.cancel()
        future = self._running().submit(function, *arguments)
        self._waiting.add(future)
        future.add_done_callback(self._news.append)
        return future

    def submit_idle(self, function: Callable[..., object], *arguments: Any) -> bool:
        """Run a task in spare time: only if nothing else waits; a newer one replaces an older one.

        Its result and its errors are of no interest to anybody: it prepares what a later task can
        also do by itself.

        Returns
        -------
        bool
            Whether it was queued.
        """
        if self._waiting or self._executor is None:
            return False
        if self._idle_task is not None:
            self._idle_task.cancel()
        self._idle_task = self._executor.submit(function, *arguments)
        return True

    def submit_quiet(self, function: Callable[..., object], *arguments: Any) -> None:
        """Queue a task of whose end nobody is told; without effect after `shutdown`."""
        if self._executor is not None:
            self._executor.submit(function, *arguments)

    def post(self, note: object) -> None:
        """Leave a note for the owner, to be called by a running task; `drain` returns it."""
        self._news.append(note)

    def drain(self) -> list[Any]:
        """Return what is new since the last call, in order: futures that ended, and notes."""
        news = []
        while self._news:
            item = self._news.popleft()
            self._waiting.discard(item)
            news.append(item)
        return news

    def cancel(self) -> None:
        """Take back what has not begun, and tell the running task, if it asks, to stop early."""
        self._cancelled.set()
        self._cancelled = Event()
        for future in [*self._waiting, *([self._idle_task] if self._idle_task else [])]:
            future.cancel()

    def shutdown(self) -> None:
        """Cancel all, wait for the running task and end the thread; a second call does nothing."""
        self.cancel()
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _running(self) -> ThreadPoolExecutor:
        if self._executor is None:
            message = "expected a running worker, got one that was shut down"
            raise CTSAM3DError(message)
        return self._executor
