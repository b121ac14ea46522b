"""The panel of the module with a predictor of numpy; the same here and in Slicer."""

from __future__ import annotations

import importlib
import unittest
from types import SimpleNamespace

import slicer
from ball_predictor import BallPredictor
from CTSAM3DModuleLib.torch_setup import TorchSetup
from event_loop import until
from segmentation_case import ball_volume
from view_mouse import click

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.mrml import get_prompts

MIDDLE = (48.0, 44.0, 60.0)


class PanelCase:
    """The panel, entered by the user, on a volume."""

    def __init__(self, volume=None, predictor=None, torch=None, with_volume=True):
        self.predictor = predictor or BallPredictor()
        self.loaded = []
        self.panel = slicer.modules.ctsam3d.widgetRepresentation()
        self.widget.panel.torch.setup = torch or ready_torch()
        self.widget.panel.torch.state = None
        self.logic.setEngine(SegmentationEngine(self.load))
        self.volume = (volume or ball_volume()) if with_volume else None
        self.panel.enter()
        self.ui.pointButton.checked = True  # what draws is kept while Slicer runs
        self.wait_for_torch()

    def renew(self):
        """Go on with the panel after the module was reloaded."""
        self.widget.panel.torch.setup = ready_torch()
        self.logic.setEngine(SegmentationEngine(self.load))
        self.panel.enter()
        slicer.app.processEvents()

    def wait_for_torch(self):
        """Let the application go on until the state of PyTorch is shown."""
        until(lambda: self.widget.panel.torch.state is not None, "the state of PyTorch")

    def load(self, model, device):
        self.loaded.append((model, device))
        return self.predictor

    @property
    def widget(self):
        return self.panel.self()

    @property
    def ui(self):
        return self.widget.ui

    @property
    def logic(self):
        return slicer.util.getModuleLogic("CTSAM3D")

    @property
    def parameters(self):
        return self.widget._parameterNode

    @property
    def segmentation(self):
        return self.parameters.segmentation

    @property
    def segment_id(self):
        return self.parameters.segmentId

    @property
    def status(self):
        return self.ui.statusLabel.text

    def add(self, text):
        """Type a name and press Enter's button."""
        self.ui.searchBox.text = text
        self.ui.addButton.click()
        return self.segment_id

    def press(self, name):
        """Press a button by its name in the .ui file."""
        button = getattr(self.ui, name)
        if not button.enabled:
            raise AssertionError(f"{name} is disabled: {button.toolTip}")
        button.click()
        slicer.app.processEvents()

    def press_and_wait(self, name):
        """Press a button, and let the application go on until its work is done."""
        self.press(name)
        self.settle()

    def settle(self):
        """Let the application go on until everything is written and shown."""
        until(lambda: self.widget.panel.workplace.settled, "the last answer")

    def rows(self):
        """Return the texts of the table."""
        table = self.ui.segmentsTable
        return [
            tuple(table.item(row, column).text() for column in range(table.columnCount))
            for row in range(table.rowCount)
        ]

    def clicks(self, segment_id=None):
        """Return the clicks in the tag of a segment."""
        return get_prompts(self.segmentation, segment_id or self.segment_id)

    def mask(self, segment_id=None):
        """Return a segment as bool array on the volume."""
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(
            self.segmentation, segment_id or self.segment_id, self.volume
        )
        return labels > 0

    def close(self):
        self.predictor.gate.set()
        self.panel.exit()
        self.logic.controller.cancel()
        self.logic.engine.close()


def ready_torch():
    """Return what a computer with PyTorch and two graphics cards answers."""
    torch = SimpleNamespace(
        __version__="2.9.0",
        version=SimpleNamespace(cuda="12.8"),
        cuda=SimpleNamespace(
            is_available=lambda: True,
            device_count=lambda: 2,
            get_device_name=lambda number: f"Card {number}",
        ),
    )
    modules = {"torch": torch}
    return TorchSetup(
        find_spec=lambda name: SimpleNamespace() if name in modules else None,
        import_module=lambda name: modules.get(name) or importlib.import_module(name),
        installed_version=lambda name: "2.9.0",
        extensions_model=lambda: SimpleNamespace(isExtensionInstalled=lambda name: False),
        has_gpu=lambda: True,
    )


class StateTestCase(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def start(self, **options):
        self.case = PanelCase(**options)
        self.ui = self.case.ui
        self.addCleanup(self.case.close)

    def segment(self, name="liver", place=MIDDLE, wait=True):
        """Add a structure and click inside; placing goes on."""
        segment_id = self.case.add(name)
        self.case.press("insideButton")
        click("Red", place)
        if wait:
            self.case.settle()
        return segment_id

    def reasons(self, names):
        return {getattr(self.ui, name).toolTip for name in names}


class PanelTestCase(StateTestCase):
    """The panel on a volume."""

    def setUp(self):
        super().setUp()
        self.start()

    def segment(self, name="liver", place=MIDDLE):
        """Add a structure, click inside and end placing."""
        segment_id = super().segment(name, place)
        self.case.press("insideButton")
        return segment_id

    def markers(self):
        """Return how many markers inside and outside are shown."""
        counts = []
        for name in ("CT-SAM3D inside", "CT-SAM3D outside"):
            nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
            own = [node for node in nodes if node.GetName() == name]
            counts.append(sum(node.GetNumberOfDefinedControlPoints() for node in own))
        return tuple(counts)
