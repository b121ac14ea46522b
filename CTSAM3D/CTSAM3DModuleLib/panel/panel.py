"""The sections of the panel, put together: widgets on one side, `Workplace` on the other."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DModuleLib.diagnostics import diagnostics_text
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.panel.anatomies import StructureSection
from CTSAM3DModuleLib.panel.learning import LearningSection
from CTSAM3DModuleLib.panel.models import ChoiceSection, ModelSection
from CTSAM3DModuleLib.panel.points import ClickSection
from CTSAM3DModuleLib.panel.prompts_table import PromptsSection
from CTSAM3DModuleLib.panel.pytorch import TorchSection
from CTSAM3DModuleLib.panel.run import RunSection
from CTSAM3DModuleLib.panel.table import SegmentRows, TableSection
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.panel.worst_first import WorstFirst
from CTSAM3DModuleLib.torch_devices import device_choices
from CTSAM3DModuleLib.typed_point import TypedPoint
from CTSAM3DModuleLib.volume_warning import VolumeWarning
from CTSAM3DModuleLib.widgets import Connections, apart_texts


class Panel:
    """Binds the widgets of the .ui file; the module widget opens and closes it."""

    def __init__(self, ui: Any, logic: Any) -> None:
        self._ui, self._connections = ui, Connections()
        ui.apartBox.text, ui.apartBox.toolTip = apart_texts()
        self._rows = SegmentRows()
        self.workplace = Workplace(logic, self.show, self._on_status)
        waiting = logic.controller.waiting
        both = (ui, self._connections)
        self.torch = TorchSection(*both, waiting, self.on_torch)
        self.structures = StructureSection(*both, self.workplace.add_structure)
        self.choice = ChoiceSection(*both, self.workplace.use_model)
        self.models = ModelSection(*both, self.choice, waiting, self._on_models)
        self.learning = LearningSection(*both, self._use_model, self._on_learnt)
        self.table = TableSection(ui.segmentsTable, self._connections, self.workplace.select)
        self.clicks = ClickSection(*both, self.workplace)
        self.prompts = PromptsSection(*both, self.workplace)
        self.typed = TypedPoint(
            self._connections,
            lambda: self.workplace.editor,
            lambda text: self.workplace.tell(Status(text, "error")),
        )
        ui.typedPoint.layout().addLayout(self.typed.rows)
        self.run = RunSection(*both, self.workplace)
        self.worst = WorstFirst(*both, self.workplace)
        self._open_editor = self._connections.button(ui.openEditorButton, self._on_open_editor)
        self._connections.button(ui.diagnosticsButton, self._on_diagnostics)
        self._warning = VolumeWarning(ui.warningLabel)
        for section in (ui.promptsSection, ui.moreSection, ui.learningSection):
            section.collapsed = True
        self.show()

    def set_parameters(self, parameters: Any) -> None:
        """Show other parameters; None for none."""
        self.choice.parameters = parameters
        self.workplace.set_parameters(parameters)
        self.follow()

    def follow(self) -> None:
        """Follow a change of the parameters."""
        self._show_volume()
        self.choice.show()
        self.workplace.update()

    def open(self) -> None:
        """Begin: the user has come."""
        self.workplace.open()
        self.clicks.place.open()
        self.torch.refresh()

    def close(self) -> None:
        """End markers and place mode: the user goes, or the scene is closed."""
        self.clicks.place.close()
        self.torch.close()
        self.workplace.close()

    def release(self) -> None:
        """Close and disconnect everything."""
        self.close()
        self._warning.follow(None)
        self._connections.release()
        for section in (self.models, self.learning, self.torch):
            section.release()

    def show(self) -> None:
        """Show what holds now."""
        work = self.workplace
        self.structures.allow(work.nodes.volume_reason)
        self.worst.show()
        rows = self._rows.read(work.nodes.segmentation, work.nodes.prompts, self.worst.uncertainty)
        self.table.show(rows, work.nodes.segment_id)
        if self._ui.show3DButton.segmentationNode() is not work.nodes.segmentation:
            self._ui.show3DButton.setSegmentationNode(work.nodes.segmentation)
        self.clicks.show()
        self.prompts.show()
        self.run.show()
        self.choice.own = work.nodes.own_model
        self.choice.show()
        self.models.show()
        self.learning.volume = work.nodes.volume
        no_segment = _("Add a structure first.")
        self.learning.segment_reason = "" if work.nodes.segment_id else no_segment
        self.learning.show()
        nothing = "" if work.nodes.segmentation is not None else _("There is no segmentation yet.")
        self._open_editor.allow(nothing)

    # ---- inside

    def _on_status(self, status: Status) -> None:
        self.run.show_status(status)

    def on_torch(self) -> None:
        """Follow the state of PyTorch."""
        self.workplace.torch_reason = self.models.torch_reason = self.torch.reason
        self.learning.torch_reason = self.torch.reason
        if self.torch.state is not None and self.torch.state.can_compute:
            self.choice.offer(device_choices(self.torch.state.devices))
            self.workplace.prepare()
        self.show()

    def _on_models(self) -> None:
        self.workplace.logic.engine.forget_models()

    def _on_learnt(self) -> None:
        self.choice.list_models()
        self.models.show_models()
        self._on_models()

    def _use_model(self, model_id: str) -> str:
        nodes = self.workplace.nodes
        self.workplace.use_model(model_id)
        text = _("{model} answers the next prompts of {segment}.")
        return text.format(model=model_id, segment=nodes.segment_name(nodes.segment_id))

    def _show_volume(self) -> None:
        """Show a volume that was just chosen in the slice views, and whether it looks like CT."""
        volume = self.workplace.nodes.volume
        if self._warning.follow(volume) and volume is not None:
            composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            shown = {node.GetBackgroundVolumeID() for node in composites}
            if volume.GetID() not in shown:
                slicer.util.setSliceViewerLayers(background=volume, fit=True)

    def _on_open_editor(self) -> None:
        try:
            slicer.util.selectModule("SegmentEditor")
        except RuntimeError:  # no main window
            self.workplace.tell(Status(_("The Segment Editor needs the main window."), "error"))

    def _on_diagnostics(self) -> None:
        work = self.workplace
        scene = slicer.mrmlScene
        names = [scene.GetNthNode(n).GetName() or "" for n in range(scene.GetNumberOfNodes())]
        text = diagnostics_text(
            self.torch.state or self.torch.setup.state(),
            model=(work.nodes.parameters.model or None)
            if work.nodes.parameters is not None
            else None,
            device=work.last_device,
            latencies_ms=list(work.latencies_ms),
            volume_node=work.nodes.volume,
            last_error=work.last_error,
            private_names=[*names, *map(work.nodes.segment_name, work.nodes.segment_ids())],
        )
        qt.QApplication.clipboard().setText(text)
        work.tell(Status(_("Diagnostics copied: paste them into your message."), "done"))
