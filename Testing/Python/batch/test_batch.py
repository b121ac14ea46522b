"""Batches: what a table may say, resuming, and cases that fail without stopping the others."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from disk_cases import ball_model, write_clicks_file, write_ct
from slow_values import slow

from CTSAM3DLib.batch import runner
from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.errors import BundleError, ClicksFileError, OutputFileError
from CTSAM3DLib.io.outputs import check_outputs
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.session.growing_rules import GrowMode

pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of a good case, one with a click outside, one without a CT, and a good one."""
    write_ct(tmp_path / "data" / "a.nrrd")
    write_ct(tmp_path / "data" / "b.nii.gz")
    write_clicks_file(tmp_path / "clicks.json")
    write_clicks_file(tmp_path / "outside.json", {"liver": {"positive": [[999, 0, 0]]}})
    path = tmp_path / "table.csv"
    path.write_text(
        "ct,clicks,output\n"
        "data/a.nrrd,clicks.json,\n"
        "data/a.nrrd,outside.json,far.seg.nrrd\n"
        "data/none.nrrd,clicks.json,\n"
        "\n"
        f"{tmp_path / 'data' / 'b.nii.gz'},clicks.json,sub/b.seg.nrrd\n"
    )
    return path


def run_all(cases: list[BatchCase], folder: Path, **options: Any) -> BatchRun:
    run = BatchRun(folder, ball_model, options.pop("settings", {"model": "fake"}), **options)
    for case in cases:
        run.run(case)
    return run


def statuses(run: BatchRun) -> dict[str, str]:
    return {name: entry["status"] for name, entry in run.entries.items()}


