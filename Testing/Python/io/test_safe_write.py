"""Files that are complete or absent, and what is said when they cannot be written."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from CTSAM3DLib.errors import CTSAM3DError, OutputFileError
from CTSAM3DLib.io import safe_write as atomic_file
from CTSAM3DLib.io.safe_write import check_writable, write_text_atomically, written_atomically

CHOOSE = "Choose another folder or name"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with written_atomically(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match=re.escape("stop")):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "ct").write_text("")
    path = tmp_path / "ct" / "deeper" / "a.txt"
    text = f"cannot write {path}: {tmp_path / 'ct'} is a file, not a folder. {CHOOSE}"
    for write in (check_writable, lambda at: write_text_atomically(at, "")):
        with pytest.raises(OutputFileError) as caught:
            write(path)
        assert str(caught.value) == text
        assert isinstance(caught.value, CTSAM3DError)
        assert isinstance(caught.value, OSError)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.mkdir()
    text = f"cannot write {path}: a folder has this name. {CHOOSE}"
    for write in (check_writable, lambda at: write_text_atomically(at, "")):
        with pytest.raises(OutputFileError) as caught:
            write(path)
        assert str(caught.value) == text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["mkdir", "mkstemp", "write"])
def test_the_temporary_name_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / ".x1y2-a.txt"))

    if step == "mkdir":
        monkeypatch.setattr(Path, "mkdir", refuse)
    elif step == "mkstemp":
        monkeypatch.setattr(atomic_file.tempfile, "mkstemp", refuse)
    else:
        monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputFileError) as caught:
        write_text_atomically(tmp_path / "a.txt", "text")
    said = f"cannot write {tmp_path / 'a.txt'}: Permission denied. {CHOOSE}"
    assert str(caught.value) == said
    assert list(tmp_path.iterdir()) == []


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deeper" / "a.txt")
    (tmp_path / "old.txt").write_text("old")
    check_writable(tmp_path / "old.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_the_check_names_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(atomic_file.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputFileError, match=r"a\.txt: .*Read-only file system"):
        check_writable(tmp_path / "a.txt")


KILLED = """
import os, signal, sys
from CTSAM3DLib.io.safe_write import written_atomically
with written_atomically(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    root = Path(atomic_file.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.txt")], cwd=root, check=False
    )
    assert done.returncode == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    assert leftover.read_text() == "half"
    others = {".ctsam3d-notes", ".x1y2z3a4-a.txt", "ctsam3d-99-abcdefgh-a.txt"}
    for name in others:
        (tmp_path / name).write_text("of somebody else")
    folder = Path(f"{leftover}-folder")
    folder.mkdir()
    with written_atomically(tmp_path / "a.txt") as first:
        assert not leftover.exists()
        with written_atomically(tmp_path / "b.txt") as second:
            assert first.exists()
            second.write_text("b")
        first.write_text("a")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.txt", "b.txt", folder.name, *others}


def test_a_temporary_file_that_its_writer_replaces_is_no_leftover(tmp_path: Path) -> None:
    with written_atomically(tmp_path / "a.txt") as outer:
        with written_atomically(outer) as inner:
            inner.write_text("a")
        write_text_atomically(tmp_path / "b.txt", "b")
    assert (tmp_path / "a.txt").read_text() == "a"


@pytest.mark.parametrize("letter", ["x", "肝"])
def test_the_longest_names_can_be_written(tmp_path: Path, letter: str) -> None:
    name = letter * ((255 - len(".seg.nrrd")) // len(letter.encode())) + ".seg.nrrd"
    with written_atomically(tmp_path / name) as temporary:
        assert temporary.name.endswith(".seg.nrrd")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name == "nt", reason="no limit of that kind there")
def test_a_full_disk_leaves_the_old_file_and_one_plain_error(tmp_path: Path) -> None:
    code = """
import resource, sys
from CTSAM3DLib.io.safe_write import write_text_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text_atomically(sys.argv[1], "x" * 5000)
except OSError as error:
    print(error)
"""
    path = tmp_path / "a.txt"
    path.write_text("old")
    root = Path(atomic_file.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    said = f"cannot write {path}: File too large. {CHOOSE}\n"
    assert done.stdout == said
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
