"""Adding the authors' model from a file that the user has downloaded, and removing it again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError, ModelExistsError
from CTSAM3DLib.models.folder import remove_model
from CTSAM3DLib.models.store import ModelStore
from CTSAM3DModuleLib.panel.choice import ChoiceSection
from CTSAM3DModuleLib.widgets import Guarded

POLL_MS = 100
JOIN_S = 0.05
STOP_S = 60.0
ERROR_STYLE = "color: #c03000"


class ImportStopped(Exception):  # noqa: N818 - asked for, no error
    """The user or the panel's end has stopped it: nothing is written."""


class ModelImport:
    """One import on a thread of its own, which touches neither Slicer nor Qt.

    Parameters
    ----------
    run : callable
        Called on the thread with path, whether to replace, and a function that takes progress in
        words; returns what was imported.
    path : Path
        The checkpoint.
    replace : bool
        Replace a model of the same name.
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


class ModelSection:
    """The buttons that add and remove models, and a line that tells how it goes.

    Parameters
    ----------
    ui : namespace
        With `addModelButton`, `removeModelButton`, `modelStatusLabel` and `modelBox`.
    choice : ChoiceSection
        Lists the models.
    on_changed : callable
        Called without arguments when models were added or removed: loaded ones may be stale.
    """

    def __init__(self, ui: Any, choice: ChoiceSection, on_changed: Callable[[], object]) -> None:
        self.torch_reason = ""
        self.choose_file: Callable[[], str] = _choose_file
        self.run_import: Callable[..., Any] = _import_official
        self._label, self._box = ui.modelStatusLabel, ui.modelBox
        self._choice, self._on_changed = choice, on_changed
        self._job: ModelImport | None = None
        self._own: set[str] = set()
        self._add = Guarded(ui.addModelButton, self._on_add)
        self._add_text = ui.addModelButton.text
        self._remove = Guarded(ui.removeModelButton, self._on_remove)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        self._box.connect("currentIndexChanged(int)", self._on_choice)
        self._tell("")
        self._list()

    @property
    def busy(self) -> bool:
        """Whether a model is being added."""
        return self._job is not None

    def show(self) -> None:
        """Show what can be done now."""
        waiting = _("Wait until the model is added.") if self.busy else ""
        self._add.button.text = _("Cancel") if self.busy else self._add_text
        if self._job is None:
            self._add.allow(self.torch_reason)
        elif self._job.stopping:
            self._add.allow(_("It stops when this step has ended."))
        else:
            self._add.allow()
            self._add.button.toolTip = _("Stop adding the model; nothing is changed.")
        not_own = "" if self._selected() in self._own else _("This model was not added here.")
        self._remove.allow(waiting or not_own)

    def release(self) -> None:
        """Stop an import under way, which leaves nothing, and disconnect."""
        self._timer.stop()
        if self._job is not None:
            self._job.stop()
            self._job = None
        self._add.button.text = self._add_text
        self._add.release()
        self._remove.release()
        self._box.disconnect("currentIndexChanged(int)", self._on_choice)

    # ---- adding

    def _on_add(self) -> None:
        if self._job is not None:
            self._job.ask_to_stop()
            self.show()
            return
        path = self.choose_file()
        if path:
            self._start(Path(path), replace=False)

    def _start(self, path: Path, replace: bool) -> None:
        self._job = ModelImport(self.run_import, path, replace)
        self._tell(_("Adding {name} ...").format(name=path.name))
        self._timer.start()
        self.show()

    def _poll(self) -> None:
        job = self._job
        if job is None:
            self._timer.stop()
        elif job.wait(JOIN_S):
            self._timer.stop()
            self._job = None
            self._finish(job)
        elif job.progress:
            text = _("Adding {name}: {step} ...")
            self._tell(text.format(name=job.path.name, step=job.progress))

    def _finish(self, job: ModelImport) -> None:
        if isinstance(job.error, ModelExistsError):
            question = _("{problem}.\n\nReplace it?").format(problem=job.error)
            if slicer.util.confirmYesNoDisplay(question):
                self._start(job.path, replace=True)
                return
            self._tell(_("Nothing was changed."))
        elif isinstance(job.error, ImportStopped):
            text = _("Adding {name} was cancelled; nothing was changed.")
            self._tell(text.format(name=job.path.name))
        elif isinstance(job.error, ImportError):
            self._tell(_("PyTorch is needed to read the file: see the top of this panel."), True)
        elif isinstance(job.error, MemoryError):
            self._tell(_("There is not enough memory to read the file."), True)
        elif job.error is not None:
            problem = str(job.error) or type(job.error).__name__
            self._tell(_("Nothing was added. {problem}").format(problem=problem), True)
        else:
            self._changed()
            self._tell(_added(job.imported))
        self.show()

    # ---- removing

    def _on_remove(self) -> None:
        name = self._selected()
        question = _(
            "Remove the model {name} from this computer? Segmentations stay. It can be added again "
            "from the file that you have downloaded."
        )
        if not slicer.util.confirmYesNoDisplay(question.format(name=name)):
            return
        try:
            remove_model(name)
        except CTSAM3DError as error:
            self._tell(str(error), True)
            return
        parameters = self._choice.parameters
        if parameters is not None and parameters.model == name:
            parameters.model = ""
        self._changed()
        self._tell(_("{name} was removed.").format(name=name))

    # ---- inside

    def _selected(self) -> str:
        return self._box.currentData or ""

    def _on_choice(self, index: int) -> None:
        self.show()

    def _changed(self) -> None:
        self._choice.list_models()
        self._on_changed()
        self._list()

    def _list(self) -> None:
        """Look which models can be removed."""
        try:
            self._own = set(ModelStore.user().entries())
        except CTSAM3DError:  # a manifest that cannot be read
            self._own = set()
        self.show()

    def _tell(self, text: str, is_error: bool = False) -> None:
        self._label.text = text
        self._label.visible = bool(text)
        self._label.styleSheet = ERROR_STYLE if is_error else ""


def _added(imported: Any) -> str:
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


def _choose_file() -> str:
    """Ask the user for a file; empty if none."""
    return qt.QFileDialog.getOpenFileName(
        slicer.util.mainWindow(),
        _("Add model: the checkpoint of CT-SAM3D's authors"),
        "",
        _("PyTorch checkpoint") + " (*.pth *.pt)",
    )


def _import_official(path: Path, replace: bool, report: Callable[[str], object]) -> Any:
    """Import a checkpoint; PyTorch is imported here and not before."""
    from CTSAM3DLib.bundles.importing import ImportRequest, import_official

    return import_official(ImportRequest(path, replace=replace), report)
