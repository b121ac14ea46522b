"""Names of files with letters that the locale of the shell does not know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from CTSAM3DLib.cli import main as cli


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have Unicode names")
@pytest.mark.parametrize(
    ("words", "header"),
    [(["batch", "t.csv", "--output-dir", "out"], "clicks"),
     (["learn", "t.csv", "--id", "x", "--work-dir", "work"], "segmentation")],
)  # fmt: skip
def test_letters_that_file_names_cannot_have_here_are_told_as_such(
    tmp_path: Path, words: list[str], header: str
) -> None:
    (tmp_path / "Müller").mkdir()
    (tmp_path / "Müller" / "ct.nrrd").touch()
    (tmp_path / "t.csv").write_text(f"ct,{header}\nMüller/ct.nrrd,a.json\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "CTSAM3DLib", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(cli.__file__).parents[2]),
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
        },
        check=False,
    )
    assert done.returncode == 2
    assert "file names cannot hold" in done.stderr
    assert "encoding is ascii. Set the environment variable PYTHONUTF8=1" in done.stderr
    assert not (tmp_path / "out").exists()
