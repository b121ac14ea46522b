"""Batches on a real Dask cluster of this computer: the same results, and nothing lost."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from cluster_case import counted_model, no_model, stuck_model
from disk_cases import ball_model, run_command, write_clicks_file, write_ct
from waiting import wait_until

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.cluster import AHEAD, WorkerModel, connected, run_on_cluster, wanted_under_way
from CTSAM3DLib.batch.records import reported
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.cli import batch as cli_batch
from CTSAM3DLib.errors import BundleError, ClusterError

pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")
distributed = pytest.importorskip("distributed")

TESTS = Path(__file__).resolve().parents[1]
COUNT = 6
MANY = 200
KILLED_AFTER = (15, 90, 165)  # cases that are done


@pytest.fixture(autouse=True)
def small_pictures() -> None:
    """Pictures as they are: worker processes draw them, too."""


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers import what this file imports."""
    paths = [str(TESTS), str(TESTS.parents[1])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def test_workers_that_come_later_are_seen() -> None:
    counts = [{}, {"tcp://a:1": 1, "tcp://b:1": 7}]
    wanted = wanted_under_way(SimpleNamespace(nthreads=lambda: counts.pop(0)))
    assert [next(wanted) for _ in range(AHEAD + 1)] == [AHEAD] * AHEAD + [AHEAD + 10]
    assert not counts


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of good cases and one without a CT."""
    write_clicks_file(tmp_path / "c.json")
    rows = [f"{write_ct(tmp_path / f'{n}.nrrd', n).name},c.json" for n in range(COUNT)]
    (tmp_path / "t.csv").write_text("\n".join(["ct,clicks", *rows, "none.nrrd,c.json"]) + "\n")
    return tmp_path / "t.csv"


def results(folder: Path) -> dict[str, bytes]:
    kinds = (".seg.nrrd", ".png")
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name.endswith(kinds)}


def written(file: Path) -> str:
    """Return the content of a file as soon as it has one."""
    wait_until(lambda: file.exists() and bool(file.read_text()))
    return file.read_text()


def kill_one_with_results(client: Any) -> int:
    """Kill a worker that holds results nobody has read; return when the scheduler knows."""
    wait_until(lambda: sum(map(len, client.has_what().values())) >= 10)
    held = client.has_what()
    name = max(held, key=lambda one: len(held[one]))
    pid = int(client.run(os.getpid, workers=[name])[name])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: name not in client.has_what())
    return pid


def started(kind: str, *words: object) -> subprocess.Popen[bytes]:
    """Start a scheduler or a worker of its own."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard"]
    return subprocess.Popen([*command, *map(str, words)], stderr=subprocess.DEVNULL)