def test_a_failed_case_does_not_stop_the_others(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run = run_all(read_table(table, folder), folder)
    assert statuses(run) == {
        "a": "done",
        "far": "failed",
        "none": "failed",
        "sub/b": "done",
    }
    assert run.failed == ["far", "none"]
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "a.seg.nrrd",
        "a.png",
        "a.json",
        "sub/b.seg.nrrd",
        "sub/b.png",
        "sub/b.json",
        "batch_report.json",
        "batch_report.csv",
    }
    voxels = read_segmentation(folder / "sub" / "b.seg.nrrd")["liver"].mask.voxel_count
    report = json.loads((folder / "batch_report.json").read_text())
    errors = [case.get("error", "") for case in report["cases"]]
    assert errors[1].startswith("ClickOutsideVolumeError: structure 'liver', click 1: expected")
    assert errors[2].startswith("VolumeError: expected an image file or a DICOM folder, found")
    assert report["cases"][3]["report"]["structures"][0]["voxels"] == voxels
    with (folder / "batch_report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "done"]
    assert float(rows[3]["volume_cm3"]) == pytest.approx(voxels * 2 * 2 * 2.5 / 1000)
    assert rows[1]["error"] == errors[1]


def test_finished_cases_are_skipped_until_something_changes(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    cases = [case for case in read_table(table, folder, pictures=False) if case.name != "none"]
    run_all(cases, folder)
    again = run_all(cases, folder)
    assert statuses(again) == {"a": "skipped", "far": "failed", "sub/b": "skipped"}
    rows = (folder / "batch_report.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["skipped", "failed", "skipped"]

    (folder / "sub" / "b.seg.nrrd").unlink()
    assert statuses(run_all(cases, folder))["sub/b"] == "done"
    assert statuses(run_all(cases, folder, overwrite=True))["sub/b"] == "done"
    grown = run_all(cases, folder, grow=True)
    assert statuses(grown)["sub/b"] == "done"
    assert grown.entries["sub/b"]["report"]["model"]["grow"] == GrowMode.of(True)
    assert statuses(run_all(cases, folder, grow=True))["sub/b"] == "skipped"
    assert statuses(run_all(cases, folder, spacing_mm=3.0))["sub/b"] == "done"
    other = run_all(cases, folder, spacing_mm=3.0, settings={"model": "other"})
    assert statuses(other)["a"] == "done"
    write_clicks_file(tmp_path / "clicks.json", {"spleen": {"positive": [[2, 0, 6]]}})
    changed = run_all(cases, folder, spacing_mm=3.0, settings={"model": "other"})
    assert statuses(changed)["a"] == "done"
    assert read_segmentation(folder / "a.seg.nrrd")["spleen"].mask.voxel_count > 0


def test_a_broken_off_run_leaves_a_report_from_which_the_next_goes_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    cases = [case for case in read_table(table, folder) if case.name in ("a", "sub/b")]
    run = BatchRun(folder, ball_model, {"model": "fake"})
    run.run(cases[0])

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_case", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.run(cases[1])
    assert statuses(run_all(cases, folder)) == {"a": "skipped", "sub/b": "done"}


def test_cases_that_a_shorter_table_leaves_out_stay_in_the_report(
    table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    cases = [case for case in read_table(table, folder) if case.name in ("a", "sub/b")]
    run_all(cases, folder)
    run_all(cases[1:], folder)
    report = json.loads((folder / "batch_report.json").read_text())
    assert {case["case"] for case in report["cases"]} == {"a", "sub/b"}


def test_rows_with_the_same_file_name_keep_their_own_results(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.nrrd")
    write_clicks_file(tmp_path / "good.json")
    write_clicks_file(tmp_path / "bad.json", {"liver": {"positive": [[999, 0, 0]]}})
    table = tmp_path / "t.csv"
    table.write_text(
        "ct,clicks,output\nct.nrrd,bad.json,a/seg.seg.nrrd\nct.nrrd,good.json,b/seg.seg.nrrd\n"
    )
    run = run_all(read_table(table, tmp_path / "out"), tmp_path / "out")
    assert statuses(run) == {"a/seg": "failed", "b/seg": "done"}
    assert run.failed == ["a/seg"]
    rows = (tmp_path / "out" / "batch_report.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["a/seg", "b/seg"]


@pytest.mark.parametrize("kind", ["segmentation", *slow("picture", "report")])
def test_a_result_that_was_damaged_is_made_again(table: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "out"
    cases = [case for case in read_table(table, folder) if case.name == "a"]
    run_all(cases, folder)
    assert statuses(run_all(cases, folder)) == {"a": "skipped"}
    cases[0].case.files[kind].write_bytes(b"")
    assert statuses(run_all(cases, folder)) == {"a": "done"}
    assert cases[0].case.files[kind].stat().st_size > 100
    without = [case for case in read_table(table, folder, pictures=False) if case.name == "a"]
    assert statuses(run_all(without, folder)) == {"a": "skipped"}


def test_a_case_may_be_called_report(tmp_path: Path) -> None:
    write_ct(tmp_path / "report.nrrd")
    write_clicks_file(tmp_path / "c.json")
    (tmp_path / "t.csv").write_text("ct,clicks\nreport.nrrd,c.json\n")
    folder = tmp_path / "out"
    run_all(read_table(tmp_path / "t.csv", folder), folder)
    assert "structures" in json.loads((folder / "report.json").read_text())
    assert "cases" in json.loads((folder / "batch_report.json").read_text())


def test_warnings_are_told_with_the_case_and_kept(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.nrrd", offset_hu=1024)
    write_clicks_file(tmp_path / "c.json")
    (tmp_path / "t.csv").write_text("ct,clicks\nct.nrrd,c.json\n")
    said: list[str] = []
    run = run_all(read_table(tmp_path / "t.csv", tmp_path / "o"), tmp_path / "o", warn=said.append)
    (kept,) = run.entries["ct"]["report"]["warnings"]
    assert kept.startswith("no voxel below -20: expected HU")
    assert said == [f"ct: {kept}"]


def test_a_damaged_report_only_means_that_all_cases_run(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    cases = [case for case in read_table(table, folder, pictures=False) if case.name == "sub/b"]
    run_all(cases, folder)
    (folder / "batch_report.json").write_text('{"cases": [7]}')
    assert statuses(run_all(cases, folder)) == {"sub/b": "done"}


def test_the_model_is_loaded_once_and_only_when_a_case_needs_it(
    table: Path, tmp_path: Path
) -> None:
    cases = [case for case in read_table(table, tmp_path / "out") if case.name in ("a", "sub/b")]
    loaded = []

    def model() -> Any:
        loaded.append("model")
        return ball_model()

    for _ in range(2):
        run = BatchRun(tmp_path / "out", model, {})
        for case in cases:
            run.run(case)
    assert statuses(run) == {"a": "skipped", "sub/b": "skipped"}
    assert loaded == ["model"]


def test_a_model_that_cannot_be_loaded_ends_the_batch(table: Path, tmp_path: Path) -> None:
    def model() -> Any:
        raise BundleError("not here")

    run = BatchRun(tmp_path / "out", model, {})
    with pytest.raises(BundleError, match="not here"):
        run.run(read_table(table, tmp_path / "out")[0])


def test_columns_that_are_not_known_are_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "t.csv"
    table.write_text('ct,clicks,Remark,device,,\na.nrrd,c.json,"a, b",cpu,,\n,,,,,\n')
    said: list[str] = []
    (found,) = read_table(table, tmp_path / "out", warn=said.append)
    assert found.case.clicks == (tmp_path / "c.json",)
    assert said == [
        f"{table}: the column 'remark' is ignored.",
        f"{table}: the column 'device' is ignored. Choose the device for the whole batch instead.",
    ]
    read_table(table, tmp_path / "out")
    assert [record.message for record in caplog.records] == said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_of_spreadsheets_are_read(tmp_path: Path, encoding: str) -> None:
    table = tmp_path / "t.csv"
    text = "\r\n;;\r\nct;clicks;\r\n\r\nMüller.nii.gz; c.json ;\r\n;;\r\n"
    table.write_bytes(text.encode(encoding))
    said: list[str] = []
    (found,) = read_table(table, tmp_path / "out", warn=said.append)
    assert found.case.ct == tmp_path / "Müller.nii.gz"
    assert found.case.clicks == (tmp_path / "c.json",)
    guessed = f'{table} is not in UTF-8 and was read as Windows-1252. Save the table as "CSV UTF-8"'
    assert said == ([guessed] if encoding == "cp1252" else [])


@pytest.mark.parametrize("name", ["cp1252.csv", "utf16.csv"])
def test_the_tables_that_were_refused_without_a_hint(
    cases: Path, tmp_path: Path, name: str
) -> None:
    (found,) = read_table(cases / "hint-missing" / name, tmp_path, warn=lambda _: None)
    expected = {"cp1252.csv": "Müller.nii.gz", "utf16.csv": "a.nii.gz"}
    assert found.case.ct.name == expected[name]


def test_names_are_short_and_distinct_and_several_clicks_files_may_be_given(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        "CT,Clicks\np1/ct.nii.gz,a.json;b.mrk.json\np2/ct.nii.gz,a.json\nx.mha,a.json\n"
        "q/p1/y.mha,a.json\nr/p1/y.mha,a.json\n"
        "1.2.3.nii.gz,a.json\n1.2.4.NII,a.json\nct.v2.tif,a.json\n",
        encoding="utf-8-sig",
    )
    cases = read_table(table, tmp_path / "out")
    apart = ["p1_ct", "p2_ct", "x", "p1_y_4", "p1_y_5"]
    assert [case.name for case in cases] == [*apart, "1.2.3", "1.2.4", "ct.v2"]
    assert cases[0].case.clicks == (tmp_path / "a.json", tmp_path / "b.mrk.json")
    assert cases[0].case.ct == tmp_path / "p1" / "ct.nii.gz"
    assert cases[2].case.output == tmp_path / "out" / "x.seg.nrrd"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_may_be_separated_as_spreadsheets_do(tmp_path: Path, delimiter: str) -> None:
    table = tmp_path / "t.csv"
    rows = [("ct", "clicks", "output"), ("a.nrrd", '"c.json;d.json"', "x/y.seg.nrrd")]
    table.write_text("\r\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    (found,) = read_table(table, tmp_path / "out")
    assert found.name == "x/y"
    assert found.case.clicks == (tmp_path / "c.json", tmp_path / "d.json")
    assert found.case.output == tmp_path / "out" / "x" / "y.seg.nrrd"


def test_relative_tables_name_cases_by_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").mkdir()
    table = tmp_path / "plain" / "t.csv"
    table.write_text("ct,clicks\nx/../ct.nii,c.json\n../other/ct.nii,c.json\n")
    monkeypatch.chdir(tmp_path / "plain")
    cases = read_table(Path("t.csv"), Path("out"))
    assert [case.name for case in cases] == ["plain_ct", "other_ct"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns ct, clicks and optionally output; got none"),
        ("ct,points\na,b\n", "expected the columns .* got ct, points"),
        ("ct,clicks,ct\na,b,c\n", "expected the columns .* got ct, clicks, ct"),
        ("ct,clicks\n", "at least one case"),
        ("ct,clicks\na.nrrd,\n", r"line 2: expected a value for each of ct, clicks"),
        ("ct,clicks\na.nrrd,c.json,d\n", r"line 2: expected a value for each of ct, clicks"),
        ("ct,clicks\na.nrrd\n", r"line 2: expected a value for each of ct, clicks"),
        ("ct,clicks,output\na,b,c.nii\n", r"line 2: expected an output ending with \.seg\.nrrd"),
        ("ct,clicks,output\na,b,../c.seg.nrrd\n", r"line 2: expected an output inside the folder"),
        ("ct,clicks,output\na,b,/c.seg.nrrd\n", r"line 2: expected an output inside the folder"),
        (b"\xff\xfe\x00", 'expected a readable CSV table, got zero bytes.*"CSV UTF-8"'),
        (b"c\0t\0", 'expected a readable CSV table, got zero bytes.*"CSV UTF-8"'),
        (b"\x81", 'expected a readable CSV table, got .* decode byte.*"CSV UTF-8"'),
        (b"PK\x03\x04", 'expected a readable CSV table, got a workbook.*"CSV UTF-8"'),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ClicksFileError, match=f"t.csv.*{message}"):
        read_table(table, tmp_path)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ("x.seg.nrrd", r"out.x\.seg\.nrrd would be written twice\. Give each output"),
        ("X.seg.nrrd", r"out.x\.seg\.nrrd and .*out.X\.seg\.nrrd are one file\. Give each output"),
        ("x.SEG.NRRD", "are one file"),
        ("k/../x.seg.nrrd", "are one file"),
    ],
)
def test_rows_that_write_one_file_are_refused_by_the_check_of_outputs(
    tmp_path: Path, second: str, text: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"ct,clicks,output\na,b,x.seg.nrrd\nd,b,{second}\n")
    cases = read_table(table, tmp_path / "out")
    with pytest.raises(OutputFileError, match=text):
        check_outputs([item.case.files for item in cases], [table])
