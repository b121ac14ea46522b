"""Import of the authors' model from a file that the user has downloaded, on a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

STOP_S = 60.0


class ImportStopped(Exception):  # noqa: N818 - asked for, no error
    """The user or the panel's end has stopped it: nothing is written."""


class ModelImport:
    """One import on a thread of its own, which touches neither Slicer nor Qt.

    `run` is called on the thread with the path of the checkpoint, whether to replace a model of the
    same name, and a function that takes progress as text; it returns what was imported.
    """

    def __init__(self, run: Callable[..., Any], path: Path, replace: bool) -> None:
        self.path = path
        self.progress = ""
        self.imported: Any = None
        self.error: BaseException | None = None
        self._run, self._replace = run, replace
        self._stop = threading.Event()
        # Slicer waits for no thread that is a daemon; `stop` does.
        self._thread = threading.Thread(target=self._work, name="CTSAM3D import", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait a moment, so that the thread gets to run Python; True when it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end before its next step."""
        return self._stop.is_set()

    def ask_to_stop(self) -> None:
        """End it before its next step."""
        self._stop.set()

    def stop(self) -> None:
        """End it before its next step, and wait for that."""
        self.ask_to_stop()
        self.wait(STOP_S)

    def _work(self) -> None:
        try:
            self.imported = self._run(self.path, self._replace, self._report)
        except BaseException as error:  # told on the main thread
            self.error = error

    def _report(self, text: str) -> None:
        self.progress = text
        if self._stop.is_set():
            raise ImportStopped


def report_of(imported: Any) -> str:
    """Return what was added, in words."""
    if imported.has_cross_patch:
        cross_patch = _("with cross-patch predictor")
    else:
        cross_patch = _("without cross-patch predictor, which is not in the file")
    text = _(
        "{name} was added: CT-SAM3D {variant}, {keys} of {keys} weights checked, {cross_patch}, "
        "{size:.0f} MB. Choose it under Model; the one in use stays."
    )
    entry = imported.entry
    told = text.format(
        name=entry.model_id,
        variant=entry.variant,
        keys=imported.keys,
        cross_patch=cross_patch,
        size=entry.size_bytes / 1e6,
    )
    return " ".join([told, *(f"({note})" for note in imported.notes)])


def import_official(path: Path, replace: bool, report: Callable[[str], object]) -> Any:
    """Import a checkpoint; PyTorch is imported here and not before."""
    from CTSAM3DLib.bundles import importing

    return importing.import_official(importing.ImportRequest(path, replace=replace), report)
