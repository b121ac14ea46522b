"""The command `segment`: what it shows while it works."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import pytest
from disk_cases import folder_for_commands, geometry, write_clicks_file, write_ct
from disk_cases import run_command as run

from CTSAM3DLib.cli import segment
from CTSAM3DLib.cli.segment import ClickProgress
from CTSAM3DLib.io.segmentation_reader import read_prompts

pytest.importorskip("SimpleITK")


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_terminal_shows_a_bar_that_goes_away() -> None:
    stream = Terminal()
    with ClickProgress(stream) as progress:
        for number in range(1, 4):
            progress("liver", number, 3)
        assert "0/3" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().rstrip(" ").endswith("\r")


def test_a_file_gets_a_line_now_and_then_and_none_for_quick_clicks() -> None:
    stream, seconds = io.StringIO(), [0.0]
    with ClickProgress(stream, 5.0, lambda: seconds[0]) as progress:
        for number, seconds[0] in enumerate((1.0, 4.9, 5.0, 9.0, 10.5), start=1):
            progress("liver", number, 5)
    assert stream.getvalue().splitlines() == [
        "answered 3 of 5 clicks (liver)",
        "answered 5 of 5 clicks (liver)",
    ]


def test_slow_clicks_are_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = folder_for_commands(tmp_path, monkeypatch)
    middle = geometry().ras_from_ijk((12, 10, 8)).tolist()
    structures = {name: {"positive": [middle]} for name in ("liver", "spleen")}
    monkeypatch.setattr(segment, "monotonic", itertools.count(0.0, 3.0).__next__)
    clicks = write_clicks_file(case / "many.json", structures)
    words = ("segment", case / "ct.nrrd", "--clicks", clicks, "--output", case / "x.seg.nrrd")
    assert run(*words) == 0
    assert capsys.readouterr().err == "answered 2 of 2 clicks (spleen)\n"


def clicks_of(path: Path) -> list[tuple[float, ...]]:
    """Return the clicks of a result as rows of position and sign, in order."""
    history = read_prompts(path)["liver"]
    return [(*map(float, one.position_ras), one.positive) for one in history]


def test_clicks_without_a_file_keep_their_order_and_follow_those_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = folder_for_commands(tmp_path, monkeypatch)
    words = ("--click", "liver", "-4", "-5.5", "10")
    words += ("--click-outside", "liver", "4", "-5", "12.5", "--click", "liver", "-2", "-5", "10")
    rows = [(-4.0, -5.5, 10.0, True), (4.0, -5.0, 12.5, False), (-2.0, -5.0, 10.0, True)]
    output = case / "x.seg.nrrd"
    assert run("segment", case / "ct.nrrd", *words, "--output", output) == 0
    assert clicks_of(output) == rows
    file = write_clicks_file(case / "one.json", {"liver": {"negative": [[0, -5, 10]]}})
    assert run("segment", case / "ct.nrrd", "--clicks", file, *words, "--output", output) == 0
    assert clicks_of(output) == [(0.0, -5.0, 10.0, False), *rows]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--click", "liver", "1", "x", "3"), "expected a name and three numbers in mm, got"),
        (("--click", "liver", "1", "nan", "3"), "expected a name and three numbers in mm, got"),
        (("--click", " ", "1", "2", "3"), "expected the name of a structure"),
        ((), "one of --clicks and --click is needed"),
    ],
)
def test_what_is_no_click(words: tuple, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("segment", "ct.nrrd", *words, "--output", "x.seg.nrrd")
    assert said in capsys.readouterr().err


def test_a_click_outside_alone_is_no_structure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = folder_for_commands(tmp_path, monkeypatch)
    words = ("--click-outside", "liver", "4", "-5", "12.5", "--output", case / "x.seg.nrrd")
    assert run("segment", case / "ct.nrrd", *words) == 2
    assert "structure 'liver': expected a positive click" in capsys.readouterr().err


def test_a_click_in_air_is_told_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = folder_for_commands(tmp_path, monkeypatch)
    ct = write_ct(case / "air.nrrd", -1000)
    report, output = case / "x.json", case / "x.seg.nrrd"
    words = ("segment", ct, "--clicks", case / "clicks.json", "--click", "spleen", "4", "-5", "10")
    assert run(*words, "--output", output, "--report", report) == 0
    (said, _) = (line for line in capsys.readouterr().err.splitlines() if "lies in air" in line)
    assert said.startswith("warning: structure 'liver', prompt 1: The point lies in air outside")
    assert said.removeprefix("warning: ") in json.loads(report.read_text())["warnings"]
