"""The command line: files written, lines printed, exit codes, and errors in one plain line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from disk_cases import folder_for_commands, write_clicks_file
from disk_cases import run_command as run
from fake_predictor import BallPredictor

from CTSAM3DLib.batch.case import LoadedModel
from CTSAM3DLib.cli import batch as cli_batch
from CTSAM3DLib.cli import main as cli
from CTSAM3DLib.cli import models as cli_models
from CTSAM3DLib.cli import segment as cli_segment
from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.models.store import ModelStore
from CTSAM3DLib.session.growing_rules import GrowMode

pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a CT and clicks, where commands use a model without a network."""
    return folder_for_commands(tmp_path, monkeypatch)


def test_segment_writes_all_files_and_names_them(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, picture, report = case / "o" / "x.seg.nrrd", case / "x.png", case / "x.json"
    code = run("segment", case / "ct.nrrd", "--clicks", case / "clicks.json", "--output", output)
    assert code == 0
    code = run(
        *("segment", case / "ct.nrrd", "--clicks", case / "clicks.json", "--output", output),
        *("--picture", picture, "--report", report, "--spacing", "2"),
    )
    assert code == 0
    printed = capsys.readouterr().out
    content = json.loads(report.read_text())
    liver = content["structures"][0]
    voxels = read_segmentation(output)["liver"].mask.voxel_count
    assert liver["voxels"] == voxels
    assert liver["volume_cm3"] == pytest.approx(voxels * 10 / 1000)
    assert liver["clicks"]["positive"] == [[-4.0, -5.0, 10.0]]
    assert content["model"]["id"] == "fake"
    assert content["model"]["grid_spacing_mm"] == 2.0
    assert content["device"] == "cpu"
    assert content["ct"]["size_ijk"] == [24, 20, 16]
    assert set(content["seconds"]) == {"read", "segment", "write", "total"}
    assert {"CTSAM3DLib", "python", "numpy", "SimpleITK"} <= set(content["versions"])
    assert content["files"]["segmentation"] == str(output)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert re.search(rf"^liver +\+1 -0 +{voxels * 10 / 1000:.1f} +\d+\.\d\d$", printed, re.M)
    for path in (output, picture, report):
        assert f"wrote {path}\n" in printed


@pytest.mark.parametrize(
    ("words_of_grow", "grow"),
    [([], "off"), (["--grow"], GrowMode.of(True)), (["--grow-mode", "frontier"], "frontier")],
)
def test_grow_is_handed_on_and_reported(case: Path, words_of_grow: list, grow: str) -> None:
    output, report = case / "x.seg.nrrd", case / "x.json"
    words = ["segment", case / "ct.nrrd", "--clicks", case / "clicks.json", "--output", output]
    assert run(*words, "--report", report, *words_of_grow) == 0
    assert json.loads(report.read_text())["model"]["grow"] == grow
    (case / "table.csv").write_text("ct,clicks\nct.nrrd,clicks.json\n")
    words = ["batch", case / "table.csv", "--output-dir", case / "out", "--no-pictures"]
    assert run(*words, *words_of_grow) == 0
    assert json.loads((case / "out" / "batch_report.json").read_text())["settings"]["grow"] == grow


def test_a_structure_that_came_out_empty_is_named_so(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LoadedModel(BallPredictor(radius=2, negative_radius=9))
    monkeypatch.setattr(cli_segment, "load_model", lambda *_: model)
    write_clicks_file(case / "c.json", {"a": {"clicks": [[2, 0, 6, 1], [2, 0, 6, 0]]}})
    out = case / "x.seg.nrrd"
    assert run("segment", case / "ct.nrrd", "--clicks", case / "c.json", "--output", out) == 0
    assert re.search(r"^a +\+1 -1 +empty ", capsys.readouterr().out, re.M)
    assert read_segmentation(out)["a"].mask.voxel_count == 0


@pytest.mark.parametrize(
    ("ct", "clicks", "output", "message"),
    [
        ("none.nrrd", "clicks.json", "x.seg.nrrd", "found nothing at .*none.nrrd"),
        ("clicks.json", "clicks.json", "x.seg.nrrd", "cannot use .*clicks.json"),
        ("ct.nrrd", "none.json", "x.seg.nrrd", r"none\.json: expected a readable clicks file"),
        ("ct.nrrd", "ct.nrrd", "x.seg.nrrd", r"ct\.nrrd: expected"),
        ("ct.nrrd", "clicks.json", "x.nrrd", r"expected a file name ending with \.seg\.nrrd"),
        ("ct.nrrd", "clicks.json", "ct.nrrd/x.seg.nrrd", r"ct\.nrrd"),
    ],
)
def test_errors_are_one_plain_line_and_exit_code_2(
    case: Path,
    capsys: pytest.CaptureFixture[str],
    ct: str,
    clicks: str,
    output: str,
    message: str,
) -> None:
    words = ("segment", case / ct, "--clicks", case / clicks, "--output", case / output)
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: .*{message}.*\n", error)
    assert not (case / "x.seg.nrrd").exists()
    assert run(*words, "--debug") == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_fewer_workers_than_none_are_refused(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case / "t.csv").write_text("ct,clicks\nct.nrrd,clicks.json\n")
    with pytest.raises(SystemExit) as ended:
        run("batch", case / "t.csv", "--output-dir", case / "out", "--workers", "-1")
    assert ended.value.code == 2
    assert "--workers: expected 0 (this process alone) or more, got -1" in capsys.readouterr().err
    assert not (case / "out").exists()


def test_a_bug_is_told_as_such_in_one_line(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(cli_segment, "run_case", fail)
    words = (
        "segment",
        case / "ct.nrrd",
        "--clicks",
        case / "clicks.json",
        "--output",
        "x.seg.nrrd",
    )
    assert run(*words) == 2
    assert (
        capsys.readouterr().err
        == "error: unexpected RuntimeError: two lines (--debug shows where)\n"
    )

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_segment, "run_case", interrupt)
    assert run(*words) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("spacing", ["0", "-1", "nan", "inf", "x"])
def test_a_spacing_must_be_a_positive_number(
    case: Path, capsys: pytest.CaptureFixture[str], spacing: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("segment", "a", "--clicks", "b", "--output", "c", "--spacing", spacing)
    assert f"expected a number > 0, got '{spacing}'" in capsys.readouterr().err


def test_batch_runs_resumes_and_tells_failures_by_its_exit_code(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = case / "t.csv"
    table.write_text("ct,clicks\nct.nrrd,clicks.json\n")
    assert run("batch", table, "--output-dir", case / "out", "--no-pictures") == 0
    printed = capsys.readouterr().out
    assert "done    ct\n" in printed
    assert "1 case: 1 done, 0 skipped, 0 failed\n" in printed
    assert f"wrote {case / 'out' / 'batch_report.json'}" in printed
    table.write_text("ct,clicks\nct.nrrd,clicks.json\nnone.nrrd,clicks.json\n")
    assert run("batch", table, "--output-dir", case / "out", "--no-pictures") == 1
    printed = capsys.readouterr().out
    assert "skipped ct\n" in printed
    assert (
        "failed  none: VolumeError: expected an image file or a DICOM folder, found nothing"
        in printed
    )
    assert "2 cases: 0 done, 1 skipped, 1 failed\n" in printed
    words = ("batch", table, "--output-dir", case / "out", "--no-pictures", "--overwrite")
    assert run(*words) == 1
    assert "2 cases: 1 done, 0 skipped, 1 failed\n" in capsys.readouterr().out


def test_batch_stops_at_once_without_table_or_model(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("batch", case / "none.csv", "--output-dir", case / "out") == 2
    told = capsys.readouterr().err
    assert "none.csv: expected a readable CSV table, found nothing there\n" in told

    def missing(_: object) -> None:
        raise BundleError("no model")

    monkeypatch.setattr(cli_batch, "resolve_model", missing)
    (case / "t.csv").write_text("ct,clicks\nct.nrrd,clicks.json\n")
    assert run("batch", case / "t.csv", "--output-dir", case / "out") == 2
    assert capsys.readouterr().err == "error: no model\n"
    assert not (case / "out").exists()


def test_models_are_listed_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_models.ModelStore, "standard", lambda: ModelStore([tmp_path]))
    assert run("models") == 1
    assert f"no models are installed; looked in {tmp_path}" in capsys.readouterr().out
    content = b"weights"
    (tmp_path / "m.pt").write_bytes(content)
    entry = {
        "id": "m",
        "file": "m.pt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": "Apache-2.0",
        "patch_size": 64,
        "spacing_range_mm": [1.5, 4.0],
        "default_spacing_mm": 2.0,
        "windows_hu": [[-125.0, 225.0]],
    }
    manifest = {"schema": 1, "default": "m", "models": [entry]}
    (tmp_path / "models.json").write_text(json.dumps(manifest))
    assert run("models") == 0
    assert "m (default)  0.0 MB  Apache-2.0  intact" in capsys.readouterr().out
    (tmp_path / "m.pt").write_bytes(b"Weights")
    assert run("models") == 1
    assert "is altered" in capsys.readouterr().out


def test_help_version_and_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert run("--help") == 0
    printed = capsys.readouterr().out
    for name in ("segment", "batch", "demo", "train", "evaluate", "export", "models"):
        assert f"\n  {name} " in printed
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("CTSAM3DLib 0.")
    assert run("sgement") == 2
    assert "unknown command 'sgement'; known: segment, batch" in capsys.readouterr().err


def test_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "nothing", "nothing")
    monkeypatch.setattr(cli, "module_of", lambda _: "no_such_package_at_all")
    assert run("nothing") == 2
    assert "the Python package 'no_such_package_at_all' is needed" in capsys.readouterr().err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_is_plain_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(command, "--help")
    assert "`" not in capsys.readouterr().out


def test_python_m_works_and_loads_no_torch_for_help() -> None:
    root = Path(cli.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "CTSAM3DLib", "segment", "--help"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--clicks" in done.stdout
    assert not re.search(r"\| +(torch|matplotlib|SimpleITK)$", done.stderr, re.M)


def test_a_terminal_that_lacks_letters_still_gets_names(case: Path) -> None:
    code = (
        "import sys; from CTSAM3DLib.cli import main as cli\n"
        "from CTSAM3DLib.errors import CTSAM3DError\n"
        "def say(words):\n"
        "    print('\\u809d 5 cm\\u00b3')\n"
        "    raise CTSAM3DError('no \\u809d')\n"
        "talk = sys.modules['CTSAM3DLib.cli.talk'] = type(sys)('talk'); talk.main = say\n"
        "cli.COMMANDS['talk'] = ''\n"
        "sys.exit(cli.main(['talk']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(cli.__file__).parents[2],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.decode() == "\\u809d 5 cm\\xb3" + os.linesep
    assert done.stderr.decode() == "error: no \\u809d" + os.linesep


@pytest.mark.skipif(os.name == "nt", reason="pipes of Windows close in another way")
def test_a_closed_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "CTSAM3DLib", "--help"],
        cwd=Path(cli.__file__).parents[2],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


def test_a_pipe_that_closes_during_a_command_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: object) -> None:
        raise BrokenPipeError

    module = SimpleNamespace(main=closed)
    monkeypatch.setattr(cli, "import_module", lambda _: module)
    monkeypatch.setattr(cli, "forget_output", lambda: None)
    assert run("models") == 141
    assert capsys.readouterr().err == ""
