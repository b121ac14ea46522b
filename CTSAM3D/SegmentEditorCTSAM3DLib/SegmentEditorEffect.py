"""Segment Editor effect: click inside or outside a structure, and get it in three dimensions."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
import vtk
from CTSAM3DModuleLib.editing.editor import ClickEditor
from CTSAM3DModuleLib.editing.target import EditTarget, segment_events
from CTSAM3DModuleLib.effect_options import EffectOptions, set_defaults
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from CTSAM3DLib.engine import ModelChoice

NAME = "CT-SAM3D"
HOVER_MS = 200


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Thin: turns events of views and editor into calls of `ClickEditor`."""

    def __init__(self, scriptedEffect):
        scriptedEffect.name = NAME  # key of parameters: never translated
        scriptedEffect.title = NAME
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        super().__init__(scriptedEffect)
        self.editor = None
        self.options = None
        self._controller = None
        self._hoverTimer = qt.QTimer()
        self._hoverTimer.setSingleShot(True)
        self._hoverTimer.setInterval(HOVER_MS)
        self._node = None
        self._nodeTag = 0
        self._observed = None
        self._observations = []
        self._hoverPosition = None

    # ---- what Slicer asks

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        copy = effects.qSlicerSegmentEditorScriptedEffect(None)
        copy.setPythonSource(Path(__file__).resolve().as_posix())
        return copy

    def icon(self):
        return qt.QIcon(str(Path(__file__).with_suffix(".png")))

    def helpText(self):
        return _(
            "<html><b>Click</b> inside a structure in a slice view and get it in three dimensions. "
            "<b>Shift-click</b> where the result reaches too far. Points can be dragged, and "
            "deleted with a right click. Undo takes back the last step, points and voxels. "
            "Research use only.</html>"
        )

    def setupOptionsFrame(self):
        self.options = EffectOptions(self.scriptedEffect, self.onOptions)
        self.options.undoButton.connect("clicked()", self.onRemoveLast)
        self.options.clearButton.connect("clicked()", self.onClear)
        self.options.cancelButton.connect("clicked()", self.onCancel)
        self.options.onRefine = self.onRefine
        self._hoverTimer.connect("timeout()", self.onHover)

    def cleanup(self):
        self.deactivate()
        if self._controller is not None:
            self._controller.undo.keepers.pop(id(self), None)
        if self.options is None:  # ended before it was ever shown
            return
        self._hoverTimer.disconnect("timeout()", self.onHover)
        self.options.undoButton.disconnect("clicked()", self.onRemoveLast)
        self.options.clearButton.disconnect("clicked()", self.onClear)
        self.options.cancelButton.disconnect("clicked()", self.onCancel)
        self.options.cleanup()

    def setMRMLDefaults(self):
        set_defaults(self.scriptedEffect)  # comes before the options in an editor that has a node

    def activate(self):
        self.deactivate()
        logic = slicer.util.getModuleLogic("CTSAM3D")
        self.editor = ClickEditor(logic.controller, self.onStatus)
        self._controller = logic.controller
        self._controller.undo.keepers[id(self)] = self._saveState
        set_defaults(self.scriptedEffect)
        self.options.listModels()  # the panel may have added or removed some
        self.options.updateFromMRML()
        self._node = self.scriptedEffect.parameterSetNode()
        modified = vtk.vtkCommand.ModifiedEvent
        self._nodeTag = self._node.AddObserver(modified, self._onNode)  # other segment selected
        self.updateTarget()
        logic.prepare(self.editor.choice)

    def deactivate(self):
        self._hoverTimer.stop()
        self._observe(None)
        if self._node is not None:
            self._node.RemoveObserver(self._nodeTag)
            self._node = None
        if self.editor is not None:
            self.editor.close()
            self.editor = None

    def createCursor(self, viewWidget):
        return qt.QCursor(qt.Qt.CrossCursor)

    def interactionNodeModified(self, interactionNode):
        """Stay active: placing points elsewhere, such as a box, is no reason to end."""

    def sourceVolumeNodeChanged(self):
        self.updateTarget()

    def referenceGeometryChanged(self):
        self.updateTarget()

    def updateGUIFromMRML(self):
        if self.options is None:
            return
        self.options.updateFromMRML()
        self.updateTarget()

    def updateMRMLFromGUI(self):
        if self.options is not None:
            self.options.updateMRML()

    def processViewNodeEvents(self, callerViewNode, eventId, viewWidget):
        """Markers follow the views by themselves."""

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        if self.editor is None or viewWidget.className() != "qMRMLSliceWidget":
            return False
        if eventId == vtk.vtkCommand.MouseMoveEvent:
            self._hoverPosition = self._world(callerInteractor, viewWidget)
            self._hoverTimer.start()
            return False
        if eventId != vtk.vtkCommand.LeftButtonPressEvent or callerInteractor.GetAltKey():
            return False
        away = callerInteractor.GetShiftKey() or callerInteractor.GetControlKey()
        xy = callerInteractor.GetEventPosition()
        if not away and self.editor.markers.is_near(viewWidget.mrmlSliceNode(), xy):
            return False  # the hand means the marker: to drag it
        if self._isPlacing():
            return False
        if not self.scriptedEffect.confirmCurrentSegmentVisible():
            return True
        positive = self.options.isInside() != bool(away)
        if self.editor.controller.engine.is_closed:  # the module was reloaded meanwhile
            self.activate()
        self.editor.click(self._world(callerInteractor, viewWidget), positive)
        return True

    # ---- what the user does in the options

    def onOptions(self):
        self.updateMRMLFromGUI()
        self.updateTarget()

    def onRemoveLast(self):
        if self.editor is not None:
            self.editor.remove_last()

    def onClear(self):
        if self.editor is not None:
            self.editor.clear()

    def onCancel(self):
        if self.editor is not None:
            self.editor.controller.cancel()

    def onRefine(self, step):
        if self.editor is not None:
            self.editor.refine(step, self.options.smoothingMm())

    def onHover(self):
        if self.editor is not None and self._hoverPosition is not None:
            self.editor.hover(self._hoverPosition)

    def onStatus(self, status):
        self.options.showStatus(status)

    # ---- inside

    def updateTarget(self):
        """Edit what the Segment Editor shows now."""
        if self.editor is None:
            return
        node = self.scriptedEffect.parameterSetNode()
        segmentation = node.GetSegmentationNode() if node else None
        volume = node.GetSourceVolumeNode() if node else None
        segmentId = node.GetSelectedSegmentID() if node else None
        self._observe(segmentation)
        self.editor.choice = ModelChoice(
            model=self.options.model(), device=self.options.device(), grow=self.options.grow()
        )
        if segmentation is None or volume is None or not segmentId:
            self.editor.edit(None)
            return
        self.editor.edit(
            EditTarget(
                segmentation,
                segmentId,
                volume,
                node,
                self.options.roiNode(),
                self.options.overwrites(),
            )
        )

    def _saveState(self, segmentation):
        """Keep a state in this editor's undo, also for what another one writes; True if so."""
        node = self.scriptedEffect.parameterSetNode()
        if node is None or node.GetSegmentationNode() is not segmentation:
            return False
        self.scriptedEffect.saveStateForUndo()
        return True

    def _observe(self, segmentation):
        """Hear of undo, redo and changes by others, which may bring other clicks."""
        if segmentation is self._observed:
            return
        for subject, tag in self._observations:
            subject.RemoveObserver(tag)
        self._observed, self._observations = segmentation, []
        if segmentation is None:
            return
        segments = segmentation.GetSegmentation()
        for event in segment_events():
            tag = segments.AddObserver(event, self._onSegments)
            self._observations.append((segments, tag))

    def _onSegments(self, caller=None, event=None):
        if self.editor is not None:
            self.editor.refresh_later()

    def _onNode(self, caller=None, event=None):
        self.updateTarget()

    @staticmethod
    def _isPlacing():
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        return interaction.GetCurrentInteractionMode() == interaction.Place

    @staticmethod
    def _world(interactor, viewWidget):
        """Return the point under the mouse in double precision, world RAS, mm."""
        x, y = interactor.GetEventPosition()
        matrix = viewWidget.mrmlSliceNode().GetXYToRAS()
        return tuple(matrix.MultiplyPoint([x, y, 0.0, 1.0])[:3])
