"""Check text files: UTF-8, LF line ends, no blanks at line ends, one final newline, JSON, size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LARGEST_KB = 500
# Model bundles, sample data and pictures may be larger; the packaging tests limit them together.
LARGE_FOLDERS = ("Resources/Models/", "Resources/SampleData/", "Resources/Screenshots/")


def faults(path: Path, name: str) -> list[str]:
    """Return what is wrong with one file, as sentences that start with its name."""
    content = path.read_bytes()
    found = []
    if len(content) > LARGEST_KB * 1024 and not name.startswith(LARGE_FOLDERS):
        found.append(f"{name}: {len(content) // 1024} kB, at most {LARGEST_KB} kB are allowed here")
    if b"\0" in content[:8000] or not content:
        return found
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return [*found, f"{name}: no UTF-8 ({error.reason})"]
    if "\r" in text:
        found.append(f"{name}: CR line ends, only LF is allowed")
    if any(line != line.rstrip(" \t") for line in text.split("\n")):
        found.append(f"{name}: blanks at the end of a line")
    if not text.endswith("\n") or text.endswith("\n\n"):
        found.append(f"{name}: must end with exactly one newline")
    if path.suffix == ".json":
        try:
            json.loads(text)
        except ValueError as error:
            found.append(f"{name}: invalid JSON ({error})")
    return found


if __name__ == "__main__":
    everything = [fault for name in sys.argv[1:] for fault in faults(Path(name), name)]
    sys.exit("\n".join(everything) or 0)
