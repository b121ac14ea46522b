"""What a batch costs beside its cases: the table, the journal, and the scheduler of a cluster.

python Testing/Benchmarks/measure_batch.py [--rows 10000] [--workers 1 2] [--cases 400]
python Testing/Benchmarks/measure_batch.py --cases 2000 --seconds 60 --workers 1000 --simulate
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import perf_counter, sleep
from typing import Any

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import LoadedModel
from CTSAM3DLib.batch.cluster import WorkerModel, connected, run_on_cluster
from CTSAM3DLib.batch.runner import CaseRunner
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.io.outputs import check_outputs

A_PROCESS = 50
"""So many simulated workers share a process."""


@dataclass(frozen=True)
class SleepingRunner(CaseRunner):
    """A runner whose cases take a given time, a fifth more or less, and write nothing."""

    seconds: float = 0.0

    def entry(self, item: BatchCase, *_: Any) -> dict[str, Any]:
        """Return the entry of a case with five structures after a while."""
        sleep(self.seconds * Random(item.name).uniform(0.8, 1.2))
        structures = [
            {"name": f"structure {n}", "volume_cm3": 1.0, "voxels": 1, "seconds": 1.0,
             "clicks": {"positive": [[1.0, 2.0, 3.0]] * 3, "negative": []}, "uncertainty": 0.1}
            for n in range(5)
        ]  # fmt: skip
        report = {"structures": structures, "warnings": [], "files": {}}
        return {"case": item.name, "status": "done", "report": report}


def run_of(folder: Path, seconds: float) -> BatchRun:
    """Return a batch without a model."""
    run = BatchRun(folder, lambda: LoadedModel(None), {})  # type: ignore[arg-type]
    run.runner = SleepingRunner({}, seconds=seconds)
    return run


def table_of(folder: Path, rows: int) -> Path:
    """Write a table; the CTs of its rows are folders."""
    for number in range(rows):
        (folder / "ct" / str(number)).mkdir(parents=True)
    text = "".join(f"ct/{number},c.json\n" for number in range(rows))
    (folder / "t.csv").write_text(f"ct,clicks\n{text}")
    return folder / "t.csv"


@contextmanager
def simulated(workers: int) -> Iterator[Any]:
    """Give a client of a cluster of many workers that sleep: `A_PROCESS` in each process."""
    from distributed import Client, LocalCluster

    context = get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        counts = [min(A_PROCESS, workers - n) for n in range(0, workers, A_PROCESS)]
        arguments = [(cluster.scheduler_address, count, folder) for count in counts]
        hosts = [context.Process(target=host_workers, args=each) for each in arguments]
        for host in hosts:
            host.start()
        try:
            client.wait_for_workers(workers)
            yield client
        finally:
            for host in hosts:
                host.kill()


def host_workers(address: str, count: int, folder: str) -> None:
    """Be so many workers of a scheduler until this process is killed.

    What a worker measures of its own process many times a second is not measured so often.
    """
    import dask
    from distributed import Worker

    async def work() -> None:
        options = {"nthreads": 1, "memory_limit": 0, "silence_logs": logging.ERROR}
        options["local_directory"] = folder
        workers = [Worker(address, **options) for _ in range(count)]
        await asyncio.gather(*workers)
        await asyncio.gather(*(worker.finished() for worker in workers))

    seldom = {
        "distributed.admin.tick.interval": "1h",
        "distributed.admin.system-monitor.interval": "1h",
        "distributed.worker.profile.enabled": False,
    }
    with dask.config.set(seldom):
        asyncio.run(work())


def seconds_of(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long a function takes, and what it returns."""
    started = perf_counter()
    found = function()
    return perf_counter() - started, found


def main(argv: Sequence[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument(
        "--simulate", action="store_true", help=f"{A_PROCESS} workers share a process"
    )
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = table_of(folder, options.rows)
        output = folder / "out"
        reading, cases = seconds_of(lambda: read_table(table, output))
        inputs = [path for item in cases for path in item.case.inputs]
        checking, _ = seconds_of(lambda: check_outputs([item.case.files for item in cases], inputs))
        run = run_of(output, 0.0)
        noting, _ = seconds_of(lambda: [run.run(item) for item in cases])
        finishing, _ = seconds_of(run.finish)
        rows = (("read the table", reading), ("check the outputs", checking))
        rows = (*rows, ("journal and reports", noting), ("last reports and page", finishing))
        print(f"| {options.rows} cases in one process | s | ms a case |\n|---|---|---|")
        for what, seconds in rows:
            print(f"| {what} | {seconds:.2f} | {1000 * seconds / options.rows:.2f} |")
        print("\n| workers | s of a case | cases | s | overhead of a case, ms | cases a second |")
        print("|---|---|---|---|---|---|")
        cluster = simulated if options.simulate else connected
        for workers in options.workers:
            with cluster(workers=workers) as client:
                warm = run_of(folder / f"warm{workers}", 0.0)
                list(run_on_cluster(warm, cases[:20], client, WorkerModel(())))
                for each in options.seconds:
                    few = each and not options.simulate
                    count = max(20, options.cases // 10) if few else options.cases
                    run = run_of(folder / f"{workers}-{each}", each)
                    seconds, _ = seconds_of(
                        lambda run=run, count=count: list(
                            run_on_cluster(run, cases[:count], client, WorkerModel(()))
                        )
                    )
                    over = 1000 * (seconds * workers / count - each)
                    print(f"| {workers} | {each:g} | {count} | {seconds:.2f} | {over:.1f} | "
                          f"{count / seconds:.0f} |", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
