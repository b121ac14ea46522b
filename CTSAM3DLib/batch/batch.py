"""Many cases in one run that can be interrupted, repeated and resumed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.case import Case, LoadedModel, run_case
from CTSAM3DLib.batch.finished import changed_files, is_finished, marks_of
from CTSAM3DLib.batch.report import now, write_report
from CTSAM3DLib.batch.table import BatchCase
from CTSAM3DLib.io.safe_write import write_text_atomically
from CTSAM3DLib.models.folder import locked_folder
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.version import __version__, versions

ModelSource = Callable[[], LoadedModel]
"""Loads the model; the batch calls it once, when the first case needs it."""

REPORT_NAME = "batch_report.json"
TABLE_NAME = "batch_report.csv"
_TABLE_COLUMNS = ("case", "status", "structure", "volume_cm3", "clicks", "seconds", "error")


class BatchRun:
    """Runs cases one after the other and keeps the reports of the batch up to date.

    A case that fails is noted and does not stop the others. A case that an earlier run into the
    same folder has finished is skipped as long as its CT, clicks and settings are the same. A case
    of which a file was changed by somebody else is kept as it is. Several runs may write into one
    folder at the same time.

    Parameters
    ----------
    output_dir : Path
        Folder of ``batch_report.json`` and ``batch_report.csv``, rewritten after each case.
    model : callable
        Loads the model.
    settings : mapping
        What else decides the result, such as model and spacing; a change makes cases run again.
    spacing_mm : float, optional
        See `open_session`.
    overwrite : bool
        Run finished cases again, and replace files that somebody changed.
    grow : bool or str
        See `open_session`.
    warn : callable, optional
        Told the warnings of a case, after its name, as they come.
    """

    def __init__(
        self,
        output_dir: Path,
        model: ModelSource,
        settings: Mapping[str, Any],
        spacing_mm: float | None = None,
        overwrite: bool = False,
        grow: bool | str = False,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = output_dir
        self._load_model = model
        self._loaded: LoadedModel | None = None
        chosen = {"spacing_mm": spacing_mm, "grow": GrowMode.of(grow)}
        self._settings = {**settings, **chosen, "version": __version__}
        self._spacing_mm = spacing_mm
        self._grow = grow
        self._warn = warn
        self._overwrite = overwrite
        self.entries: dict[str, dict[str, Any]] = {}

    @property
    def failed(self) -> list[str]:
        """Names of the cases that failed in this run."""
        return [name for name, entry in self.entries.items() if entry["status"] == "failed"]

    def run(self, item: BatchCase) -> dict[str, Any]:
        """Run one case, or skip it, and update the reports.

        Parameters
        ----------
        item : BatchCase
            One row of the table.

        Returns
        -------
        dict
            ``status`` is ``done``, ``skipped``, ``kept`` or ``failed``; a failed one has
            ``error``, a kept one ``changed``.

        Raises
        ------
        BundleError, DeviceError
            The model cannot be loaded.
        OSError
            The reports of the batch cannot be written.
        """
        try:
            entry = self._without_running(item)
        except OSError as error:
            entry = {**_base(item), **_failure(error)}
        self.entries[item.name] = entry or self._run(item, self._model())
        self._write_reports()
        return self.entries[item.name]

    def _without_running(self, item: BatchCase) -> dict[str, Any]:
        """Return the entry of a case that is finished or kept, empty for one that is to run."""
        if self._overwrite:
            return {}
        earlier = cases_of(self._folder / REPORT_NAME).get(item.name, {})
        changed = [str(path) for path in changed_files(item.case, earlier)]
        known = {key: value for key, value in earlier.items() if key not in ("changed", "error")}
        if changed:
            self._tell(
                item,
                f"kept {', '.join(changed)}, which was changed since this program wrote it, or "
                "which another program wrote. The option overwrite replaces it",
            )
            return {**_base(item), **known, "status": "kept", "changed": changed}
        if is_finished(item.case, earlier, self._mark(item.case)):
            return {**known, "status": "skipped"}
        return {}

    def _tell(self, item: BatchCase, text: str) -> None:
        """Pass on a warning with the name of its case."""
        if self._warn is not None:
            self._warn(f"{item.name}: {text}")

    def _run(self, item: BatchCase, model: LoadedModel) -> dict[str, Any]:
        """Run one case and return its entry; whatever happens to it must not stop the others."""
        entry = _base(item)
        mark = self._mark(item.case)
        try:
            _, report = run_case(
                item.case,
                model,
                self._spacing_mm,
                grow=self._grow,
                warn=lambda text: self._tell(item, text),
            )
            marks = marks_of(item.case)
        except Exception as error:
            return {**entry, **_failure(error)}
        return {**entry, "status": "done", "fingerprint": mark, "marks": marks, "report": report}

    def _mark(self, case: Case) -> str | None:
        """Return the fingerprint, None when a file is missing: reading it tells that better."""
        try:
            return fingerprint(case, self._settings)
        except OSError:
            return None

    def _model(self) -> LoadedModel:
        """Return the model, loaded once."""
        if self._loaded is None:
            self._loaded = self._load_model()
        return self._loaded

    def _write_reports(self) -> None:
        """Write both reports; the cases of other runs into the same folder stay in them."""
        with locked_folder(self._folder):
            entries = [*{**self.entries, **self._others()}.values()]
            content = {
                "created": now(),
                "versions": versions(),
                "settings": self._settings,
                "cases": entries,
            }
            write_report(self._folder / REPORT_NAME, content)
            write_text_atomically(self._folder / TABLE_NAME, table_text(entries))

    def _others(self) -> dict[str, dict[str, Any]]:
        """Return the entries of cases that this run has not reached."""
        written = cases_of(self._folder / REPORT_NAME)
        return {name: entry for name, entry in written.items() if name not in self.entries}


def _base(item: BatchCase) -> dict[str, Any]:
    """Return what every entry has."""
    return {"case": item.name, "ct": str(item.case.ct)}


def _failure(error: Exception) -> dict[str, Any]:
    """Return what the entry of a failed case has."""
    text = str(error).strip() or "no further details"
    return {"status": "failed", "error": f"{type(error).__name__}: {text}"}


def fingerprint(case: Case, settings: Mapping[str, Any]) -> str:
    """Return a mark that changes with a case's CT, clicks or settings.

    The CT counts by path, size and time of change, since reading it may take longer than the
    segmentation; clicks count by content.

    Raises
    ------
    OSError
        The CT or a clicks file is missing.
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


def cases_of(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of a batch report by name; none when there is no usable report."""
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        return {case["case"]: case for case in cases if isinstance(case["status"], str)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def table_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the report as CSV: one line for each structure, one for each failed or kept case.

    Examples
    --------
    >>> table_text([{"case": "a", "status": "failed", "error": "no"}]).splitlines()[1]
    'a,failed,,,,,no'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _TABLE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        base = {"case": entry["case"], "status": entry["status"]}
        if entry["status"] == "kept":  # what was measured then is not what lies there now
            names = ", ".join(entry.get("changed", ()))
            writer.writerow({**base, "error": f"changed by somebody else: {names}"})
            continue
        for structure in entry.get("report", {}).get("structures", []):
            row = {key: structure[key] for key in ("volume_cm3", "seconds")}
            count = sum(len(points) for points in structure["clicks"].values())
            writer.writerow({**base, "structure": structure["name"], "clicks": count, **row})
        if "error" in entry:
            writer.writerow({**base, "error": entry["error"]})
    return text.getvalue()
