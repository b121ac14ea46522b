"""The checks of files and commit messages accept what is right and name what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import check_commit_message
import check_files
import pytest


@pytest.mark.parametrize(
    "message",
    [
        "feat(session): clicks anywhere refine one structure\n",
        "fix!: other sign of the third axis\n\nThe files of 0.1 are read as before.\n",
        "fixup! docs: words\n",
    ],
)
def test_conventional_message_is_accepted(message: str) -> None:
    assert check_commit_message.fault(message) == ""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("new things\n", "expected 'type(scope): summary'"),
        ("feature: new things\n", "expected 'type(scope): summary'"),
        ("feat: " + "x" * 101, "expected 'type(scope): summary'"),
        ("feat: one\ntwo\n", "expected an empty line"),
    ],
)
def test_other_message_is_refused(message: str, said: str) -> None:
    assert said in check_commit_message.fault(message)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.py", b"x = 1 \n", "blanks at the end of a line"),
        ("a.py", b"x = 1\r\n", "CR line ends"),
        ("a.py", b"x = 1", "exactly one newline"),
        ("a.py", b"x = 1\n\n", "exactly one newline"),
        ("a.txt", b"\xff\n", "no UTF-8"),
        ("a.json", b"{,}\n", "invalid JSON"),
        ("a.png", b"\0" * (501 * 1024), "at most 500 kB"),
        ("a.py", b"x = 1\n" * 351, "351 lines, at most 350 are allowed"),
    ],
)
def test_fault_of_a_file_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (fault,) = check_files.faults(path, name)
    assert fault.startswith(f"{name}: ")
    assert said in fault


@pytest.mark.parametrize("content", [b"", b"\0\1\r \n", b'{"a": 1}\n'])
def test_clean_and_binary_files_pass(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert check_files.faults(path, "a.json") == []


@pytest.mark.parametrize(
    ("name", "lines"), [("a.py", 350), ("a.txt", 351), ("CTSAM3DLib/session/session.py", 351)]
)
def test_file_that_is_short_no_python_or_listed_passes(
    tmp_path: Path, name: str, lines: int
) -> None:
    path = tmp_path / Path(name).name
    path.write_bytes(b"x = 1\n" * lines)
    assert check_files.faults(path, name) == []


def test_each_long_file_has_a_reason() -> None:
    assert all(len(reason) > 15 for reason in check_files.LONG_FILES.values())
    assert all(name.endswith(".py") for name in check_files.LONG_FILES)


def test_large_model_bundle_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "bundle.pt"
    path.write_bytes(b"\0" * (501 * 1024))
    assert check_files.faults(path, "Resources/Models/bundle.pt") == []


def test_actions_are_pinned_by_commit(repository: Path) -> None:
    for path in (repository / ".github" / "workflows").glob("*.yml"):
        uses = re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
        assert uses
        assert [name for name in uses if not re.fullmatch(r"[^@]+@[0-9a-f]{40}", name)] == []
