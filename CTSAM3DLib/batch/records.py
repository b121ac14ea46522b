"""What a batch knows of its cases on disk: a journal of every case, and the reports made of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.page import write_page
from CTSAM3DLib.batch.report import SHAPE_COLUMNS, csv_text, now, shape_row, write_report
from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.io.safe_write import write_text_atomically
from CTSAM3DLib.io.text import json_content
from CTSAM3DLib.models.folder import locked_folder
from CTSAM3DLib.version import versions

_LOG = logging.getLogger(__name__)
REPORT_NAME = "batch_report.json"
TABLE_NAME = "batch_report.csv"
PAGE_NAME = "batch_report.html"
DAMAGED_NAME = "batch_report.damaged.json"
JOURNAL_NAME = "batch_journal.jsonl"
_TABLE_COLUMNS = (
    *("case", "status", "structure", "volume_cm3", "clicks", "seconds", "error"),
    *SHAPE_COLUMNS,
)
_ALWAYS = 50
_FRACTION = 10

Entry = dict[str, Any]


class BatchRecords:
    """The entries of a batch on disk, so that no finished case is lost when a run is killed.

    Each case becomes a line of the journal at once. The reports hold all cases, and the settings of
    the run; they are rewritten after every case of a small batch, in larger ones when they are a
    tenth longer, and by `finish`. Then the journal goes. A table that somebody changed, for example
    by remarks, is kept under another name.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._settings = settings
        self._own: dict[str, Entry] = {}
        self._known: dict[str, Entry] = {}
        self._seen: tuple[int, ...] = ()
        self._damaged = False
        self._table = ""
        self._since = 0

    def earlier(self, name: str) -> Entry:
        """Return the entry that a case has on disk, or nothing; OutputFileError: unreadable."""
        if self._stamp() != self._seen:
            self._read()
        return self._known.get(name, {})

    def note(self, *entries: Entry) -> None:
        """Keep the entries of cases; OutputFileError: the folder cannot be written."""
        for entry in entries:
            self._own[entry["case"]] = self._known[entry["case"]] = entry
        self._since += len(entries)
        if self._since * _FRACTION >= len(self._known) or len(self._known) <= _ALWAYS:
            self._write()
            return
        lines = "".join(json.dumps(entry, ensure_ascii=True) + "\n" for entry in entries)
        try:
            with locked_folder(self._folder), (self._folder / JOURNAL_NAME).open("ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            text = f"cannot write {self._folder / JOURNAL_NAME}: {error}. Free some space"
            raise OutputFileError(text) from error

    def finish(self) -> None:
        """Write reports and page of all cases; OutputFileError: the folder cannot be written."""
        self._write()
        write_page(self._folder / PAGE_NAME, self._known.values(), now())

    def _write(self) -> None:
        """Write both reports; the cases of other runs into the same folder stay in them."""
        with locked_folder(self._folder):
            self._read()
            if self._damaged:
                (self._folder / REPORT_NAME).replace(self._folder / DAMAGED_NAME)
            self._keep_changed_table()
            entries = [*self._known.values()]
            table = table_text(entries)
            content = {
                "created": now(),
                "versions": versions(),
                "settings": self._settings,
                "table_sha256": _digest(table.encode("utf-8", "backslashreplace")),
                "cases": entries,
            }
            write_report(self._folder / REPORT_NAME, content)
            write_text_atomically(self._folder / TABLE_NAME, table)
            (self._folder / JOURNAL_NAME).unlink(missing_ok=True)
            self._seen = self._stamp()
            self._since = 0

    def _keep_changed_table(self) -> None:
        """Rename the table when somebody changed it; OutputFileError: it cannot be renamed."""
        path = self._folder / TABLE_NAME
        try:
            if not self._table or not path.exists() or _digest(path.read_bytes()) == self._table:
                return
            others = (path.with_name(f"batch_report.changed-{n}.csv") for n in count(1))
            kept = next(other for other in others if not other.exists())
            path.rename(kept)
        except OSError as error:
            text = f"cannot keep {path}, which was changed: {error}. Close what has it open"
            raise OutputFileError(text) from error
        _LOG.warning("%s was changed since it was written, and is kept as %s", path, kept.name)

    def _read(self) -> None:
        """Read what runs have written, this one's cases first."""
        seen = self._stamp()
        try:
            journal = _journal(self._folder / JOURNAL_NAME)
            written, self._damaged, self._table = reported(self._folder / REPORT_NAME)
        except OSError as error:
            text = f"cannot read the earlier report: {error}. Close what has it open, then resume"
            raise OutputFileError(text) from error
        written |= journal
        self._known = {**self._own, **{k: v for k, v in written.items() if k not in self._own}}
        self._seen = seen

    def _stamp(self) -> tuple[int, ...]:
        """Return what changes when another run writes the report."""
        try:
            status = (self._folder / REPORT_NAME).stat()
        except OSError:
            return (0,)
        return status.st_mtime_ns, status.st_size, status.st_ino


def reported(path: Path) -> tuple[dict[str, Entry], bool, str]:
    """Return the entries of a report by name, whether it is damaged, and the table's checksum."""
    try:
        content = json_content(path.read_bytes().decode("utf-8-sig"))
        cases = {one["case"]: one for one in content["cases"] if isinstance(one["status"], str)}
        return cases, False, str(content.get("table_sha256", ""))
    except FileNotFoundError:
        return {}, False, ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}, True, ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _journal(path: Path) -> dict[str, Entry]:
    """Return the entries of a journal, without a last line that was cut off."""
    found = {}
    with suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                if isinstance(entry["status"], str):
                    found[entry["case"]] = entry
    return found


def table_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the report as CSV: one line for each structure, one for each failed or kept case."""
    rows = []
    for entry in entries:
        base = {"case": entry["case"], "status": entry["status"]}
        if entry["status"] == "kept":  # what was measured then is not what lies there now
            names = ", ".join(entry.get("changed", ()))
            rows.append({**base, "error": f"changed by somebody else: {names}"})
            continue
        for structure in entry.get("report", {}).get("structures", []):
            row = {key: structure[key] for key in ("volume_cm3", "seconds")}
            count = sum(len(points) for points in structure["clicks"].values())
            row |= shape_row(structure)
            rows.append({**base, "structure": structure["name"], "clicks": count, **row})
        if "error" in entry:
            rows.append({**base, "error": entry["error"]})
    return csv_text(_TABLE_COLUMNS, rows)
