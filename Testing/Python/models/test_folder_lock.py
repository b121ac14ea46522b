"""One at a time: threads, other processes, and processes that die."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import HANG_S

from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.models.folder import locked_folder

HOLD = """
import sys
from CTSAM3DLib.models.folder import locked_folder
with locked_folder(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder until it is told or killed."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "models")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_told_apart_and_waited_for(holder, tmp_path) -> None:
    folder = tmp_path / "models"
    with (
        pytest.raises(OutputFileError, match="another run is changing"),
        locked_folder(folder, wait_s=0.0),
    ):
        raise AssertionError("the block ran")
    with locked_folder(tmp_path / "others", wait_s=0.0):
        pass
    later = threading.Timer(0.3, lambda: holder.communicate("go on\n"))
    later.start()
    with locked_folder(folder, wait_s=HANG_S):
        assert holder.wait(HANG_S) == 0
    later.join()
    assert not folder.exists(), "the lock lies elsewhere"


def test_a_process_that_dies_leaves_no_lock(holder, tmp_path) -> None:
    holder.kill()
    holder.wait(HANG_S)
    with locked_folder(tmp_path / "models", wait_s=HANG_S):
        pass


def test_an_error_in_the_block_ends_the_lock(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), locked_folder(tmp_path):
        raise ZeroDivisionError
    with locked_folder(tmp_path, wait_s=0.0):
        pass


def test_other_spellings_of_a_folder_are_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        locked_folder(tmp_path / "models"),
        pytest.raises(OutputFileError),
        locked_folder(Path("x/../models"), wait_s=0.0),
    ):
        raise AssertionError("the block ran")


def test_many_at_once_take_turns(tmp_path) -> None:
    inside, most = 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with locked_folder(tmp_path, wait_s=HANG_S):
                with count:
                    inside += 1
                    most = max(most, inside)
                with count:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_lock_that_cannot_be_made_is_told(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(OutputFileError, match="expected a lock at"), locked_folder(tmp_path):
        raise AssertionError("the block ran")


def test_without_the_package_the_block_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    ran = []
    with locked_folder(tmp_path):
        ran.append(True)
    assert ran == [True]
