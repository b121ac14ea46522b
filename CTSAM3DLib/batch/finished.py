"""What lies where a case shall be written: its own results, or what somebody else made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.case import Case
from CTSAM3DLib.io.content_mark import is_replaceable, mark_of


def marks_of(case: Case) -> dict[str, str | None]:
    """Return the mark of each file of a case, by kind; None for one that is not ours any more."""
    return {kind: mark_of(path) for kind, path in case.files.items()}


def changed_files(case: Case, earlier: Mapping[str, Any]) -> list[Path]:
    """Return the files of a case that hold something else than what this program wrote.

    `earlier` is its entry in the report of an earlier run, empty when there is none. The files are
    those that `is_replaceable` denies; one that was written before there were marks counts as
    unchanged when it has the size in the report. Raises OSError: a file cannot be read.
    """
    return [
        path
        for kind, path in case.files.items()
        if not is_replaceable(path) and not _has_old_size(path, kind, earlier)
    ]


def is_finished(case: Case, earlier: Mapping[str, Any], fingerprint: str | None) -> bool:
    """Tell whether an earlier run wrote exactly the files that lie there, from the same inputs."""
    if earlier.get("status") not in ("done", "skipped", "kept"):
        return False
    known = earlier.get("marks")
    marks = marks_of(case)
    same = (
        (isinstance(known, dict) and marks[kind] is not None and known.get(kind) == marks[kind])
        or _has_old_size(path, kind, earlier)
        for kind, path in case.files.items()
    )
    return fingerprint == earlier.get("fingerprint", "") and all(same)


def _has_old_size(path: Path, kind: str, earlier: Mapping[str, Any]) -> bool:
    """Tell whether a file is as large as a report without marks says."""
    sizes = earlier.get("bytes")
    return isinstance(sizes, dict) and path.exists() and path.stat().st_size == sizes.get(kind)
