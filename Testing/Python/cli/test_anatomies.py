"""The command `anatomies`: which names it lists."""

from __future__ import annotations

import pytest
from disk_cases import run_command as run

from CTSAM3DLib.io.terminology import anatomies, find


def test_all_names_are_listed_with_their_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("anatomies") == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert dict(rows) == {name: one.label for name, one in anatomies().items()}
    assert all(find(name) for name, _ in rows)


def test_words_in_any_case_and_order_choose(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("anatomies", "LEFT", "kidney") == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "kidney_left" in names
    assert "kidney_right" not in names
    assert run("anatomies", "kidney", "engine") == 1
    assert capsys.readouterr().out == "no anatomy has the words: kidney engine\n"
