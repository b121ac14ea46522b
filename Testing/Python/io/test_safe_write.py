"""Files that are complete or absent, and what is said when they cannot be written."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from CTSAM3DLib.errors import CTSAM3DError, OutputFileError
from CTSAM3DLib.io import safe_write as atomic_file
from CTSAM3DLib.io.safe_write import check_writable, write_text_atomically, written_atomically


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
    text = f"cannot write {path}: expected a writable folder, got the file {tmp_path / 'ct'}"
    for write in (check_writable, lambda at: write_text_atomically(at, "")):
        with pytest.raises(OutputFileError) as caught:
            write(path)
        assert str(caught.value) == text
        assert isinstance(caught.value, CTSAM3DError)
        assert isinstance(caught.value, OSError)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.mkdir()
    text = f"cannot write {path}: expected a writable folder, got a folder of that name"
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
    said = f"cannot write {tmp_path / 'a.txt'}: expected a writable folder, got Permission denied"
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
    with pytest.raises(OutputFileError, match=r"a\.txt: .*got Read-only file system"):
        check_writable(tmp_path / "a.txt")
