"""What a batch costs beside its cases: the table, the journal, and the scheduler of a cluster.

python Testing/Benchmarks/measure_batch.py [--rows 10000] [--workers 1 2] [--cases 400]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import LoadedModel
from CTSAM3DLib.batch.cluster import WorkerModel, connected, run_on_cluster
from CTSAM3DLib.batch.runner import CaseRunner
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.io.outputs import check_outputs


@dataclass(frozen=True)
class SleepingRunner(CaseRunner):
    """A runner whose cases take a given time and write nothing."""

    seconds: float = 0.0

    def entry(self, item: BatchCase, *_: Any) -> dict[str, Any]:
        """Return the entry of a case with five structures after a while."""
        sleep(self.seconds)
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
        for workers in options.workers:
            with connected(workers=workers) as client:
                warm = run_of(folder / f"warm{workers}", 0.0)
                list(run_on_cluster(warm, cases[:20], client, WorkerModel(())))
                for each in options.seconds:
                    count = options.cases if not each else max(20, options.cases // 10)
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
