"""Model and device: chosen in combo boxes, models added and removed by buttons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError, ModelExistsError
from CTSAM3DLib.models.folder import remove_model
from CTSAM3DLib.models.store import ModelStore
from CTSAM3DLib.mrml import segment_model, set_segment_model
from CTSAM3DModuleLib.panel.model_import import (
    ImportStopped,
    ModelImport,
    import_official,
    report_of,
)
from CTSAM3DModuleLib.torch_devices import TorchDevice, device_choices
from CTSAM3DModuleLib.waiting import Waiting
from CTSAM3DModuleLib.widgets import (
    DEFAULT_MODEL,
    Connections,
    choose,
    fill,
    model_label,
    show_line,
)

EFFECT_MODEL = "CT-SAM3D.Model"  # where Slicer keeps the parameter of the effect


def models(store: ModelStore | None = None) -> list[tuple[str, str]]:
    """Return title and id of each model; the default comes first and has an empty id."""
    try:
        store = store or ModelStore.standard()
        default = store.default().model_id
        others = [name for name in store.entries() if name != default]
    except CTSAM3DError:
        return [(_("none found"), "")]
    return [(default, ""), *((name, name) for name in others)]


class ChoiceSection:
    """Model and device; `own` is the model that the present structure has for itself.

    `use` is called with the model that it is to have; empty for none.
    """

    def __init__(self, ui: Any, connections: Connections, use: Callable[[str], object]) -> None:
        self.parameters: Any = None
        self.own = ""
        self._use = use
        self._model, self._label, self._device = ui.modelBox, ui.modelLabel, ui.deviceBox
        self.list_models()
        self.offer(device_choices()[:1])
        connections.connect(self._model, "currentIndexChanged(int)", self._on_model)
        connections.connect(self._device, "currentIndexChanged(int)", self._on_device)

    def list_models(self) -> None:
        """List the models that are installed now; what is chosen stays chosen."""
        fill(self._model, models())
        self.show()

    def offer(self, devices: Sequence[TorchDevice]) -> None:
        """List the devices of this computer."""
        fill(self._device, [(device.label, device.value) for device in devices])
        self.show()

    def show(self) -> None:
        """Show the parameters; one that is not here is listed, too, and never replaced."""
        if self.parameters is not None:
            self._label.text = model_label(self.own)
            own = "" if self.own == DEFAULT_MODEL else self.own
            choose(self._model, own if self.own else self.parameters.model)
            choose(self._device, self.parameters.device)

    def forget(self, model_id: str) -> list[str]:
        """Use the default in place of a model; return the segments that had it for themselves."""
        if self.parameters is not None and self.parameters.model == model_id:
            self.parameters.model = ""
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode"):
            if node.GetAttribute(EFFECT_MODEL) == model_id:
                node.SetAttribute(EFFECT_MODEL, DEFAULT_MODEL)
        names = []
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            segments = node.GetSegmentation()
            for segment_id in segments.GetSegmentIDs():
                if segment_model(node, segment_id) == model_id:
                    set_segment_model(node, segment_id, "")
                    names.append(segments.GetSegment(segment_id).GetName())
        if self.own == model_id:
            self._use("")
        return names

    def _on_model(self, index: int) -> None:
        model = self._model.itemData(index)
        if self.own:
            self._use("" if model == self.parameters.model else model or DEFAULT_MODEL)
        elif self.parameters is not None:
            self.parameters.model = model

    def _on_device(self, index: int) -> None:
        if self.parameters is not None:
            self.parameters.device = self._device.itemData(index)


class ModelSection:
    """The buttons that add and remove models, and a line that tells how it goes.

    `on_changed` is called without arguments when models were added or removed: loaded ones may be
    stale.
    """

    def __init__(
        self,
        ui: Any,
        connections: Connections,
        choice: ChoiceSection,
        waiting: Waiting,
        on_changed: Callable[[], object],
    ) -> None:
        self.torch_reason = ""
        self.choose_file: Callable[[], str] = _choose_file
        self.run_import: Callable[..., Any] = import_official
        self._label, self._box = ui.modelStatusLabel, ui.modelBox
        self._choice, self._on_changed = choice, on_changed
        self._job: ModelImport | None = None
        self._own: set[str] = set()
        self._add = connections.button(ui.addModelButton, self._on_add)
        self._add_text = ui.addModelButton.text
        self._remove = connections.button(ui.removeModelButton, self._on_remove)
        self._waiting = waiting
        connections.connect(self._box, "currentIndexChanged(int)", lambda _index: self.show())
        self.tell("")
        self.show_models()

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
        """Stop an import under way, which leaves nothing."""
        if self._job is not None:
            self._job.stop()
            self._job = None
        self._add.button.text = self._add_text

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
        self.tell(_("Adding {name} ...").format(name=path.name))
        self._waiting.watch(self._job.wait, self._poll)
        self.show()

    def _poll(self) -> bool:
        """Show how the import goes; True until it has ended."""
        job = self._job
        if job is None:
            return False
        if job.wait(0):
            self._job = None
            self._finish(job)
            return self._job is not None
        if job.progress:
            text = _("Adding {name}: {step} ...")
            self.tell(text.format(name=job.path.name, step=job.progress))
        return True

    def _finish(self, job: ModelImport) -> None:
        if isinstance(job.error, ModelExistsError):
            question = _("{problem}.\n\nReplace it?").format(problem=job.error)
            if slicer.util.confirmYesNoDisplay(question):
                self._start(job.path, replace=True)
                return
            self.tell(_("Nothing was changed."))
        elif isinstance(job.error, ImportStopped):
            text = _("Adding {name} was cancelled; nothing was changed.")
            self.tell(text.format(name=job.path.name))
        elif isinstance(job.error, ImportError):
            self.tell(_("PyTorch is needed to read the file: see the top of this panel."), True)
        elif isinstance(job.error, MemoryError):
            self.tell(_("There is not enough memory to read the file."), True)
        elif job.error is not None:
            problem = str(job.error) or type(job.error).__name__
            self.tell(_("Nothing was added. {problem}").format(problem=problem), True)
        else:
            self._changed()
            self.tell(report_of(job.imported))
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
            self.tell(str(error), True)
            return
        segments = self._choice.forget(name)
        self._changed()
        text = _("{name} was removed.").format(name=name)
        if segments:
            told = _("These segments had it; the model of the others answers now: {names}.")
            text = f"{text} {told.format(names=', '.join(segments))}"
        self.tell(text)

    # ---- inside

    def _selected(self) -> str:
        return self._box.currentData or ""

    def _changed(self) -> None:
        self._choice.list_models()
        self._on_changed()
        self.show_models()

    def show_models(self) -> None:
        """Look which models can be removed."""
        try:
            self._own = set(ModelStore.user().entries())
        except CTSAM3DError:  # a manifest that cannot be read
            self._own = set()
        self.show()

    def tell(self, text: str, is_error: bool = False) -> None:
        """Show a text below the buttons, or nothing."""
        show_line(self._label, text, is_error)


def _choose_file() -> str:
    """Ask the user for a file; empty if none."""
    return qt.QFileDialog.getOpenFileName(
        slicer.util.mainWindow(),
        _("Add model: the checkpoint of CT-SAM3D's authors"),
        "",
        _("PyTorch checkpoint") + " (*.pth *.pt)",
    )
