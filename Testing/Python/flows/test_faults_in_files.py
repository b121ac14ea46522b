"""Faults while files are written: each file is the old or the new one, and the next run mends."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from disk_cases import ball_model, write_clicks_file, write_ct
from fault_table import show
from file_faults import FileFaults, calls_of, full_disk, injected, killed, raising
from manifest_case import entry_values, write_manifest

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import Case, run_case
from CTSAM3DLib.batch.records import reported
from CTSAM3DLib.batch.table import BatchCase
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.io.clicks import read_clicks, write_clicks
from CTSAM3DLib.io.content_mark import mark_of
from CTSAM3DLib.io.safe_write import write_text_atomically
from CTSAM3DLib.models.folder import listing_with, remove_model, written_with
from CTSAM3DLib.models.store import ModelStore, verify
from CTSAM3DLib.prompts import Click, ClickHistory

FEW = 2  # of each kind in `make test`
ERRORS = {
    "disk full": OSError(errno.ENOSPC, "No space left on device"),
    "no permission": PermissionError(errno.EACCES, "Permission denied"),
    "disk fails": OSError(errno.EIO, "Input/output error"),
    "out of memory": MemoryError(),
    "Ctrl-C": KeyboardInterrupt(),
}
posix_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and limits")


@dataclass
class Step:
    """Something that writes files.

    `prepare` makes the folder as it is before; `run` does the step; `state` tells which of before
    and after there is, and fails for anything between; `again` does it once more, without a fault.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path], object]
    state: Callable[[Path], str]


# ---- the steps


def _clicks_of(number: int) -> dict[str, ClickHistory]:
    return {f"organ {n}": ClickHistory([Click((n, number, 3.0))]) for n in range(200)}


def _clicks_state(folder: Path) -> str:
    found = read_clicks(folder / "clicks.json")
    return next(s for s, n in (("before", 1), ("after", 2)) if found == _clicks_of(n))


def _case(folder: Path, name: str = "a") -> Case:
    output = folder / "out" / f"{name}.seg.nrrd"
    return Case(folder / "ct.nrrd", (folder / "clicks.json",), output,
                report=output.with_name(f"{name}.json"))  # fmt: skip


def _inputs(folder: Path) -> None:
    write_ct(folder / "ct.nrrd")
    write_clicks_file(folder / "clicks.json")


def _prepared_case(folder: Path) -> None:
    _inputs(folder)
    run_case(_case(folder), ball_model())
    (folder / "old").mkdir()
    for file in (folder / "out").iterdir():
        shutil.copy(file, folder / "old" / file.name)


def _files_state(folder: Path, names: list[str]) -> str:
    """Each file is that of before, or a whole new one."""
    changed = []
    for name in names:
        file, old = folder / "out" / name, folder / "old" / name
        changed.append(file.read_bytes() != old.read_bytes())
        assert mark_of(file), f"{name} is between"
    return "after" if all(changed) else "before"


def _segment_again(folder: Path) -> None:
    run_case(_case(folder), ball_model(), spacing_mm=3.0)


def _batch(folder: Path, spacing_mm: float) -> BatchRun:
    run = BatchRun(folder / "out", ball_model, {}, spacing_mm=spacing_mm)
    for name in ("a", "b", "hand"):
        run.run(BatchCase(name, _case(folder, name)))
    return run


def _prepared_batch(folder: Path) -> None:
    _inputs(folder)
    _batch(folder, 2.0)
    with (folder / "out" / "hand.seg.nrrd").open("ab") as file:
        file.write(b"corrected by hand")
    _batch(folder, 2.0)
    shutil.copytree(folder / "out", folder / "old")


