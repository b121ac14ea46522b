"""The command `segment`: what it shows while it works."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from disk_cases import folder_for_commands, geometry, write_clicks_file
from disk_cases import run_command as run

from CTSAM3DLib.cli import segment
from CTSAM3DLib.cli.segment import ClickProgress

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
