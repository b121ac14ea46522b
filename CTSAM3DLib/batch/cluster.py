"""The cases of a batch on the processes of a Dask cluster; needs the package ``distributed``."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice, repeat
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Lock, current_thread, main_thread
from typing import Any

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import LoadedModel, load_model
from CTSAM3DLib.batch.runner import CaseRunner, Entry, failed
from CTSAM3DLib.batch.table import BatchCase
from CTSAM3DLib.errors import ClusterError

AHEAD = 16
"""So many cases are under way beside five for each four threads of workers."""
NO_WORKERS = "5 minutes"
"""Where a cluster of our own has been without a worker for so long, none comes back."""
_WORKER_LOGS = {
    "distributed.worker": "critical",
    "distributed.worker.memory": "warning",
    "distributed.worker.state_machine": "critical",
}
"""What a worker of our own logs: not how its end interrupts its case."""
_LOADED: dict[WorkerModel, LoadedModel] = {}
_LOADING = Lock()


@dataclass(frozen=True)
class WorkerModel:
    """Which model a worker loads, once in its life."""

    arguments: tuple[Any, ...]  # Of the loader
    # By default `load_model`, with the id or path of a model and a device
    loader: Callable[..., LoadedModel] = load_model

    def load(self) -> LoadedModel:
        """Return the model of this process."""
        with _LOADING:
            if self not in _LOADED:
                _LOADED.clear()  # of an earlier batch
                _LOADED[self] = self.loader(*self.arguments)
            return _LOADED[self]


@contextmanager
def connected(scheduler: str = "", workers: int = 0, memory_limit: str = "auto") -> Iterator[Any]:
    """Give a client of a cluster, and close what was started for it.

    `scheduler` is an address such as ``tcp://10.0.0.1:8786``; without it, a cluster of `workers`
    processes of one thread is started on this computer. `memory_limit` is that of each of them,
    such as ``8GB``; a worker that needs more is ended, and its case fails when that has happened
    four times. Raises ClusterError: the package is missing, or there is no such scheduler.
    """
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ClusterError(
            "a batch on several processes needs the package distributed. Install it: "
            "pip install distributed"
        ) from error
    if scheduler:
        try:
            client = Client(scheduler, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"expected a Dask scheduler at {scheduler}, got {error}. Start it, or check the "
                "address"
            ) from error
        with client:
            yield client
        return
    local = {"memory_limit": memory_limit, "dashboard_address": "127.0.0.1:0"}
    log = logging.getLogger("distributed.nanny")
    level = log.level
    try:
        with (
            # Dask does not start a worker again that was killed just when it was ready.
            config.set({"distributed.scheduler.no-workers-timeout": NO_WORKERS}),
            config.set({"distributed.nanny.pre-spawn-environ.DASK_LOGGING": str(_WORKER_LOGS)}),
            ExitStack() as started,
        ):
            try:
                with _interrupted_later():
                    cluster = started.enter_context(
                        LocalCluster(n_workers=workers, threads_per_worker=1, **local)
                    )
                    client = started.enter_context(Client(cluster, set_as_default=False))
                yield client
            finally:
                log.setLevel(logging.ERROR)  # it is over: a slow worker is killed
    finally:
        log.setLevel(level)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Let Ctrl+C wait for the end of a block: Dask cannot close what is half started.

    Threads that start in the block, and all processes that they start at any time, know no Ctrl+C,
    which a terminal sends to every process.
    """
    before = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or not callable(before):  # it never comes
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    if sys.platform != "win32":
        resource_tracker.ensure_running()  # else the first process lets it through again
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def run_on_cluster(
    run: BatchRun, cases: Iterable[BatchCase], client: Any, model: WorkerModel
) -> Iterator[Entry]:
    """Run the cases of a batch on the workers of a cluster and yield each entry as it comes.

    The entries, for which see `CaseRunner.entry`, are kept by `run`, whose own model is not used.
    The workers read and write the same paths, made absolute. A few cases more than there are
    workers are under way, so that a table may have any length; what is finished meanwhile is
    fetched and noted at once. A case whose worker ends before its entry is here is given to another
    one. Raises ClusterError: the scheduler or all workers were lost; what was finished is kept, and
    the next run goes on from there; BundleError, DeviceError: a worker cannot load the model.
    """
    from distributed import as_completed

    waiting = iter(cases)
    under_way: dict[Any, BatchCase] = {}
    lost = 0
    done = as_completed(loop=client.loop)
    wanted = wanted_under_way(client)

    def submit(finished: int = 1) -> None:
        most = list(islice(wanted, min(finished, AHEAD)))[-1]  # workers are counted once at most
        items = list(islice(waiting, max(0, most - len(under_way))))
        moved = [_absolute(item) for item in items]
        earlier = [run.records.earlier(item.name) for item in items]
        same = {"runner": run.runner, "model": model}
        futures = client.map(run_on_worker, moved, earlier, pure=False, **same)
        under_way.update(zip(futures, items, strict=True))
        done.update(futures)

    try:
        submit()
        for batch in done.batches():
            entries: list[Entry] = []
            try:
                for future, result in _fetched(client, batch):
                    if result is None and future.status in ("finished", "lost", "pending"):
                        done.add(future)  # went with a killed worker: runs again
                    elif entry := _entry(future, under_way.pop(future), result, run):
                        entries.append(entry)
                    else:
                        lost += 1
            finally:  # also those beside a case that ends the batch
                entries = run.note(entries)
            if not lost:
                submit(len(batch))
            yield from entries
    except OSError as error:  # the connection
        if client.status == "running":
            raise
        raise ClusterError(_lost(client, run)) from error
    finally:
        with suppress(Exception):
            client.cancel(list(under_way))
    if lost:
        raise ClusterError(_lost(client, run))