def _batch_state(folder: Path) -> str:
    for name in ("hand.seg.nrrd", "hand.json"):
        assert (folder / "out" / name).read_bytes() == (folder / "old" / name).read_bytes()
    assert set(reported(folder / "out" / "batch_report.json")[0]) == {"a", "b", "hand"}
    rows = (folder / "out" / "batch_report.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == {"a", "b", "hand"}
    return _files_state(folder, ["a.seg.nrrd", "a.json", "b.seg.nrrd", "b.json"])


def _models(folder: Path) -> None:
    write_manifest(folder / "models", *(entry_values(f"{name}.pt") for name in "abc"), default="b")


def _models_state(folder: Path, after: Callable[[ModelStore], bool]) -> str:
    store = ModelStore([folder / "models"])
    entries = store.entries()
    assert {"b", "c"} <= set(entries)
    for entry in entries.values():
        verify(entry)
    return "after" if after(store) else "before"


def _remove(folder: Path) -> None:
    store = ModelStore([folder / "models"])
    remove_model("a", store, store)


def _replace(folder: Path) -> None:
    path, manifest = folder / "models" / "a.pt", folder / "models" / "models.json"
    with written_with(path, manifest) as temporary:
        content = b"another model" * 100
        temporary.write_bytes(content)
        entry = entry_values("a.pt", content)
        write_text_atomically(manifest, listing_with(manifest, entry))


STEPS = {
    "clicks file": Step(
        lambda folder: write_clicks(folder / "clicks.json", _clicks_of(1)),
        lambda folder: write_clicks(folder / "clicks.json", _clicks_of(2)),
        _clicks_state,
    ),
    "segment": Step(
        _prepared_case, _segment_again, lambda f: _files_state(f, ["a.seg.nrrd", "a.json"])
    ),
    "batch": Step(_prepared_batch, lambda folder: _batch(folder, 3.0), _batch_state),
    "model removed": Step(
        _models, _remove, lambda f: _models_state(f, lambda s: "a" not in s.entries())
    ),
    "model replaced": Step(
        _models,
        _replace,
        lambda f: _models_state(f, lambda s: s.entries()["a"].size_bytes == 1300),
    ),
}


# ---- the faults


@dataclass
class Prepared:
    """A step, its folder before, and how often it touches files."""

    step: Step
    original: Path
    folder: Path
    calls: int = 0

    def __post_init__(self) -> None:
        self.original.mkdir()
        self.folder.mkdir()
        self.step.prepare(self.folder)
        shutil.copytree(self.folder, self.original, dirs_exist_ok=True)
        assert self.step.state(self.folder) == "before"
        self.calls = calls_of(lambda: self.step.run(self.folder), self.folder)
        assert self.step.state(self.folder) == "after"
        assert self.calls > 2

    def renew(self) -> None:
        """Make the folder as it was; paths and times stay the same."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.original, self.folder)

    def mended(self, may_leave_files: bool) -> str:
        """Check what there is, that nothing is left over, and that the next run ends well."""
        state = self.step.state(self.folder)
        left = [p for p in self.folder.rglob("*") if p.name.startswith((".ctsam3d", "."))]
        assert may_leave_files or not left, left
        if self.step.run is not _remove or state == "before":
            self.step.run(self.folder)
        assert self.step.state(self.folder) == "after"
        return state


@pytest.fixture(params=STEPS)
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Prepared:
    return Prepared(STEPS[request.param], tmp_path / "before", tmp_path / "now")


def _errors(prepared: Prepared, count: int, seed: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.choice(list(ERRORS))
        # A disk that fails for good between the two last files of a model cannot be mended.
        goes_on = rng.random() < 0.3 and prepared.step.run is not _replace
        at = rng.randint(1, prepared.calls)
        prepared.renew()
        faults = FileFaults(prepared.folder, raising(ERRORS[kind]), at, goes_on)
        with suppress(CTSAM3DError, OSError, MemoryError, KeyboardInterrupt), injected(faults):
            prepared.step.run(prepared.folder)
        # What cannot be removed stays until the next process.
        assert faults.hits
        yield kind, prepared.mended(goes_on or faults.last == "os.remove")


def _full(prepared: Prepared, count: int, seed: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(seed)
    for _ in range(count):
        prepared.renew()
        with suppress(CTSAM3DError, OSError), full_disk(rng.randint(0, 500)):
            prepared.step.run(prepared.folder)
        yield "disk full in a file", prepared.mended(may_leave_files=False)


def _kills(prepared: Prepared, count: int, seed: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(seed)
    for _ in range(count):
        prepared.renew()
        at = rng.randint(1, prepared.calls)
        assert killed(lambda: prepared.step.run(prepared.folder), prepared.folder, at)
        yield "kill -9", prepared.mended(may_leave_files=True)
        left = list(prepared.folder.rglob(".ctsam3d-*"))
        assert not left, "the next run removes what a killed one left"


@posix_only
@pytest.mark.parametrize("faults", [_errors, _full, _kills])
def test_a_few_faults(prepared: Prepared, faults: Callable[..., Iterator]) -> None:
    assert len(list(faults(prepared, FEW, seed=1))) == FEW


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("many", [40])
def test_many_faults(
    prepared: Prepared, many: int, capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    found: Counter[tuple[str, str]] = Counter()
    for faults in (_errors, _full, _kills):
        found.update(faults(prepared, many, seed=2))
    show(request.node.callspec.params["prepared"], found, capsys)
    assert found.total() == 3 * many


def test_a_model_whose_import_was_killed_is_finished_when_it_is_used(tmp_path: Path) -> None:
    _models(tmp_path)
    content = b"another model" * 100
    manifest = tmp_path / "models" / "models.json"
    manifest.write_text(
        json.dumps(json.loads(listing_with(manifest, entry_values("a.pt", content))))
    )
    (tmp_path / "models" / ".ctsam3d-999999999-abcdefgh-a.pt").write_bytes(content)
    entry = ModelStore([tmp_path / "models"]).entries()["a"]
    assert verify(entry).read_bytes() == content
