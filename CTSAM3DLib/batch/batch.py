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
from CTSAM3DLib.batch.report import now, versions, write_report
from CTSAM3DLib.batch.table import BatchCase
from CTSAM3DLib.io.safe_write import write_text_atomically
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.version import __version__

ModelSource = Callable[[], LoadedModel]
"""Loads the model; the batch calls it once, when the first case needs it."""

REPORT_NAME = "batch_report.json"
TABLE_NAME = "batch_report.csv"
_TABLE_COLUMNS = ("case", "status", "structure", "volume_cm3", "clicks", "seconds", "error")


class BatchRun:
    """Runs cases one after the other and keeps the reports of the batch up to date.

    A case that fails is noted and does not stop the others. A case that an earlier run into the
    same folder has finished is skipped as long as its CT, clicks and settings are the same, and
    its files have the sizes that they had.

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
        Run finished cases again.
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
        self._earlier = {} if overwrite else finished_cases(output_dir / REPORT_NAME)
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
            ``status`` is ``done``, ``skipped`` or ``failed``; a failed one has ``error``.

        Raises
        ------
        BundleError, DeviceError
            The model cannot be loaded.
        OSError
            The reports of the batch cannot be written.
        """
        mark = self._mark(item.case)
        earlier = self._earlier.get(item.name)
        if earlier and mark == earlier.get("fingerprint", "") and _is_intact(earlier, item):
            entry = {**earlier, "status": "skipped"}
        else:
            entry = self._run(item, mark, self._model())
        self.entries[item.name] = entry
        self._write_reports()
        return entry

    def _run(self, item: BatchCase, mark: str | None, model: LoadedModel) -> dict[str, Any]:
        """Run one case and return its entry; whatever happens to it must not stop the others."""
        entry: dict[str, Any] = {"case": item.name, "ct": str(item.case.ct)}
        try:
            report = self._report(item, model)
            sizes = _sizes_bytes(item)
        except Exception as error:
            text = str(error).strip() or "no further details"
            return {**entry, "status": "failed", "error": f"{type(error).__name__}: {text}"}
        return {**entry, "status": "done", "fingerprint": mark, "bytes": sizes, "report": report}

    def _report(self, item: BatchCase, model: LoadedModel) -> dict[str, Any]:
        """Segment one CT, write its files and return its report."""

        def warn(text: str) -> None:
            if self._warn is not None:
                self._warn(f"{item.name}: {text}")

        _, report = run_case(item.case, model, self._spacing_mm, grow=self._grow, warn=warn)
        return report

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
        """Write both reports; what earlier runs finished and this one has not reached stays."""
        kept = {name: entry for name, entry in self._earlier.items() if name not in self.entries}
        entries = [*self.entries.values(), *kept.values()]
        content = {
            "created": now(),
            "versions": versions(),
            "settings": self._settings,
            "cases": entries,
        }
        write_report(self._folder / REPORT_NAME, content)
        write_text_atomically(self._folder / TABLE_NAME, table_text(entries))


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
        digest.update(f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    for path in case.clicks:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def finished_cases(path: Path) -> dict[str, dict[str, Any]]:
    """Return the cases that a report names as done; none when there is no usable report."""
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        return {case["case"]: case for case in cases if case["status"] in ("done", "skipped")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def table_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the report as CSV: one line for each structure, one for each failed case.

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
        for structure in entry.get("report", {}).get("structures", []):
            row = {key: structure[key] for key in ("volume_cm3", "seconds")}
            count = sum(len(points) for points in structure["clicks"].values())
            writer.writerow({**base, "structure": structure["name"], "clicks": count, **row})
        if "error" in entry:
            writer.writerow({**base, "error": entry["error"]})
    return text.getvalue()


def _sizes_bytes(item: BatchCase) -> dict[str, int]:
    """Return the size of each file of a case.

    Raises
    ------
    OSError
        A file is missing.
    """
    return {kind: path.stat().st_size for kind, path in item.case.files.items()}


def _is_intact(earlier: Mapping[str, Any], item: BatchCase) -> bool:
    """Whether all files of a finished case are there, each as large as it was."""
    try:
        return all(earlier["bytes"][kind] == size for kind, size in _sizes_bytes(item).items())
    except (OSError, KeyError, TypeError):  # a file is missing, or the report is damaged
        return False