def wanted_under_way(client: Any) -> Iterator[int]:
    """Yield, without end, how many cases are to be under way.

    The workers of the client's cluster come and go; they are counted at every `AHEAD`-th number.
    """
    while True:
        threads = sum(client.nthreads().values())
        yield from repeat(AHEAD + threads + threads // 4, AHEAD)


def _fetched(client: Any, futures: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return futures with their results, all fetched at once; last, with None, those without."""
    finished = {future.key: future for future in futures if future.status == "finished"}
    results = client.gather(finished, errors="skip")  # waits for a case whose worker just ended
    pairs = [(future, results.get(future.key)) for future in futures]
    return sorted(pairs, key=lambda pair: pair[1] is None)


def _entry(
    future: Any, item: BatchCase, result: tuple[Entry, list[str]] | None, run: BatchRun
) -> Entry | None:
    """Return what became of a case, None when its scheduler was lost; tell its warnings."""
    from distributed import KilledWorker
    from distributed.scheduler import NoWorkerError

    if result is not None:
        entry, told = result
        future.release()
        for text in told:
            run.tell(text)
        return entry
    if future.status != "error":
        return None
    error = future.exception()
    if isinstance(error, NoWorkerError):
        raise ClusterError(
            f"expected workers, got none for {NO_WORKERS} after {len(run.entries)} cases, which "
            "are kept. Run the same command again"
        ) from error
    if not isinstance(error, KilledWorker):
        raise error
    text = (
        f"expected a worker that lives until the case is done, got several that ended ({error}). "
        "If the memory did not suffice, raise --memory-limit or take fewer workers"
    )
    return failed(item, ClusterError(text))


def run_on_worker(
    item: BatchCase, earlier: Mapping[str, Any], runner: CaseRunner, model: WorkerModel
) -> tuple[Entry, list[str]]:
    """Run one case in a worker; return its entry and what must be told."""
    told: list[str] = []
    return runner.entry(item, earlier, model.load, told.append), told


def _absolute(item: BatchCase) -> BatchCase:
    """Return a case whose paths do not depend on the folder where a process runs."""
    case = item.case
    moved: dict[str, Any] = {
        name: value.absolute() for name, value in vars(case).items() if isinstance(value, Path)
    }
    moved["clicks"] = tuple(path.absolute() for path in case.clicks)
    return replace(item, case=replace(case, **moved))


def _lost(client: Any, run: BatchRun) -> str:
    """Return what to tell when the scheduler is gone."""
    address = getattr(client.scheduler, "address", "the cluster")
    return (
        f"lost the scheduler at {address} after {len(run.entries)} cases, which are kept. Start it "
        "and run the same command again"
    )
