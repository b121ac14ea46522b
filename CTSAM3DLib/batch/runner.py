"""One case of a batch: is it finished, is it to be kept, or is it to run. Sent to workers as is."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.case import Case, LoadedModel, run_case
from CTSAM3DLib.batch.table import BatchCase
from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.io.content_mark import is_replaceable, mark_of
from CTSAM3DLib.version import __version__

ModelSource = Callable[[], LoadedModel]
"""Loads the model."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class CaseRunner:
    """What decides the result of every case of a batch."""

    settings: Mapping[str, Any]  # What else decides the result, such as the checksum of the model
    spacing_mm: float | None = None  # See `open_session`
    grow: bool | str = False  # See `open_session`
    overwrite: bool = False  # Run finished cases again, and replace files that somebody changed
    resume: bool = False  # Believe the entry of a finished case without reading its files again

    @property
    def all_settings(self) -> dict[str, Any]:
        """Everything of which a change makes a case run again."""
        from CTSAM3DLib.session.growing_rules import GrowMode

        chosen = {"spacing_mm": self.spacing_mm, "grow": GrowMode.of(self.grow)}
        return {**self.settings, **chosen, "version": __version__}

    def entry(
        self,
        item: BatchCase,
        earlier: Mapping[str, Any],
        model: ModelSource,
        warn: Callable[[str], None],
    ) -> Entry:
        """Run the case of one row, or tell why not.

        `earlier` is its entry in the reports, empty when there is none; `model` gives the model
        when it is needed; `warn` is told the warnings, after the name of the case. The ``status``
        of the new entry is ``done``, ``skipped``, ``kept`` or ``failed``; a failed one has
        ``error``, a kept one ``changed``. Raises BundleError, DeviceError: the model cannot be
        loaded.
        """
        if item.error:
            return failed(item, OutputFileError(item.error))

        def tell(text: str) -> None:
            warn(f"{item.name}: {text}")

        earlier = finished_of(earlier)
        try:
            entry = self._without_running(item, earlier, tell)
        except OSError as error:
            entry = failed(item, error)
        return entry or self._run(item, model(), tell)

    def _without_running(
        self, item: BatchCase, earlier: Mapping[str, Any], tell: Callable[[str], None]
    ) -> Entry:
        """Return the entry of a case that is finished or kept, empty for one that is to run."""
        if self.overwrite:
            return {}
        known = {key: value for key, value in earlier.items() if key not in ("changed", "error")}
        mark = self._mark(item.case)
        if self.resume and earlier.get("status") in ("done", "skipped") and mark is not None:
            there = all(path.is_file() for path in item.case.files.values())
            if there and mark == earlier.get("fingerprint"):
                return {**known, "status": "skipped"}
        changed = [str(path) for path in changed_files(item.case, earlier)]
        if changed:
            tell(
                f"kept {', '.join(changed)}, which was changed since this program wrote it, or "
                "which another program wrote. The option overwrite replaces it"
            )
            return {**_base(item), **known, "status": "kept", "changed": changed}
        if is_finished(item.case, earlier, mark):
            return {**known, "status": "skipped"}
        return {}

    def _run(self, item: BatchCase, model: LoadedModel, tell: Callable[[str], None]) -> Entry:
        """Run one case and return its entry; whatever happens to it must not stop the others."""
        mark = self._mark(item.case)
        try:
            _, report = run_case(item.case, model, self.spacing_mm, grow=self.grow, warn=tell)
            marks = marks_of(item.case)
        except Exception as error:
            return failed(item, error)
        done = {"status": "done", "fingerprint": mark, "marks": marks, "report": report}
        return {**_base(item), **done}

    def _mark(self, case: Case) -> str | None:
        """Return the fingerprint, None when a file is missing: reading it tells that better."""
        try:
            return fingerprint(case, self.all_settings)
        except OSError:
            return None


def _base(item: BatchCase) -> Entry:
    return {"case": item.name, "ct": str(item.case.ct)}


def failed(item: BatchCase, error: Exception) -> Entry:
    """Return the entry of a failed case."""
    text = str(error).strip() or "no further details"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        text += ". Give shorter names, that of the result in the column output"
    return {**_base(item), "status": "failed", "error": f"{type(error).__name__}: {text}"}


def finished_of(earlier: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the last run that did not fail told of a case: a failure keeps that."""
    finished: Mapping[str, Any] = earlier.get("finished", {})
    return finished if earlier.get("status") == "failed" else earlier


def fingerprint(case: Case, settings: Mapping[str, Any]) -> str:
    """Return a mark that changes with a case's CT, clicks or settings.

    The CT counts by path, size and time of change, since reading it may take longer than the
    segmentation; clicks count by content. Raises OSError: the CT or a clicks file is missing.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    files = sorted(case.ct.rglob("*")) if case.ct.is_dir() else [case.ct]
    for file in files:
        status = file.stat()
        line = f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    for path in case.clicks:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


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


def is_finished(case: Case, earlier: Mapping[str, Any], mark: str | None) -> bool:
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
    return mark == earlier.get("fingerprint", "") and all(same)


def _has_old_size(path: Path, kind: str, earlier: Mapping[str, Any]) -> bool:
    """Tell whether a file is as large as a report without marks says."""
    sizes = earlier.get("bytes")
    return isinstance(sizes, dict) and path.exists() and path.stat().st_size == sizes.get(kind)
