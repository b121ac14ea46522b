"""A small scripted module with panel, logic and self test, for tests of the stand-in."""

from __future__ import annotations

import enum
from typing import Annotated

import slicer
import vtk
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Quality(enum.Enum):
    """Shown in a combo box by label, stored by name."""

    FAST = 1
    FINE = 2

    def label(self):
        return self.name.capitalize()


@parameterNodeWrapper
class HeadlessExampleParameterNode:
    """What the panel shows."""

    inputVolume: vtkMRMLScalarVolumeNode
    points: vtkMRMLMarkupsFiducialNode
    radius: Annotated[float, WithinRange(0, 50), Default(4.0)]
    count: Annotated[int, WithinRange(1, 9)] = 2
    enabled: bool = True
    label: str = "ball"
    quality: Quality = Quality.FINE
    device: Annotated[str, Choice(["auto", "cpu"]), Default("auto")]


class HeadlessExample(ScriptedLoadableModule):
    """Description."""

    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = _("Headless example")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Testing")]
        self.parent.dependencies = ["SegmentEditorHeadlessExample"]
        self.startupCount = 0
        slicer.app.connect("startupCompleted()", self.onStartup)

    def onStartup(self):
        self.startupCount += 1


class HeadlessExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self.calls = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HeadlessExample.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = HeadlessExampleLogic()
        scene = slicer.mrmlScene
        self.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self.onSceneStartClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.initializeParameterNode()

    def cleanup(self):
        self.calls.append("cleanup")
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.calls.append("enter")
        self.initializeParameterNode()

    def exit(self):
        self.calls.append("exit")
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.calls.append("close")
        self.setParameterNode(None)

    def initializeParameterNode(self):
        node = HeadlessExampleParameterNode(self.logic.getParameterNode())
        self.setParameterNode(node)

    def setParameterNode(self, node):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.check)
        self._parameterNode = node
        if node is not None:
            self._guiTag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.check)
            self.check()

    def check(self, caller=None, event=None):
        self.ui.applyButton.enabled = self._parameterNode.inputVolume is not None

    def onApply(self):
        with slicer.util.tryWithErrorDisplay("Failed", waitCursor=True):
            self.calls.append(self.logic.describe(self._parameterNode))


class HeadlessExampleLogic(ScriptedLoadableModuleLogic):
    """Work."""

    def describe(self, parameters):
        if parameters.label == "fail":
            message = "asked to fail"
            raise ValueError(message)
        return f"{parameters.label} {parameters.count} {parameters.radius:g}"


class HeadlessExampleTest(ScriptedLoadableModuleTest):
    """Self test."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_describe(self):
        logic = HeadlessExampleLogic()
        parameters = HeadlessExampleParameterNode(logic.getParameterNode())
        self.assertEqual(logic.describe(parameters), "ball 2 4")
        self.delayDisplay("passed")
