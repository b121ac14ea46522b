"""Learn from these segmentations: chosen in the scene or a folder, learnt by another process."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.models import store
from CTSAM3DModuleLib.learning_cases import write_cases
from CTSAM3DModuleLib.learning_process import LearningProcess, learn_command
from CTSAM3DModuleLib.widgets import Connections, show_line, timer

POLL_MS = 500
STOPPED, INSTALLED, NOT_BETTER = 130, 0, 1
SCENE_CASES = "cases"


class LearningSection:
    """Chooses cases, starts and stops the process, shows its progress and what came of it.

    `use` is called with the id of a model that the selected structure is to use, and returns what
    to tell; `on_installed` is called without arguments when there is one more model.
    """

    def __init__(
        self,
        ui: Any,
        connections: Connections,
        use: Callable[[str], str],
        on_installed: Callable[[], object],
    ) -> None:
        self.volume: Any = None
        self.torch_reason = self.segment_reason = ""
        self.command: Callable[..., list[str]] = learn_command
        self.choose_folder: Callable[[], str] = _choose_folder
        self._use, self._on_installed = use, on_installed
        self._process: LearningProcess | None = None
        self._model, self._work, self._report = "", Path(), Path()
        self._stopping = False
        self._shown: list[tuple[str, str]] = []
        self._installed = False
        self.list, self.bar, self.label = ui.learningList, ui.learningBar, ui.learningLabel
        self.name_edit, self.minutes_box = ui.learningNameEdit, ui.learningMinutesBox
        self.anew_box = ui.learningAnewBox
        self.learn_button, self.folder_button = ui.learnButton, ui.learnFolderButton
        self.use_button, self.report_button = ui.useModelButton, ui.learningReportButton
        self.bar.visible = False
        self._timer = timer(POLL_MS, self._poll)
        self._buttons = [
            connections.button(self.learn_button, self._on_learn),
            connections.button(self.folder_button, self._on_folder),
            connections.button(self.use_button, self._on_use),
            connections.button(self.report_button, self._on_report),
        ]
        self._say("")
        self.show()

    @property
    def busy(self) -> bool:
        """Whether something is being learnt."""
        return self._process is not None

    def show(self) -> None:
        """Show what can be learnt from, and what can be done now."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        listed = [(node.GetID(), node.GetName()) for node in nodes if not node.GetHideFromEditors()]
        if listed != self._shown:
            self._list(listed)
        learn, folder, use, report = self._buttons
        self.learn_button.text = _("Cancel") if self.busy else _("Learn from these segmentations")
        if self.busy:
            learn.allow(_("It stops when this step has ended.") if self._stopping else "")
            folder.allow(_("Wait until this is learnt."))
        else:
            learn.allow(self.torch_reason or ("" if listed else _("There is no segmentation yet.")))
            folder.allow(self.torch_reason)
        ready = self._report.is_file() and not self.busy
        report.allow("" if ready else _("Nothing has been learnt yet."))
        has_model = bool(self._model) and ready and self._installed
        use.allow(self.segment_reason if has_model else _("There is no new model yet."))

    def release(self) -> None:
        """Have the process save what it has learnt and end; nobody waits for it.

        It is not killed: `PythonSlicer` may be a launcher, whose child would go on.
        """
        self._timer.stop()
        if self._process is not None:
            with suppress(OSError):
                self._process.ask_to_stop()
            self._process = None
            self._drop_cases()

    # ---- inside

    def _list(self, listed: list[tuple[str, str]]) -> None:
        checked = self._checked()
        self._shown = listed
        self.list.clear()
        for identifier, name in listed:
            item = qt.QListWidgetItem(name)
            item.setFlags(item.flags() | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Checked if identifier in checked else qt.Qt.Unchecked)
            self.list.addItem(item)

    def _checked(self) -> list[str]:
        """Return the ids of the segmentations that are checked."""
        return [
            identifier
            for n, (identifier, _name) in enumerate(self._shown)
            if self.list.item(n).checkState() == qt.Qt.Checked
        ]

    def _on_learn(self) -> None:
        if self._process is not None:
            self._stopping = True
            self._process.ask_to_stop()
            self._say(_("It stops when this step has ended ..."))
            self.show()
            return
        chosen = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in self._checked()]
        if not chosen:
            self._say(_("Check at least one segmentation in the list."), True)
        elif self._begin():
            self._start_with(chosen)

    def _on_folder(self) -> None:
        path = self.choose_folder()
        if path and self._begin():
            self._start(Path(path))

    def _begin(self) -> bool:
        """Take the name; False where it can be none, or that of a model that is there."""
        name = self.name_edit.text.strip()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            self._say(_("The name of a model has letters, digits, '.', '_' and '-' only."), True)
            return False
        try:
            store.check_new_id(name, store.user_models_folder(), self.anew_box.checked)
        except CTSAM3DError as error:
            self._say(str(error), True)
            return False
        self._model = name
        self._work = store.user_models_folder().parent / "learning" / name
        self._report, self._installed = self._work / "report.md", False
        return True

    def _start_with(self, segmentations: list[Any]) -> None:
        """Write segmentations of the scene as cases and start."""
        folder = self._work / SCENE_CASES
        self._drop_cases()
        try:
            with slicer.util.WaitCursor():
                count = write_cases(folder, segmentations, self.volume)
        except (CTSAM3DError, OSError, ImportError) as error:
            self._drop_cases()
            self._say(str(error), True)
            return
        if count:
            self._start(folder)
        else:
            self._say(_("The checked segmentations are empty."), True)

    def _drop_cases(self) -> None:
        """Leave no CT behind."""
        shutil.rmtree(self._work / SCENE_CASES, ignore_errors=True)

    def _start(self, cases: Path) -> None:
        minutes, anew = self.minutes_box.value, self.anew_box.checked
        words = self.command(cases, self._model, minutes, self._work, anew)
        try:
            self._report.unlink(missing_ok=True)
            self._process = LearningProcess(words, self._work)
        except OSError as error:
            self._drop_cases()
            self._say(_("It cannot be started: {problem}").format(problem=error), True)
            return
        self._stopping = self.anew_box.checked = False  # a stopped run goes on when asked again
        self.bar.value = 0
        self.bar.visible = True
        self._say(_("Starting ..."))
        self._timer.start()
        self.show()

    def _poll(self) -> None:
        process = self._process
        if process is None:
            return
        code = process.poll()
        last = process.last
        if code is None:
            if last and not self._stopping:
                self._say(_progress_text(last))
                self.bar.value = round(100 * float(last.get("share") or 0.0))
            return
        self._timer.stop()
        self._process = None
        self.bar.visible = False
        self._drop_cases()
        self._finish(code, str(last.get("text", "")), process.words)
        self.show()

    def _finish(self, code: int, verdict: str, words: str) -> None:
        if code == INSTALLED:
            self._installed = True
            self._on_installed()
            added = _("{name} was added under Model; the one in use stays.")
            self._say(f"{verdict} {added.format(name=self._model)}")
        elif code == NOT_BETTER and verdict:
            self._say(verdict + " " + _("It was not added."))
        elif code == STOPPED:
            self._say(_("Stopped. Learning the same again goes on from there."))
        else:
            problem = words.removeprefix("error: ") or _("exit code {code}").format(code=code)
            self._say(_("Nothing was learnt: {problem}").format(problem=problem), True)

    def _on_use(self) -> None:
        self._say(self._use(self._model))

    def _on_report(self) -> None:
        slicer.util.infoDisplay(self._report.read_text(encoding="utf-8"), windowTitle=self._model)

    def _say(self, text: str, is_error: bool = False) -> None:
        show_line(self.label, text, is_error)


def _progress_text(last: dict[str, Any]) -> str:
    stages = {
        "reading": _("Reading the cases"),
        "scoring before": _("Scoring the model as it is"),
        "learning": _("Learning"),
        "choosing": _("Choosing the best weights"),
        "scoring after": _("Scoring the new model"),
    }
    text = stages.get(str(last.get("stage")), _("Working"))
    left = last.get("seconds_left")
    if left is None:
        return f"{text} ..."
    return _("{step}: {minutes:.0f} min left").format(step=text, minutes=float(left) / 60.0 + 0.5)


def _choose_folder() -> str:
    """Ask the user for a folder; empty if none."""
    return qt.QFileDialog.getExistingDirectory(
        slicer.util.mainWindow(), _("Folder of CTs with corrected segmentations")
    )
