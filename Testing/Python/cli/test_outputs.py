"""The command line destroys nothing, and tells why a result may be wrong."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from disk_cases import ball_model, folder_for_commands, write_ct, write_dicom
from disk_cases import run_command as run

from CTSAM3DLib.batch.case import picture_title
from CTSAM3DLib.cli import batch as cli_batch
from CTSAM3DLib.cli import segment as cli_segment

pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a CT and clicks, where commands use a model without a network."""
    return folder_for_commands(tmp_path, monkeypatch)


SEGMENT = ("--clicks", "clicks.json", "--output", "x.seg.nrrd")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--report", "ct.nrrd"), r"ct\.nrrd cannot hold a report"),
        (("--picture", "ct.nrrd"), r"ct\.nrrd cannot hold a picture"),
        (("--report", "clicks.json"), r"clicks\.json is an input. Write the report"),
        (("--report", "folder/../CLICKS.json"), r"folder/\.\./CLICKS\.json is an input"),
        (("--output", "ct.seg.nrrd"), r"ct\.seg\.nrrd is an input"),
        (("--output", "folder/x.seg.nrrd"), r"folder/x\.seg\.nrrd lies in the DICOM folder"),
        (("--picture", "x.seg.nrrd"), r"x\.seg\.nrrd cannot hold a picture"),
        (("--report", "ct.nrrd/x.json"), "cannot write ct.nrrd/x.json: ct.nrrd is a file"),
    ],
)
def test_outputs_that_would_destroy_something_are_refused_before_any_work(
    case: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(case)
    monkeypatch.setattr(cli_segment, "load_model", None)  # not reached
    (case / "folder").mkdir()
    shutil.copy(case / "ct.nrrd", case / "ct.seg.nrrd")
    before = {path: path.read_bytes() for path in case.rglob("*") if path.is_file()}
    ct = {"ct.seg.nrrd": "ct.seg.nrrd", "folder/x.seg.nrrd": "folder"}.get(options[1], "ct.nrrd")
    assert run("segment", ct, *SEGMENT, *options) == 2
    assert re.search(rf"^error: {said}", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in case.rglob("*") if path.is_file()} == before


def test_a_batch_that_would_destroy_something_is_refused_before_any_work(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_batch, "resolve_model", None)  # not reached
    table = case / "batch_report.csv"
    table.write_text("ct,clicks\nct.nrrd,clicks.json\n")
    assert run("batch", table, "--output-dir", case) == 2
    assert "batch_report.csv is an input. Write the table" in capsys.readouterr().err
    table = case / "t.csv"
    table.write_text("ct,clicks,output\nct.nrrd,clicks.json,clicks.seg.nrrd\n")
    assert run("batch", table, "--output-dir", case) == 2
    assert "clicks.json is an input. Write the report" in capsys.readouterr().err
    table.write_text("ct,clicks,output\nct.nrrd,clicks.json,batch_report.seg.nrrd\n")
    assert run("batch", table, "--output-dir", case / "out") == 2
    assert "would be written twice. Give each output its own name" in capsys.readouterr().err
    assert not (case / "out").exists()


def test_what_is_no_ct_is_told_on_standard_error_and_in_the_report(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    words = ("segment", "ct.nrrd", *SEGMENT, "--report", "x.json")
    assert run(*words) == 0
    assert capsys.readouterr().err == ""
    assert json.loads((case / "x.json").read_text())["warnings"] == []
    write_ct(case / "ct.nrrd", offset_hu=1024)
    assert run(*words, "--spacing", "9") == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("warning: no voxel below -20: expected HU")
    assert re.match(r"warning: expected a voxel size of \S+ to \S+ mm, .* got 9 mm", told[1])
    kept = json.loads((case / "x.json").read_text())["warnings"]
    assert told == [f"warning: {text}" for text in kept]
    (case / "t.csv").write_text("ct,clicks\nct.nrrd,clicks.json\n")
    assert run("batch", case / "t.csv", "--output-dir", case / "out") == 0
    assert "warning: ct: no voxel below -20" in capsys.readouterr().err


def test_a_series_is_chosen_and_the_others_are_told(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    for uid, offset in (("1.2.1", 0), ("1.2.2", 100)):
        write_dicom(case / "study", uid, offset)
    words = ("segment", "study", *SEGMENT, "--report", "x.json")
    assert run(*words) == 0
    text = "warning: took series 1.2.1 (16 slices) of study; the option series takes another: "
    assert capsys.readouterr().err == f"{text}1.2.2 (16 slices)\n"
    assert "series 1.2.1, 16 files" in json.loads((case / "x.json").read_text())["ct"]["name"]
    assert run(*words, "--series", "1.2.2") == 0
    assert "took series 1.2.2 (16 slices)" in capsys.readouterr().err
    assert "series 1.2.2, 16 files" in json.loads((case / "x.json").read_text())["ct"]["name"]
    assert run(*words, "--series", "1.2") == 2
    assert "expected the series 1.2 in study, got 1.2.1, 1.2.2" in capsys.readouterr().err


def test_a_picture_of_a_file_that_many_have_names_its_folder(tmp_path: Path) -> None:
    assert picture_title(tmp_path / "p7" / "ct.nii.gz") == "p7/ct.nii.gz"
    assert picture_title(tmp_path / "p7" / "p7.nii.gz") == "p7.nii.gz"
    assert picture_title(tmp_path) == ""


@pytest.mark.parametrize("name", ["x.seg.nrrd", "x.png", "x.json"])
def test_a_file_that_somebody_made_or_changed_is_replaced_only_when_told(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(case)
    further = {"x.png": ("--picture", "x.png"), "x.json": ("--report", "x.json")}.get(name, ())
    words = ("segment", "ct.nrrd", *SEGMENT, *further)
    assert run(*words) == 0
    assert run(*words) == 0  # its own files
    with (case / name).open("ab") as file:
        file.write(b"by hand")
    before = (case / name).read_bytes()
    monkeypatch.setattr(cli_segment, "load_model", None)  # not reached
    assert run(*words) == 2
    said = rf"error: {name} exists and was not written by this program, .* with --overwrite\n"
    assert re.fullmatch(said, capsys.readouterr().err)
    assert (case / name).read_bytes() == before
    monkeypatch.setattr(cli_segment, "load_model", ball_model)
    assert run(*words, "--overwrite") == 0
    assert run(*words) == 0
    assert (case / name).read_bytes() != before


def test_a_batch_tells_what_it_kept(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    (case / "t.csv").write_text("ct,clicks\nct.nrrd,clicks.json\n")
    words = ("batch", "t.csv", "--output-dir", "out", "--no-pictures")
    assert run(*words) == 0
    (case / "out" / "ct.seg.nrrd").write_bytes(b"by hand")
    assert run(*words) == 0
    printed = capsys.readouterr()
    assert "1 case: 0 done, 0 skipped, 0 failed, 1 kept\n" in printed.out
    assert re.search(r"warning: ct: kept .*ct\.seg\.nrrd, .* overwrite replaces it", printed.err)
    assert run(*words, "--overwrite") == 0
    assert (case / "out" / "ct.seg.nrrd").read_bytes() != b"by hand"
