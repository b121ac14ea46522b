"""`make test` shares tests among processes: one that dies, a warning and a skip are all seen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CRASH = """
import os, signal

def test_dies():
    os.kill(os.getpid(), signal.SIGKILL)
"""
OTHERS = """
import warnings
import pytest

def test_passes():
    pass

def test_warns():
    warnings.warn("old", DeprecationWarning)

@pytest.mark.skip(reason="no card here")
def test_skipped():
    pass
"""


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run tests with the settings of the project, as `make unit` does."""
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"^IN_WORKERS = (.*)$", makefile, re.MULTILINE)
    settings = ["-c", str(repository / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", "-p", "xdist", *settings, *options.split()]
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}

    def run(tests: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_cases.py").write_text(tests, encoding="utf-8")
        return subprocess.run(
            [*(option.replace("$(WORKERS)", "1") for option in command), str(tmp_path)],
            cwd=repository,
            # Other plugins take seconds to load.
            env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_dies_names_its_test(run) -> None:
    done = run(CRASH)
    assert done.returncode != 0
    assert re.search(r"worker 'gw\d' crashed while running '.*test_dies'", done.stdout)
    assert "1 failed" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_warnings_are_errors_and_skips_have_reasons(run) -> None:
    done = run(OTHERS)
    assert done.returncode == 1
    assert "DeprecationWarning: old" in done.stdout
    assert "no card here" in done.stdout
    assert "1 failed, 1 passed, 1 skipped" in done.stdout.splitlines()[-1]
