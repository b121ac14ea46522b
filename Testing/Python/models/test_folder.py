"""Models that the user has added are removed again: file and entry, or neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from checkpoint_case import content_of
from manifest_case import entry_values, write_manifest
from waiting import HANG_S

from CTSAM3DLib.errors import BundleError, OutputFileError
from CTSAM3DLib.models.folder import listing_with, locked_folder, remove_model
from CTSAM3DLib.models.store import ModelStore


@pytest.fixture
def stores(tmp_path: Path) -> tuple[ModelStore, ModelStore]:
    """Return the models a, b, c of the user, and all: these and the bundled z."""
    write_manifest(tmp_path / "bundled", entry_values("z.pt"))
    write_manifest(
        tmp_path / "user", *(entry_values(f"{name}.pt") for name in "abc"), default="b", more=1
    )
    user = ModelStore([tmp_path / "user"])
    return user, ModelStore([tmp_path / "bundled", tmp_path / "user"])


def test_file_and_entry_go_and_all_else_stays(
    stores: tuple[ModelStore, ModelStore], tmp_path: Path
) -> None:
    before = content_of(tmp_path)
    assert remove_model("a", *stores) == tmp_path / "user" / "a.pt"
    after = content_of(tmp_path)
    assert before.keys() - after.keys() == {"user/a.pt"}
    assert {k for k in after if after[k] != before[k]} == {"user/models.json"}
    listed = json.loads((tmp_path / "user" / "models.json").read_text())
    assert (listed["default"], listed["more"]) == ("b", 1)
    assert [one["id"] for one in listed["models"]] == ["b", "c"]


def test_another_model_becomes_the_default_of_the_folder(
    stores: tuple[ModelStore, ModelStore], tmp_path: Path
) -> None:
    remove_model("b", *stores)
    assert stores[0].default().model_id == "a"
    remove_model("a", *stores)
    remove_model("c", *stores)
    assert stores[0].entries() == {}
    assert stores[1].default().model_id == "z"
    assert content_of(tmp_path / "user").keys() == {"models.json"}
    text = listing_with(tmp_path / "user" / "models.json", entry_values("d.pt"))
    assert json.loads(text)["default"] == "d"


def test_what_the_user_has_not_added_stays(
    stores: tuple[ModelStore, ModelStore], tmp_path: Path
) -> None:
    before = content_of(tmp_path)
    said = r"'z' was not added by the user and stays: it is in .*bundled; .* removed: a, b, c"
    with pytest.raises(BundleError, match=said):
        remove_model("z", *stores)
    with pytest.raises(BundleError, match="unknown model 'y'; models that can be removed: a, b, c"):
        remove_model("y", *stores)
    assert content_of(tmp_path) == before


def test_a_model_whose_file_is_gone_can_be_removed(
    stores: tuple[ModelStore, ModelStore], tmp_path: Path
) -> None:
    (tmp_path / "user" / "a.pt").unlink()
    remove_model("a", *stores)
    assert set(stores[0].entries()) == {"b", "c"}


def test_a_file_that_two_models_share_stays(tmp_path: Path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"), entry_values("a.pt", id="b"))
    store = ModelStore([tmp_path])
    remove_model("b", store, store)
    assert (tmp_path / "a.pt").exists()
    remove_model("a", store, store)
    assert not (tmp_path / "a.pt").exists()


@pytest.mark.parametrize("step", ["manifest", "rename"])
def test_a_failure_leaves_file_and_entry(
    stores: tuple[ModelStore, ModelStore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    before = content_of(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("the disk is read-only")

    with monkeypatch.context() as patch:
        if step == "manifest":
            patch.setattr("CTSAM3DLib.io.safe_write.temporary_beside", fail)
        else:
            patch.setattr(Path, "replace", fail)
        with pytest.raises(OutputFileError, match=r"cannot (write|remove) .*user"):
            remove_model("a", *stores)
    assert content_of(tmp_path) == before


def test_a_first_model_does_not_become_the_default_of_others(tmp_path: Path) -> None:
    """A manifest that names no default has its first model as default."""
    write_manifest(tmp_path, entry_values("a.pt"), entry_values("b.pt"))
    text = listing_with(tmp_path / "models.json", entry_values("new.pt"))
    assert json.loads(text)["default"] == "a"
    assert [one["id"] for one in json.loads(text)["models"]] == ["new", "a", "b"]


# ---- one at a time: threads, other processes, and processes that die

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
