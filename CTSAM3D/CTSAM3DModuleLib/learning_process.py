"""The command `learn` as a process of its own, whose progress is read from a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import CTSAM3DLib

LOG, STOP = "learn.log", "stop"
SHOWN_LETTERS = 300


def learn_command(
    cases: Path, model_id: str, minutes: float, folder: Path, anew: bool = False
) -> list[str]:
    """Return the words of the command; one processor is left to Slicer."""
    python = shutil.which("PythonSlicer") or sys.executable
    threads = max(1, (os.cpu_count() or 2) - 1)
    words = [python, "-m", "CTSAM3DLib", "learn", str(cases), "--id", model_id, "--json"]
    words += ["--restart"] * anew
    options = {"--minutes": f"{minutes:g}", "--threads": str(threads), "--work-dir": str(folder)}
    return [*words, *(word for option in options.items() for word in option)]


class LearningProcess:
    """One run, which goes on while Slicer works; its folder holds its log."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._read = 0
        self.last: dict[str, Any] = {}
        self.words = ""
        (folder / STOP).unlink(missing_ok=True)
        root = str(Path(CTSAM3DLib.__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        with (folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )

    def poll(self) -> int | None:
        """Read what it has told since; the exit code once it has ended."""
        code = self._process.poll()
        with (self._folder / LOG).open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            found: Any = None
            with suppress(ValueError):
                found = json.loads(line)
            if isinstance(found, dict):
                self.last = found
            elif line.strip():
                self.words = line.strip()[:SHOWN_LETTERS]
        return code

    def ask_to_stop(self) -> None:
        """Let it save what it has learnt and end."""
        (self._folder / STOP).write_text("", encoding="utf-8")
