"""CT-SAM3D: organs from a few clicks. Module, panel, logic and self test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if importlib.util.find_spec("CTSAM3DLib") is None:  # a checkout: the library lies one level up
    sys.path.append(str(Path(__file__).resolve().parent.parent))

# Every start of Slicer runs this file, before it has the classes of its own modules: what needs
# them, or takes time to import, is imported where it is used.
from CTSAM3DModuleLib.scripting.methods import ConsoleMethods


class CTSAM3D(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = "CT-SAM3D"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "Markups", "Terminologies"]
        self.parent.contributors = ["CT-SAM3D for 3D Slicer contributors"]
        self.parent.helpText = _(
            "Click inside an organ, bone or vessel of a CT and get it in three dimensions; "
            "further clicks correct the result. Everything runs on this computer. The same is "
            "offered as effect <b>CT-SAM3D</b> of the Segment Editor. Research use only."
        )
        self.parent.acknowledgementText = _(
            "Implements CT-SAM3D, arXiv 2403.15063. Independent of its authors."
        )
        slicer.app.connect("startupCompleted()", self.onStartup)
        if getattr(slicer.modules, "segmenteditor", None) is not None:
            # Loaded into a running Slicer: the signal has been sent. Twice does no harm.
            self.onStartup()

    def onStartup(self):
        """Offer a generated torso in module Sample Data, and our anatomies as terminology."""
        from CTSAM3DModuleLib import sample_data

        from CTSAM3DLib.resources import TERM_FILE, resource_path

        sample_data.register(Path(self.resourcePath("Icons")))
        terminologies = getattr(slicer.modules, "terminologies", None)
        if terminologies is not None:
            path = str(resource_path(TERM_FILE))
            terminologies.logic().LoadTerminologyFromFile(path)


class CTSAM3DLogic(ScriptedLoadableModuleLogic, VTKObservationMixin, ConsoleMethods):
    """Runs inference on a thread of its own and writes what comes back; also for scripts.

    Parameters
    ----------
    engine : SegmentationEngine, optional
        Default: one with the bundled model, loaded at the first use.
    """

    def __init__(self, engine=None):
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        from CTSAM3DModuleLib.editing.requests import Requests

        from CTSAM3DLib.engine import SegmentationEngine

        self.controller = Requests(slicer.mrmlScene, engine or SegmentationEngine())
        closing = slicer.vtkMRMLScene.StartCloseEvent
        self.addObserver(slicer.mrmlScene, closing, self._onSceneStartClose)
        removed = slicer.vtkMRMLScene.NodeRemovedEvent
        self.addObserver(slicer.mrmlScene, removed, self._onNodeRemoved)

    @property
    def engine(self):
        """The engine; set another one to use other models."""
        return self.controller.engine

    def setEngine(self, engine):
        """Use another engine; what is under way is cancelled."""
        self.controller.cancel()
        self.controller.reset()
        self.controller.engine.close()
        self.controller.engine = engine

    def editorNode(self):
        """Return the settings of the Segment Editor, whose masks and overwrite mode hold here."""
        node = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        if node is None:
            # By the scene: a user may have given it other defaults.
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag("SegmentEditor")
            node = slicer.mrmlScene.AddNode(node)
        return node

    def prepare(self, choice):
        """Load a model in spare time, if PyTorch is there, so that the first click is quick."""
        if importlib.util.find_spec("torch") is not None:
            self.engine.prepare(choice)

    def close(self):
        """Cancel what is under way and end the thread."""
        self.controller.waiting.stop()
        self.removeObservers()
        self.controller.reset()
        self.engine.close()

    def _onNodeRemoved(self, caller, event):
        self.controller.volumes.forget_missing()

    def _onSceneStartClose(self, caller, event):
        self.controller.reset()


class CTSAM3DWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: binds parameters and forwards to its sections."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._parameterNode = None
        self._guiTag = None
        self._takeSoon = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from CTSAM3DModuleLib.panel.panel import Panel
        from CTSAM3DModuleLib.widgets import timer

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CTSAM3D.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CTSAM3DLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self._takeSoon = timer(0, self._takeVolume, single=True)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self.initializeParameterNode()
        if self._isEntered():  # reloaded while the user is here
            self.enter()

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()
        self._takeSoon.stop()
        self.panel.release()
        self.logic.close()

    def enter(self):
        self.initializeParameterNode()
        self.panel.open()

    def exit(self):
        self.panel.close()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.panel.close()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self._isEntered():
            self.enter()

    def onSceneEndImport(self, caller, event):
        if self._isEntered():  # what was read may have replaced the parameters
            self.setParameterNode(None)
            self.enter()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller, event, node):
        if node.IsA("vtkMRMLScalarVolumeNode"):
            self._takeSoon.start()  # not now: its voxels may come later, and the views show it then

    def initializeParameterNode(self):
        from CTSAM3DModuleLib.parameters import CTSAM3DParameterNode

        self.setParameterNode(CTSAM3DParameterNode(self.logic.getParameterNode()))
        self._takeVolume()

    def _takeVolume(self):
        """Choose a volume where none is chosen while the panel is shown."""
        from CTSAM3DModuleLib.panel.nodes import default_volume

        if self._parameterNode is not None and self._parameterNode.volume is None:
            self._parameterNode.volume = default_volume()

    def setParameterNode(self, parameterNode):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.panel.set_parameters(parameterNode)

    def _onModified(self, caller=None, event=None):
        if self._parameterNode is not None:
            self.panel.follow()

    def _isEntered(self):
        return bool(getattr(self.parent, "isEntered", False))


class CTSAM3DTest(ScriptedLoadableModuleTest):
    """Self test: two organs of the generated torso from its stored clicks."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_torso(self):
        """From the sample data to volumes, without PyTorch with a stand-in for the model."""
        from CTSAM3DModuleLib import self_test

        logic = CTSAM3DLogic(self_test.engine())
        try:
            for name, (score, ratio) in self_test.scores(logic).items():
                self.delayDisplay(f"{name}: Dice {score:.2f}, {ratio:.2f} of the true volume")
                self.assertGreater(score, self_test.LEAST_DICE)  # noqa: PT009
                least, most = self_test.VOLUME_RANGE
                self.assertTrue(least < ratio < most)  # noqa: PT009
        finally:
            logic.close()
