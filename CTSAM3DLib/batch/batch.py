"""Many cases in one run that can be interrupted, repeated and resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.case import LoadedModel
from CTSAM3DLib.batch.records import PAGE_NAME, REPORT_NAME, TABLE_NAME, BatchRecords
from CTSAM3DLib.batch.runner import CaseRunner, ModelSource, finished_of
from CTSAM3DLib.batch.table import BatchCase

__all__ = ["PAGE_NAME", "REPORT_NAME", "TABLE_NAME", "BatchRun"]


class BatchRun:
    """Runs cases one after the other and keeps the reports of the batch up to date.

    A case that fails is noted and does not stop the others. A case that an earlier run into the
    same folder has finished is skipped as long as its CT, clicks and `settings` are the same: what
    decides the result, such as model and spacing. A case of which a file was changed by somebody
    else is kept as it is. `overwrite` runs finished cases again, and replaces such files. Several
    runs may write into one folder at the same time.

    `output_dir` gets ``batch_report.json``, ``batch_report.csv`` and, by `finish`,
    ``batch_report.html``. `model` loads the model, `warn` is told the warnings of a case, after its
    name, as they come. For `spacing_mm` and `grow` see `open_session`, for `resume` see
    `CaseRunner`.
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
        resume: bool = False,
    ) -> None:
        self.runner = CaseRunner(settings, spacing_mm, grow, overwrite, resume)
        self.records = BatchRecords(output_dir, self.runner.all_settings)
        self._load_model = model
        self._loaded: LoadedModel | None = None
        self._warn = warn
        self.entries: dict[str, dict[str, Any]] = {}

    @property
    def failed(self) -> list[str]:
        """Names of the cases that failed in this run."""
        return [name for name, entry in self.entries.items() if entry["status"] == "failed"]

    def run(self, item: BatchCase) -> dict[str, Any]:
        """Run the case of one row, or skip it, and keep its entry; see `CaseRunner.entry`.

        Raises BundleError, DeviceError: the model cannot be loaded; OSError: the reports of the
        batch cannot be written.
        """
        earlier = self.records.earlier(item.name)
        return self.note([self.runner.entry(item, earlier, self._model, self.tell)])[0]

    def note(self, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep the entries of cases, wherever they ran, and return them; OSError as in `run`.

        A failure does not forget that an earlier run finished the case.
        """
        kept = [self._with_finished(entry) for entry in entries]
        self.entries |= {entry["case"]: entry for entry in kept}
        if kept:
            self.records.note(*kept)
        return kept

    def _with_finished(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry, in a failed one what an earlier run has finished."""
        finished = finished_of(self.records.earlier(entry["case"]))
        if entry["status"] == "failed" and finished:
            return {**entry, "finished": finished}
        return entry

    def tell(self, text: str) -> None:
        """Pass on a warning."""
        if self._warn is not None:
            self._warn(text)

    def finish(self) -> None:
        """Write the reports and the page of all cases; OSError as in `run`."""
        self.records.finish()

    def _model(self) -> LoadedModel:
        if self._loaded is None:
            self._loaded = self._load_model()
        return self._loaded
