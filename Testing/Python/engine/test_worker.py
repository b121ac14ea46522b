"""One thread, in order, fetched by its owner."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from unittest import mock

import pytest
from waiting import HANG_S, at_rest

from CTSAM3DLib.engine.worker import SessionWorker
from CTSAM3DLib.errors import CTSAM3DError, InferenceThreadError


@pytest.fixture
def worker() -> Iterator[SessionWorker]:
    worker = SessionWorker()
    yield worker
    worker.shutdown()


def test_tasks_run_in_order_on_one_thread_that_stays(worker: SessionWorker) -> None:
    seen: list[tuple[int, str]] = []
    futures = [
        worker.submit(lambda n=n: seen.append((n, threading.current_thread().name)))
        for n in range(5)
    ]
    futures[-1].result(HANG_S)
    worker.submit(lambda: seen.append((5, threading.current_thread().name))).result(HANG_S)
    assert [number for number, _ in seen] == list(range(6))
    assert len({name for _, name in seen}) == 1
    assert threading.current_thread().name not in {name for _, name in seen}


def test_nothing_starts_before_the_first_task(worker: SessionWorker) -> None:
    before = threading.active_count()
    assert worker.drain() == []
    assert threading.active_count() == before
    worker.submit(int).result(HANG_S)
    assert threading.active_count() == before + 1


def test_drain_returns_each_end_once_also_failures(worker: SessionWorker) -> None:
    def fail() -> None:
        raise ValueError("no")

    good, bad = worker.submit(int), worker.submit(fail)
    with pytest.raises(ValueError, match="no"):
        bad.result(HANG_S)
    assert worker.pending == 2
    at_rest(worker)
    assert worker.drain() == [good, bad]
    assert worker.drain() == []
    assert worker.pending == 0


def test_cancel_takes_back_what_waits_and_tells_the_running_task(worker: SessionWorker) -> None:
    started, stopped = threading.Event(), threading.Event()

    def work(cancelled) -> str:
        started.set()
        while not cancelled():
            time.sleep(0.001)
        stopped.set()
        return "stopped early"

    running = worker.submit(work, worker.cancelled)
    waiting = worker.submit(int)
    assert started.wait(HANG_S)
    worker.cancel()
    assert running.result(HANG_S) == "stopped early"
    assert waiting.cancelled()
    at_rest(worker)
    assert set(worker.drain()) == {running, waiting}
    later = worker.cancelled
    assert worker.submit(later).result(HANG_S) is False


def test_idle_tasks_give_way(worker: SessionWorker) -> None:
    gate, runs, ran = threading.Event(), threading.Event(), []

    def hold() -> None:
        runs.set()
        gate.wait(HANG_S)

    blocker = worker.submit(gate.wait, HANG_S)
    assert not worker.submit_idle(ran.append, "refused: something waits")
    gate.set()
    blocker.result(HANG_S)
    at_rest(worker)
    worker.drain()
    gate.clear()
    assert worker.submit_idle(hold)
    assert runs.wait(HANG_S)
    assert worker.submit_idle(ran.append, "replaced")
    assert worker.submit_idle(ran.append, "taken back")
    task = worker.submit(ran.append, "task")
    gate.set()
    task.result(HANG_S)
    assert ran == ["task"]
    at_rest(worker)
    worker.drain()
    assert worker.submit_idle(ran.append, "idle")
    worker.submit(int).result(HANG_S)
    at_rest(worker)
    assert worker.drain() != []


def test_waiting_ends_when_something_can_be_drained_or_nothing_is_left(worker) -> None:
    worker.wait(HANG_S)  # nothing to wait for
    gate = threading.Event()

    def work() -> None:
        worker.post("half")
        gate.wait(HANG_S)

    future = worker.submit(work)
    worker.wait(HANG_S)
    assert worker.drain() == ["half"]
    gate.set()
    while worker.is_working:
        worker.wait(HANG_S)
        if worker.drain() == [future]:
            break
    worker.submit_idle(int, "no number")
    while worker.is_working:
        worker.wait(HANG_S)
    assert worker.drain() == []


def test_idle_failures_trouble_nobody(worker: SessionWorker) -> None:
    assert worker.submit_idle(int, "no number")
    assert worker.submit(int, "7").result(HANG_S) == 7


def test_quiet_tasks_keep_their_place_and_are_not_told(worker: SessionWorker) -> None:
    seen: list[int] = []
    worker.submit(seen.append, 1)
    worker.submit_quiet(seen.append, 2)
    last = worker.submit(seen.append, 3)
    last.result(HANG_S)
    at_rest(worker)
    assert seen == [1, 2, 3]
    assert len(worker.drain()) == 2


def test_notes_come_in_order_with_the_ends(worker: SessionWorker) -> None:
    def work(name: str) -> None:
        worker.post(f"{name} half")

    first, second = worker.submit(work, "first"), worker.submit(work, "second")
    second.result(HANG_S)
    at_rest(worker)
    assert worker.drain() == ["first half", first, "second half", second]


def test_shutdown_ends_the_thread_and_refuses_more(worker: SessionWorker) -> None:
    before = threading.active_count()
    worker.submit(int).result(HANG_S)
    worker.shutdown()
    worker.shutdown()
    assert threading.active_count() == before
    worker.submit_quiet(pytest.fail, "ran after shutdown")
    assert not worker.submit_idle(int)
    with pytest.raises(CTSAM3DError, match="expected a running worker"):
        worker.submit(int)


def test_a_quiet_task_at_the_end_of_python_is_no_error() -> None:
    """Python ends its threads first; a module of Slicer that is ended then still asks."""
    code = (
        "import atexit\n"
        "from CTSAM3DLib.engine.worker import SessionWorker\n"
        "worker = SessionWorker()\n"
        "worker.submit(int).result()\n"
        "atexit.register(worker.submit_quiet, int)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr == ""


def _when_it_tells(worker: SessionWorker, gate: threading.Event) -> list[Future]:
    """End the thread after a task, before all who wait for it have heard of it."""

    def end(_: Future) -> None:
        raise SystemExit

    told = worker.submit(gate.wait, HANG_S)
    told.add_done_callback(end)
    behind = [worker.submit(int), worker.submit(int)]
    worker.submit_quiet(int)
    gate.set()
    assert told.result(HANG_S)
    return behind


def _when_it_has_an_answer(worker: SessionWorker, gate: threading.Event) -> list[Future]:
    """End the thread between the end of a task and the result of its future."""
    asked = worker.submit(gate.wait, HANG_S)
    asked.set_result = mock.Mock(side_effect=MemoryError)
    behind = worker.submit(int)
    gate.set()
    return [asked, behind]


@pytest.mark.parametrize("end", [_when_it_tells, _when_it_has_an_answer])
def test_a_thread_that_ends_takes_no_task_with_it(
    worker: SessionWorker, end: Callable[[SessionWorker, threading.Event], list[Future]]
) -> None:
    threads = [worker.submit(threading.current_thread).result(HANG_S)]
    at_rest(worker)
    lost = end(worker, threading.Event())
    for future in lost:
        with pytest.raises(InferenceThreadError, match="its thread ended"):
            future.result(HANG_S)
    while worker.is_working:
        worker.wait(HANG_S)
        drained = worker.drain()
        lost = [future for future in lost if future not in drained]
    assert lost == []
    assert worker.pending == 0
    threads.append(worker.submit(threading.current_thread).result(HANG_S))
    assert len(set(threads)) == 2
    assert [t.name for t in threading.enumerate()].count("CTSAM3D inference") == 1


def test_a_worker_that_nobody_has_any_more_is_freed_with_its_thread() -> None:
    worker = SessionWorker()
    thread = worker.submit(threading.current_thread).result(HANG_S)
    worker.drain()
    gone = weakref.ref(worker)
    del worker
    thread.join(HANG_S)  # an end that no garbage collection has to bring
    assert gone() is None
    assert not thread.is_alive()


def test_what_is_lost_ends_in_its_order(worker: SessionWorker) -> None:
    with mock.patch("threading.Thread.start"):
        lost = [worker.submit(int) for _ in range(20)]
    assert worker.drain() == lost


def test_a_thread_that_cannot_start_is_an_error_of_the_task(worker: SessionWorker) -> None:
    with mock.patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
        lost = worker.submit(int)
        assert worker.submit_idle(int) is False
    with pytest.raises(InferenceThreadError, match="can't start new thread"):
        lost.result(HANG_S)
    assert worker.drain() == [lost]
    assert not worker.is_working
    assert worker.submit(int).result(HANG_S) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_thread_that_is_gone_without_a_word_is_noticed_by_its_owner() -> None:
    """As in a child of a process, which has none of its threads."""
    code = (
        "import os, threading\n"
        "from CTSAM3DLib.engine.worker import SessionWorker\n"
        "worker, gate = SessionWorker(), threading.Event()\n"
        "lost = worker.submit(gate.wait)\n"
        "if os.fork():\n"
        "    gate.set()\n"
        "    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "while worker.is_working:\n"
        "    worker.wait(60)\n"
        "    assert worker.drain() == [lost]\n"
        "print(type(lost.exception()).__name__, worker.submit(int).result(), flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
        timeout=HANG_S,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "InferenceThreadError 0\n", "")
