"""The commands of the Makefile say in a plain sentence what is missing, and the pins are exact."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands need a POSIX shell")


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Nothing of a surrounding `make` may leak in.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def make(repository: Path):
    """Runs make in the repository."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    return lambda *arguments: _run("make", "--no-print-directory", *arguments, cwd=repository)


def test_make_alone_lists_the_commands(make) -> None:
    done = make()
    assert done.returncode == 0
    listed = re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE)
    assert {
        "demo",
        "test",
        "lint",
        "types",
        "imports",
        "unit",
        "bench",
        "clean",
        "help",
    } <= set(listed)


def test_demo_runs_the_demo_command(make) -> None:
    assert '-m CTSAM3DLib demo --output-dir "demo-output"' in make("-n", "demo").stdout


def test_demo_with_a_ct_runs_the_segment_command(make) -> None:
    plan = make("-n", "demo", "CT=my scan.nii.gz", "CLICKS=clicks.json", "OUT=out").stdout
    assert '-m CTSAM3DLib segment "my scan.nii.gz" --clicks "clicks.json"' in plan


def test_demo_with_a_ct_but_no_clicks_is_refused(make, tmp_path: Path) -> None:
    (tmp_path / ".runtime-ready").touch()
    future = 4102444800
    os.utime(tmp_path / ".runtime-ready", (future, future))
    done = make("demo", "CT=scan.nii.gz", f"VENV={tmp_path}")
    assert done.returncode != 0
    assert "CT=... also needs CLICKS=..." in done.stderr


def _fake_python(folder: Path, script: str) -> Path:
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    return python


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "Python 3.10 or newer was not found"),
        ("exit 1", "does not run or is older than Python 3.10"),
        ('case "$*" in *ensurepip*) exit 1;; *) exit 0;; esac', "has no working 'venv' module"),
        ('case "$*" in *"-m venv"*) exit 1;; *) exit 0;; esac', "could not be made"),
    ],
)
def test_set_up_says_what_is_missing(
    repository: Path, tmp_path: Path, script: str | None, sentence: str
) -> None:
    python = "" if script is None else str(_fake_python(tmp_path, script))
    done = _run(
        "sh",
        "tools/make_environment.sh",
        python,
        str(tmp_path / "venv"),
        "none.txt",
        cwd=repository,
    )
    assert done.returncode == 1
    assert "Set-up failed: " in done.stderr
    assert sentence in done.stderr


def _venv_whose_pip(folder: Path, script: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *"-m pip"*) {script};; esac\n', encoding="utf-8")
    python.chmod(0o755)
    return folder


def test_set_up_says_that_pip_failed(repository: Path, tmp_path: Path) -> None:
    venv = _venv_whose_pip(tmp_path / "venv", "exit 1")
    python = str(_fake_python(tmp_path, "exit 0"))
    arguments = (python, str(venv), "full.txt", "small.txt")
    done = _run("sh", "tools/make_environment.sh", *arguments, cwd=repository)
    assert done.returncode == 1
    assert "going on with small.txt" in done.stderr
    assert "pip could not install small.txt" in done.stderr


def test_set_up_falls_back_to_the_smaller_set(repository: Path, tmp_path: Path) -> None:
    venv = _venv_whose_pip(tmp_path / "venv", 'case "$*" in *full.txt*) exit 1;; esac')
    python = str(_fake_python(tmp_path, "exit 0"))
    arguments = (python, str(venv), "full.txt", "small.txt")
    done = _run("sh", "tools/make_environment.sh", *arguments, cwd=repository)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["runtime.txt", "optional.txt", "develop.txt", "slicer.txt", "constraints.txt"]
)
def test_every_requirement_is_pinned(repository: Path, name: str) -> None:
    lines = (repository / "requirements" / name).read_text(encoding="utf-8").splitlines()
    pin = re.compile(r'[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*(; python_version (>=|<) "3\.11")?')
    assert [
        line
        for line in lines
        if line and not line.startswith(("#", "-r ")) and not pin.fullmatch(line)
    ] == []


def test_version_dependent_pins_come_in_pairs(repository: Path) -> None:
    for name in ("runtime.txt", "optional.txt", "develop.txt", "slicer.txt"):
        text = (repository / "requirements" / name).read_text(encoding="utf-8")
        newer = set(
            re.findall(r'^([^=\n]+)==[^;\n]+; python_version >= "3\.11"', text, re.MULTILINE)
        )
        older = set(
            re.findall(r'^([^=\n]+)==[^;\n]+; python_version < "3\.11"', text, re.MULTILINE)
        )
        assert newer == older, f"{name}: a pin for Python 3.10 or for newer ones is missing"