def on_cluster(cases: list[BatchCase], folder: Path, model: WorkerModel, client: Any) -> BatchRun:
    run = BatchRun(folder, ball_model, {"model": "fake"})
    for _ in run_on_cluster(run, cases, client, model):
        pass
    run.finish()
    return run


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return a client of two worker processes."""
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parents[1])])
    try:
        with connected(workers=2) as client:
            yield client
    finally:
        os.environ["PYTHONPATH"] = before


@pytest.mark.parametrize("when", ["starting", "running", "never"])
def test_a_worker_that_ends_slowly_is_not_told(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    log, told = logging.getLogger("distributed.nanny"), logging.handlers.QueueHandler(SimpleQueue())
    steps: list[str] = []

    class Slow:
        def __init__(self, *_: Any, **__: Any) -> None:
            if when == "starting" and not steps:
                signal.raise_signal(signal.SIGINT)
            steps.append("started")

        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *_: object) -> None:
            steps.append("closed")
            log.warning("still alive, killing")

    for name in ("LocalCluster", "Client"):
        monkeypatch.setattr(distributed, name, Slow)
    log.addHandler(told)
    with suppress(KeyboardInterrupt), connected(workers=1):
        assert when != "starting"
        log.warning("memory")
        if when == "running":
            raise KeyboardInterrupt
    log.warning("again")
    log.removeHandler(told)
    expected = ["again"] if when == "starting" else ["memory", "again"]
    assert [told.queue.get().message for _ in range(told.queue.qsize())] == expected
    assert steps == [*["started"] * 2, *["closed"] * 2]


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_the_command_with_one_word(table: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from cluster_case import stuck_model\n"
        "from CTSAM3DLib.cli import batch, main\n"
        f"batch.load_model = lambda *_: stuck_model({str(tmp_path)!r}, 2)\n"
        "batch.resolve_model = lambda _: SimpleNamespace(sha256='0')\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(main.main(sys.argv[1:]))\n"
    )
    (tmp_path / "command.py").write_text(code)
    words = ("batch", table, "--output-dir", tmp_path / "o", "--no-pictures", "--workers", "2")
    with subprocess.Popen(
        [sys.executable, tmp_path / "command.py", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, which the key reaches as a whole
    ) as process:
        written(tmp_path / "stuck-1")
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert told.splitlines()[1:] == ["interrupted"]  # the first line names the dashboard


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one_process(
    client: Any, table: Path, tmp_path: Path
) -> None:
    alone = BatchRun(tmp_path / "alone", ball_model, {"model": "fake"})
    for item in read_table(table, tmp_path / "alone"):
        alone.run(item)
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    model = WorkerModel((str(loaded),), counted_model)
    cases = read_table(table, tmp_path / "both")
    both = on_cluster(cases, tmp_path / "both", model, client)
    assert len(results(tmp_path / "both")) == 2 * COUNT
    assert results(tmp_path / "both") == results(tmp_path / "alone")
    assert both.failed == alone.failed == ["none"]
    assert both.entries["none"]["error"].startswith("VolumeError")
    assert {file.read_text() for file in loaded.iterdir()} == {"x"}  # once a process
    again = on_cluster(cases, tmp_path / "both", model, client)
    assert [entry["status"] for entry in again.entries.values()].count("skipped") == COUNT


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_the_batch(
    client: Any, table: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="not here"):
        on_cluster(
            read_table(table, tmp_path / "o"), tmp_path / "o", WorkerModel((), no_model), client
        )


@pytest.mark.slow
def test_killed_workers_lose_no_case(table: Path, tmp_path: Path) -> None:
    killed = []

    def kill() -> None:
        for number in range(3):
            file = tmp_path / f"stuck-{number}"
            killed.append(int(written(file)))
            os.kill(killed[-1], signal.SIGKILL)

    with connected(workers=2) as own:
        thread = threading.Thread(target=kill)
        thread.start()
        model = WorkerModel((str(tmp_path), 3), stuck_model)
        cases = read_table(table, tmp_path / "o", pictures=False)
        run = on_cluster(cases, tmp_path / "o", model, own)
        thread.join()
    assert len(set(killed)) == 3
    assert len(run.entries) == COUNT + 1
    assert run.failed == ["none"]
    assert len(reported(tmp_path / "o" / "batch_report.json")[0]) == COUNT + 1


@pytest.mark.slow
def test_a_cluster_without_workers_ends_the_batch(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CTSAM3DLib.batch.cluster.NO_WORKERS", "100 ms")
    with connected(workers=1) as own:
        own.cluster.scale(0)
        wait_until(lambda: not own.nthreads())
        cases = read_table(table, tmp_path / "o", pictures=False)
        with pytest.raises(ClusterError, match="Run the same command again"):
            on_cluster(cases, tmp_path / "o", WorkerModel((), ball_model), own)


@pytest.mark.slow
def test_three_killed_workers_lose_none_of_200_cases(tmp_path: Path) -> None:
    write_clicks_file(tmp_path / "c.json")
    rows = [f"{write_ct(tmp_path / f'{n}.nrrd', n).name},c.json" for n in range(MANY)]
    (tmp_path / "t.csv").write_text("\n".join(["ct,clicks", *rows]) + "\n")
    cases = read_table(tmp_path / "t.csv", tmp_path / "o", pictures=False)
    run = BatchRun(tmp_path / "o", ball_model, {"model": "fake"})
    killed = []
    with connected(workers=2) as own:
        for count, _ in enumerate(run_on_cluster(run, cases, own, WorkerModel((), ball_model)), 1):
            if count in KILLED_AFTER:
                killed.append(kill_one_with_results(own))
    run.finish()
    assert len(set(killed)) == 3
    assert run.failed == []
    assert len(run.entries) == len(results(tmp_path / "o")) == MANY
    assert len(reported(tmp_path / "o" / "batch_report.json")[0]) == MANY
    alone = BatchRun(tmp_path / "alone", ball_model, {"model": "fake"})
    for item in read_table(tmp_path / "t.csv", tmp_path / "alone", pictures=False)[::20]:
        alone.run(item)
    once = results(tmp_path / "alone")
    assert len(once) == MANY / 20
    assert once.items() <= results(tmp_path / "o").items()


@pytest.mark.slow
def test_a_killed_scheduler_is_told_and_the_next_run_goes_on(table: Path, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    scheduler = started("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
    worker = None
    try:
        address = json.loads(written(file))["address"]
        words = ("--nthreads", "1", "--no-nanny", "--death-timeout", "20")
        worker = started("worker", address, *words)
        cases = read_table(table, tmp_path / "o", pictures=False)
        model = WorkerModel((str(tmp_path),), stuck_model)

        def kill() -> None:
            written(tmp_path / "stuck-0")
            scheduler.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        with (
            pytest.raises(ClusterError, match="run the same command again"),
            connected(address) as own,
        ):
            on_cluster(cases, tmp_path / "o", model, own)
        thread.join()
    finally:
        for process in (scheduler, worker):
            if process is not None:
                process.kill()
                process.wait()
    run = BatchRun(tmp_path / "o", ball_model, {"model": "fake"})
    for item in cases:
        run.run(item)
    assert run.failed == ["none"]
    assert len(results(tmp_path / "o")) == COUNT


@pytest.mark.slow
def test_the_command_shares_its_cases_and_tells_the_dashboard(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli_batch, "load_model", ball_model)
    monkeypatch.setattr(cli_batch, "resolve_model", lambda _: SimpleNamespace(sha256="0"))
    words = ("batch", table, "--output-dir", tmp_path / "o", "--no-pictures", "--workers", "1")
    assert run_command(*words) == 1  # a case has no CT
    printed = capfd.readouterr()
    assert f"{COUNT + 1} cases: {COUNT} done, 0 skipped, 1 failed" in printed.out
    assert "dashboard: http://127.0.0.1:" in printed.err
    assert len(results(tmp_path / "o")) == COUNT
