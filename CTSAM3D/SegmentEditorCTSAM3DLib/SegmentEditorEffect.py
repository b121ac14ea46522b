"""Segment Editor effect: click inside or outside a structure, and get it in three dimensions."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
import vtk
from CTSAM3DModuleLib.slice_view_mouse import SliceViewMouse, is_viewing
from CTSAM3DModuleLib.widgets import Observed
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

# Every start of Slicer runs this file: what takes time to import is imported where it is used.

NAME = "CT-SAM3D"


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
        self.mouse = SliceViewMouse(self)
        self._node = Observed(self.updateTarget)  # another segment may be selected
        self._segments = Observed(self._onSegments)

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
            "<b>Ctrl-click</b> (Mac: Cmd-click) in the middle of what does not belong to it. "
            "Key <b>O</b> changes between inside and outside. With the button held down the mouse "
            "draws strokes after key <b>S</b>, lassos after key <b>L</b> and boxes after key "
            "<b>X</b>; the same key brings points back. "
            "Drag a point to move it. Key <b>Delete</b> removes the point, stroke, lasso or box "
            "under the mouse. "
            "Undo takes back the last step, points and voxels. Research use only.</html>"
        )

    def setupOptionsFrame(self):
        from CTSAM3DModuleLib.effect_options import EffectOptions

        self.options = EffectOptions(self)

    def cleanup(self):
        self.deactivate()
        if self._controller is not None:
            self._controller.undo.keepers.pop(id(self), None)
            self._controller.undo.steppers.pop(id(self), None)
        if self.options is not None:  # else ended before it was ever shown
            self.options.cleanup()

    def setMRMLDefaults(self):
        from CTSAM3DModuleLib.effect_options import set_defaults

        set_defaults(self.scriptedEffect)  # comes before the options in an editor that has a node

    def activate(self):
        from CTSAM3DModuleLib.editing.editor import ClickEditor

        self.deactivate()
        logic = slicer.util.getModuleLogic("CTSAM3D")
        self.editor = ClickEditor(logic.controller, self.onStatus)
        self._controller = logic.controller
        self._controller.undo.keepers[id(self)] = self._saveState
        self._controller.undo.steppers[id(self)] = self._step
        self.setMRMLDefaults()
        self.options.listModels()  # the panel may have added or removed some
        self.options.updateFromMRML()
        self._node.follow(self.scriptedEffect.parameterSetNode(), [vtk.vtkCommand.ModifiedEvent])
        self.updateTarget()
        logic.prepare(self.editor.next_choice)

    def deactivate(self):
        self.mouse.stop()
        self._segments.follow(None)
        self._node.follow(None)
        if self.options is not None:
            self.options.volumeWarning.follow(None)
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
        if not is_viewing():
            return False  # the hand adjusts window and level, places points, ...
        return self.mouse.process(callerInteractor, eventId, viewWidget)

    # ---- what the hand does in a slice view

    def onClick(self, positionRas, positive):
        """Add a point, unless the segment is hidden: a question takes the click, as in Draw."""
        if self._isReady():
            self.editor.click(positionRas, positive)

    def onShape(self, kind, cornersRas, positive):
        """Add a stroke, lasso or box, likewise."""
        if self._isReady():
            self.editor.draw(kind, cornersRas, positive)

    def onDelete(self, index):
        """Take back a prompt."""
        if self._mayChange():
            self.editor.remove(index)

    def onRest(self, positionRas):
        """Prepare a click where the mouse rests."""
        if self.editor is not None:
            self.editor.hover(positionRas)

    # ---- what the user does in the options

    def onOptions(self):
        self.updateMRMLFromGUI()
        self.updateTarget()

    def onRemoveLast(self):
        if self._mayChange():
            self.editor.remove_last()

    def onClear(self):
        if self._mayChange():
            self.editor.clear()

    def onCancel(self):
        if self.editor is not None:
            self.editor.controller.cancel()

    def onWhereNext(self):
        if self.editor is not None:
            self.editor.where_next()

    def onTyping(self):
        """Return the editor that a typed position goes to, None for none."""
        return self.editor if self._mayChange() else None

    def onRefine(self, step):
        if self._mayChange():
            self.editor.refine(step, self.options.smoothingMm())

    def onOwnModel(self, model):
        """Have a model answer the next prompts of this segment alone; empty for that of all."""
        from CTSAM3DLib.mrml import set_segment_model

        target = self.editor.target
        set_segment_model(target.segmentation_node, target.segment_id, model)

    def onStatus(self, status):
        self.options.showStatus(status)

    # ---- inside

    def updateTarget(self):
        """Edit what the Segment Editor shows now."""
        if self.editor is None:
            return
        from CTSAM3DModuleLib.editing.target import EditTarget, segment_events

        from CTSAM3DLib.engine import ModelChoice

        node = self.scriptedEffect.parameterSetNode()
        segmentation = node.GetSegmentationNode() if node else None
        volume = node.GetSourceVolumeNode() if node else None
        segmentId = node.GetSelectedSegmentID() if node else None
        # Undo, redo and changes by others may bring other clicks.
        segments = None if segmentation is None else segmentation.GetSegmentation()
        self._segments.follow(segments, segment_events())
        self.options.volumeWarning.follow(volume)
        self.editor.choice = ModelChoice(
            model=self.options.model(), device=self.options.device(), grow=self.options.grow()
        )
        target = None
        if segmentation is not None and volume is not None and segmentId:
            options = self.options
            limits = (options.roiNode(), options.overwrites(), options.apart())
            target = EditTarget(segmentation, segmentId, volume, node, *limits)
        self.editor.edit(target)
        self._showModel()

    def _showModel(self):
        target = self.editor.target
        isThere = target is not None and target.exists(slicer.mrmlScene)
        self.options.showModel(target.own_model if isThere else "")

    def _saveState(self, segmentation):
        """Keep a state in this editor's undo, also for what another one writes; True if so."""
        if not self._edits(segmentation):
            return False
        self.scriptedEffect.saveStateForUndo()
        return True

    def _step(self, segmentation, way):
        """Undo (-1) or redo (1) a step of this editor; False if it edits another segmentation."""
        widget = self.scriptedEffect.optionsFrame()
        while widget is not None and widget.className() != "qMRMLSegmentEditorWidget":
            widget = widget.parent()
        if widget is None or not self._edits(segmentation):
            return False
        widget.redo() if way > 0 else widget.undo()
        return True

    def _edits(self, segmentation):
        node = self.scriptedEffect.parameterSetNode()
        return node is not None and node.GetSegmentationNode() is segmentation

    def _onSegments(self):
        if self.editor is not None:
            self.editor.refresh_later()
            self._showModel()

    def _isReady(self):
        """Tell whether a point or stroke may be added now: not if a question took it."""
        allowed = self.scriptedEffect.confirmCurrentSegmentVisible()
        if allowed != self.scriptedEffect.ConfirmedWithoutDialog:
            return False
        self._renew()
        return True

    def _mayChange(self):
        """Tell whether a button or key may change the segment: a hidden one after a question."""
        if self.editor is None or not self.scriptedEffect.confirmCurrentSegmentVisible():
            return False
        self._renew()
        return True

    def _renew(self):
        """Go on with the new engine if the module was reloaded meanwhile."""
        if self.editor.controller.engine.is_closed:
            self.activate()
