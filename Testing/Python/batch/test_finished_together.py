"""Cases of a batch that are finished together on a cluster: each is kept, and each replaced."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from disk_cases import ball_model
from waiting import wait_until

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import Case
from CTSAM3DLib.batch.cluster import AHEAD, WorkerModel, run_on_cluster
from CTSAM3DLib.batch.records import reported
from CTSAM3DLib.batch.runner import CaseRunner
from CTSAM3DLib.batch.table import BatchCase
from CTSAM3DLib.errors import BundleError

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def small_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a client of a worker that is a thread of this process."""
    settings = {"processes": False, "dashboard_address": None, "memory_limit": 0}
    folder = str(tmp_path_factory.mktemp("scratch"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a slow disk
        cluster = distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, local_directory=folder, **settings
        )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        client.submit(len, ()).result()  # now its thread is there
        yield client


@dataclass(frozen=True)
class QuickRunner(CaseRunner):
    """A runner whose cases write nothing; the model of the one called ``bad`` is not there."""

    def entry(self, item: BatchCase, *_: Any) -> dict[str, Any]:
        if item.name == "bad":
            raise BundleError("not here")
        return {"case": item.name, "status": "done"}


def quick_run(folder: Path) -> BatchRun:
    run = BatchRun(folder, ball_model, {"model": "fake"})
    run.runner = QuickRunner({})
    return run


def quick_cases(*names: str) -> list[BatchCase]:
    return [BatchCase(name, Case(Path(name), (), Path(f"{name}.seg.nrrd"))) for name in names]


def only_full_batches(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    """Let the client see what is finished when so many cases are."""
    one_batch = distributed.as_completed.next_batch

    def next_batch(done: Any, block: bool = True) -> list[Any]:
        wait_until(lambda: done.queue.qsize() >= least or done.count() == done.queue.qsize())
        batch: list[Any] = one_batch(done, block)
        return batch

    monkeypatch.setattr(distributed.as_completed, "next_batch", next_batch)


@pytest.mark.parametrize("names", [("bad", "a", "b"), ("a", "bad", "b"), ("a", "b", "bad")])
def test_what_is_finished_beside_a_case_that_ends_the_batch_is_kept(
    small_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    only_full_batches(monkeypatch, len(names))
    run = quick_run(tmp_path)
    with pytest.raises(BundleError, match="not here"):
        list(run_on_cluster(run, quick_cases(*names), small_client, WorkerModel(())))
    assert sorted(run.entries) == sorted(reported(tmp_path / "batch_report.json")[0]) == ["a", "b"]


def test_a_batch_in_which_nothing_is_finished_writes_nothing(
    small_client: Any, tmp_path: Path
) -> None:
    (tmp_path / "batch_report.json").write_text("{cut off")
    with pytest.raises(BundleError, match="not here"):
        list(run_on_cluster(quick_run(tmp_path), quick_cases("bad"), small_client, WorkerModel(())))
    assert [file.name for file in tmp_path.iterdir()] == ["batch_report.json"]
    assert (tmp_path / "batch_report.json").read_text() == "{cut off"


def test_workers_are_counted_again_however_many_cases_finish_together(
    small_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_full_batches(monkeypatch, AHEAD)
    counts: list[dict[str, int]] = [{"tcp://a:1": 1}] * 2
    monkeypatch.setattr(small_client, "nthreads", counts.pop)
    names = [str(number) for number in range(AHEAD + 4)]
    run = quick_run(tmp_path)
    list(run_on_cluster(run, quick_cases(*names), small_client, WorkerModel(())))
    assert sorted(run.entries) == sorted(names)
    assert not counts
