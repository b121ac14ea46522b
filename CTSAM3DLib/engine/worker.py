"""One long-lived thread for inference: first in, first out; results are fetched, never pushed."""

from __future__ import annotations

import atexit
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from CTSAM3DLib.errors import CTSAM3DError, InferenceThreadError

T = TypeVar("T")
Tasks = SimpleQueue[tuple[Future[Any], Callable[[], object]] | None]
"""What a thread has to do; None ends it."""


class SessionWorker:
    """Runs functions one after the other on one thread of its own.

    The thread lives as long as the worker, since plans and memory that a network prepares belong
    to a thread. Nothing is called back on the owner's side: the owner asks with `drain`, from a
    timer for example. The thread starts with the first task. If it ends before its time, all that
    it should have done ends with InferenceThreadError, and the next task starts another one.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._thread: Thread | None = None
        self._tasks: Tasks = SimpleQueue()
        self._lock = Lock()  # of thread, queue and what is unfinished
        self._is_shut_down = False
        self._news: deque[Any] = deque()
        self._undrained: set[Any] = set()
        self._unfinished: dict[Future[Any], None] = {}  # In order
        self._idle_task: Future[Any] | None = None
        self._something_ended = Event()
        self._cancelled = Event()
        # Neither this nor the thread keeps a worker that nobody has any more.
        self._at_exit = partial(_shut_down, weakref.ref(self))

    @property
    def is_running(self) -> bool:
        """Whether it takes tasks: it was not shut down."""
        return not self._is_shut_down

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
        Raises CTSAM3DError: the worker was shut down.
        """
        if self._is_shut_down:
            raise CTSAM3DError("expected a running worker, got one that was shut down")
        self._cancel_idle()
        return self._put(partial(function, *arguments), awaited=True)

    def submit_idle(self, function: Callable[..., object], *arguments: Any) -> bool:
        """Run a task in spare time, and tell whether it was queued: only if nothing else waits.

        A newer one replaces an older one. Nobody gets its result or its errors: it prepares what a
        later task can also do by itself.
        """
        if self._undrained or self._is_shut_down:
            return False
        self._cancel_idle()
        self._idle_task = self._put(partial(function, *arguments))
        return True

    def submit_quiet(self, function: Callable[..., object], *arguments: Any) -> None:
        """Queue a task whose end is not reported; without effect after `shutdown`."""
        if not self._is_shut_down:
            self._put(partial(function, *arguments))

    def post(self, note: object) -> None:
        """Leave a note for the owner, to be called by a running task; `drain` returns it."""
        self._news.append(note)
        self._something_ended.set()

    def wait(self, seconds: float) -> None:
        """Wait until there is something to drain or a task has ended, `seconds` at most.

        The owner's thread releases Python's lock meanwhile. Without any task it returns at once.
        """
        self._something_ended.clear()
        self._notice_loss()
        if self._unfinished and not self._news:
            self._something_ended.wait(seconds)

    def drain(self) -> list[Any]:
        """Return what is new since the last call, in order: futures that ended, and notes."""
        self._notice_loss()
        news = []
        while self._news:
            item = self._news.popleft()
            if not isinstance(item, Future):
                news.append(item)
            elif item in self._undrained:
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
        self._is_shut_down = True
        for future in list(self._unfinished):
            future.cancel()
        self._tasks.put(None)
        thread = self._thread
        if thread is not None:
            thread.join()
        self._notice_loss()
        atexit.unregister(self._at_exit)

    def _cancel_idle(self) -> None:
        if self._idle_task is not None:
            self._idle_task.cancel()
            self._idle_task = None

    # ---- the thread

    def _put(self, call: Callable[[], T], awaited: bool = False) -> Future[T]:
        """Queue a task; if there is no thread, start one."""
        self._notice_loss()
        future: Future[T] = Future()
        if awaited:
            self._undrained.add(future)
        with self._lock:
            self._unfinished[future] = None
            future.add_done_callback(self._ended)
            self._tasks.put((future, call))
            thread, self._thread = self._thread, self._thread or self._new_thread()
        if thread is None:
            atexit.register(self._at_exit)  # Python ends a daemon in the middle of its work
            weakref.finalize(self, _end, self._tasks, self._at_exit).atexit = False
            try:
                self._thread.start()
            except RuntimeError as error:  # too many threads, or Python is about to end
                self._lose(error)
        return future

    def _new_thread(self) -> Thread:
        arguments = self._tasks, weakref.ref(self)
        return Thread(target=_run, args=arguments, name="CTSAM3D inference", daemon=True)

    def _notice_loss(self) -> None:
        """Deal with a thread that could not say that it ended."""
        thread = self._thread
        if not (thread and thread.is_alive()) and (thread or self._unfinished):
            self._lose(None)

    def _lose(self, error: BaseException | None) -> None:
        """End all that a thread which has ended should have done."""
        with self._lock:
            self._thread, self._tasks = None, SimpleQueue()
            lost = list(self._unfinished)
        for future in lost:
            reason = InferenceThreadError(
                "expected an answer of the model, but its thread ended "
                f"({'reason unknown' if error is None else repr(error)}); do the step again"
            )
            reason.__cause__ = error
            with suppress(InvalidStateError):  # it had ended, or was cancelled at this moment
                future.set_exception(reason)
            self._ended(future)

    def _ended(self, future: Future[Any]) -> None:
        if future in self._undrained:
            self._news.append(future)
        self._unfinished.pop(future, None)
        self._something_ended.set()


def _run(tasks: Tasks, worker: weakref.ref[SessionWorker]) -> None:
    """Do the tasks; the thread's function."""
    try:
        while (task := tasks.get()) is not None:
            future, call = task
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del task, future, call  # nothing is kept while it waits for the next one
    except BaseException as error:
        owner = worker()
        if owner is not None:
            owner._lose(error)


def _end(tasks: Tasks, at_exit: Callable[[], None]) -> None:
    """End the thread of a worker that nobody has any more."""
    tasks.put(None)
    atexit.unregister(at_exit)


def _shut_down(worker: weakref.ref[SessionWorker]) -> None:
    owner = worker()
    if owner is not None:
        owner.shutdown()
