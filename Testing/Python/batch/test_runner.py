"""Results that somebody changed are kept; those of earlier runs and versions are known again."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from disk_cases import ball_model, write_clicks_file, write_ct
from slow_values import slow

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import Case
from CTSAM3DLib.batch.runner import changed_files, is_finished, marks_of
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.io.content_mark import BLANK, mark_of

pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")


@pytest.fixture
def item(tmp_path: Path) -> BatchCase:
    """Return a case with all kinds of files."""
    write_ct(tmp_path / "ct.nrrd")
    write_clicks_file(tmp_path / "c.json")
    table = tmp_path / "t.csv"
    table.write_text("ct,clicks\nct.nrrd,c.json\n")
    return read_table(table, tmp_path / "out")[0]


def run(item: BatchCase, told: list[str] | None = None, overwrite: bool = False) -> dict[str, Any]:
    folder = item.case.output.parent
    warn = None if told is None else told.append
    return BatchRun(folder, ball_model, {"model": "x"}, overwrite=overwrite, warn=warn).run(item)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "batch_report.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["report", *slow("segmentation", "picture")])
def test_a_file_that_somebody_changed_is_kept_and_told(
    item: BatchCase, tmp_path: Path, kind: str
) -> None:
    run(item)
    path = item.case.files[kind]
    written = path.read_bytes()
    path.write_bytes(written[:-20] + b"by hand" + written[-20:])
    by_hand, told = path.read_bytes(), []
    assert run(item, told)["status"] == "kept"
    write_clicks_file(tmp_path / "c.json", {"spleen": {"positive": [[2, 0, 6]]}})
    assert run(item, told)["status"] == "kept"
    assert path.read_bytes() == by_hand
    assert told[0] == told[1]
    assert told[0].startswith(f"ct: kept {path}, which was changed since this program wrote it")
    (row,) = rows(tmp_path / "out")
    assert (row["status"], row["structure"]) == ("kept", "")
    assert row["error"] == f"changed by somebody else: {path}"
    assert run(item, overwrite=True)["status"] == "done"
    assert mark_of(path) is not None
    assert rows(tmp_path / "out")[0]["structure"] == "spleen"


def test_a_change_that_is_taken_back_is_none(item: BatchCase) -> None:
    run(item)
    written = item.case.output.read_bytes()
    item.case.output.write_bytes(b"by hand")
    kept = run(item)
    assert kept["changed"] == [str(item.case.output)]
    item.case.output.write_bytes(written)
    again = run(item)
    assert again["status"] == "skipped"
    assert "changed" not in again


def test_a_failure_does_not_forget_what_an_earlier_run_finished(item: BatchCase) -> None:
    run(item)
    away = item.case.ct.rename(item.case.ct.with_suffix(".away"))
    for _ in range(2):
        assert run(item)["status"] == "failed"
    away.rename(item.case.ct)
    assert run(item)["status"] == "skipped"
    assert [row["structure"] for row in rows(item.case.output.parent)] == ["liver"]
    item.case.ct.unlink()
    assert [run(item)["status"], rows(item.case.output.parent)[0]["volume_cm3"]] == ["failed", ""]


def test_a_file_from_elsewhere_is_kept_and_its_case_counts_as_kept(item: BatchCase) -> None:
    item.case.output.parent.mkdir()
    item.case.output.write_bytes(b"by hand")
    assert run(item)["status"] == "kept"
    assert item.case.output.read_bytes() == b"by hand"
    assert not item.case.files["report"].exists()


def test_a_result_of_another_case_is_no_result_of_this_one(item: BatchCase, tmp_path: Path) -> None:
    run(item)
    other = Case(item.case.ct, item.case.clicks, tmp_path / "out" / "other.seg.nrrd")
    write_clicks_file(tmp_path / "c.json", {"spleen": {"positive": [[2, 0, 6]]}})
    run(BatchCase("other", other))
    write_clicks_file(tmp_path / "c.json")
    shutil.copy(other.output, item.case.output)
    assert run(item)["status"] == "done"


def test_results_of_the_version_without_marks_are_known_by_their_sizes(
    item: BatchCase, tmp_path: Path
) -> None:
    run(item)
    for path in item.case.files.values():
        content = path.read_bytes()
        path.write_bytes(content.replace(str(mark_of(path)).encode(), BLANK.encode()))
        assert mark_of(path) is None
    report = tmp_path / "out" / "batch_report.json"
    content = json.loads(report.read_text(encoding="utf-8"))
    (entry,) = content["cases"]
    del entry["marks"]
    entry["bytes"] = {kind: path.stat().st_size for kind, path in item.case.files.items()}
    report.write_text(json.dumps(content))
    assert run(item)["status"] == "skipped"
    with item.case.output.open("ab") as file:
        file.write(b"by hand")
    assert run(item)["status"] == "kept"


def test_what_a_report_without_a_known_case_means(item: BatchCase) -> None:
    assert changed_files(item.case, {}) == []
    assert not is_finished(item.case, {}, "x")
    run(item)
    marks = marks_of(item.case)
    assert is_finished(item.case, {"status": "done", "marks": marks, "fingerprint": "x"}, "x")
    assert not is_finished(item.case, {"status": "failed", "marks": marks, "fingerprint": "x"}, "x")
    assert not is_finished(item.case, {"status": "done", "bytes": 7, "fingerprint": "x"}, "x")


def test_the_correction_that_was_overwritten(cases: Path, tmp_path: Path) -> None:
    source = cases / "batch-overwrites-hand-edit"
    for name in ("ct.nii.gz", "clicks.json", "table.csv"):
        shutil.copy(source / name, tmp_path / name)
    (item,) = read_table(tmp_path / "table.csv", tmp_path / "out", pictures=False)
    run(item)
    shutil.copyfile(source / "edited.seg.nrrd", item.case.output)
    assert run(item)["status"] == "kept"
    assert item.case.output.read_bytes() == (source / "edited.seg.nrrd").read_bytes()


def test_a_result_that_cannot_be_read_fails_its_case_alone(item: BatchCase) -> None:
    item.case.output.mkdir(parents=True)
    assert run(item)["error"].startswith("IsADirectoryError")


def test_a_name_that_is_too_long_says_what_to_do(item: BatchCase) -> None:
    output = item.case.output.with_name("a" * 300 + ".seg.nrrd")
    long = BatchCase("long", Case(item.case.ct, item.case.clicks, output))
    assert run(long)["error"].endswith("that of the result in the column output")


def test_runs_that_take_turns_in_one_folder_keep_the_rows_of_each_other(
    item: BatchCase, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    first, second = (BatchRun(folder, ball_model, {}) for _ in range(2))
    for number in range(4):
        output = folder / f"{number}.seg.nrrd"
        case = BatchCase(str(number), Case(item.case.ct, item.case.clicks, output))
        (first, second)[number % 2].run(case)
    assert {row["case"] for row in rows(folder)} == {"0", "1", "2", "3"}
    written = json.loads((folder / "batch_report.json").read_text(encoding="utf-8"))
    assert {entry["case"] for entry in written["cases"]} == {"0", "1", "2", "3"}


@pytest.mark.slow
def test_two_processes_in_one_folder_lose_no_row(item: BatchCase, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from disk_cases import ball_model
from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.case import Case
from CTSAM3DLib.batch.table import BatchCase
name, folder, ct, clicks = sys.argv[1:]
run = BatchRun(Path(folder), ball_model, {})
print("ready", flush=True)
sys.stdin.readline()
for number in range(8):
    output = Path(folder) / f"{name}{number}.seg.nrrd"
    run.run(BatchCase(f"{name}{number}", Case(Path(ct), (Path(clicks),), output)))
"""
    folder = tmp_path / "out"
    paths = [str(path) for path in (folder, item.case.ct, *item.case.clicks)]
    tests = Path(__file__).parents[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, name, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parents[1])])},
        )
        for name in "ab"
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    expected = {f"{name}{number}" for name in "ab" for number in range(8)}
    assert {row["case"] for row in rows(folder)} == expected
    assert {row["status"] for row in rows(folder)} == {"done"}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_names_that_are_not_utf_8_fail_no_other_case_and_no_report(
    item: BatchCase, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    name = os.fsdecode(b"M\xfcller")
    clicks = Path(shutil.copy(tmp_path / "c.json", tmp_path / f"{name}.json"))
    output = folder / f"{name}.seg.nrrd"
    missing = Case(tmp_path / f"{name}.nrrd", (clicks,), output, report=folder / "x.json")
    here = Case(item.case.ct, (clicks,), output, report=folder / f"{name}.json")
    batch = BatchRun(folder, ball_model, {})
    found = [
        batch.run(BatchCase(case_name, case))["status"]
        for case_name, case in (("missing", missing), (name, here), ("ct", item.case))
    ]
    assert found == ["failed", "done", "done"]
    (lost, _, _) = json.loads((folder / "batch_report.json").read_text(encoding="utf-8"))["cases"]
    assert lost["ct"] == str(missing.ct)
    assert [row["case"] for row in rows(folder)] == ["missing", "M\\udcfcller", "ct"]
    again = BatchRun(folder, ball_model, {})
    assert again.run(BatchCase(name, here))["status"] == "skipped"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_the_name_that_stopped_a_whole_batch(cases: Path, tmp_path: Path) -> None:
    source = cases / "file-name-not-utf8"
    folder = tmp_path / "out"
    batch = BatchRun(folder, ball_model, {})
    for name in (os.fsdecode(b"M\xfcller"), "good"):
        ct = Path(shutil.copy(source / "ct.nii.gz", tmp_path / f"{name}.nii.gz"))
        output = folder / f"{name}.seg.nrrd"
        others = {"picture": folder / f"{name}.png", "report": folder / f"{name}.json"}
        case = Case(ct, (source / "clicks.json",), output, **others)
        assert batch.run(BatchCase(name, case))["status"] == "done"
        assert mark_of(output) is not None
    assert {row["case"] for row in rows(folder)} == {"M\\udcfcller", "good"}
