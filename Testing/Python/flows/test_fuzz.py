"""Files that once found something, and changed files for every reader; see ``Testing/Fuzz``."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("highdicom")

from Testing.Fuzz import fuzz
from Testing.Fuzz.targets import TARGETS

RUNS = 300


def test_files_that_found_something_are_read_or_refused(tmp_path: Path) -> None:
    names = sorted(path.name for path in fuzz.KEPT.iterdir())
    assert names
    for name in names:
        (tmp_path / name).mkdir()
        run = fuzz.Run(name, tmp_path / name)
        for content in fuzz.kept_files(name):
            run.read(content)
        assert not run.findings, f"{name}: {list(run.findings)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    run = fuzz.Run(name, tmp_path)
    run.change(RUNS, float("inf"), seed=1)
    assert not run.findings, f"{list(run.findings)}; {[*map(bytes.hex, run.findings.values())]}"


def test_another_error_too_much_work_and_too_much_memory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(read: object) -> str:
        target = fuzz.Target("a", read, lambda folder: iter(()))
        return fuzz.fault_of(target, tmp_path / "a", b"x")[1].partition(" ")[0]

    assert found(Path.read_text) == ""
    assert found(lambda path: {}[path]) == "KeyError"
    monkeypatch.setattr(fuzz, "MOST_CALLS", 1000)
    assert found(lambda path: [len(str(n)) for n in range(10_000)]) == "TooMuchWork"
    if Path("/proc/self/clear_refs").exists():
        assert found(lambda path: bytearray(fuzz.MOST_MIB << 21)) == "memory"
