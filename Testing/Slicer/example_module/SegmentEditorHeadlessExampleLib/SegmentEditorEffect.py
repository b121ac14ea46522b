"""Writes a ball at each click; Shift erases. Only for tests of the stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import qt
import slicer
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from vtk.util.numpy_support import vtk_to_numpy


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Effect."""

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "Headless example"
        scriptedEffect.title = "Headless example"
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        super().__init__(scriptedEffect)
        self.calls = []
        self.result = True

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        copy = effects.qSlicerSegmentEditorScriptedEffect(None)
        copy.setPythonSource(Path(__file__).as_posix())
        return copy

    def icon(self):
        return qt.QIcon()

    def helpText(self):
        return "Click for a ball."

    def setupOptionsFrame(self):
        self.slider = qt.QDoubleSpinBox()
        self.slider.maximum = 100
        self.scriptedEffect.addLabeledOptionsWidget("Radius", self.slider)
        self.slider.connect("valueChanged(double)", self.updateMRMLFromGUI)

    def cleanup(self):
        self.calls.append("cleanup")
        self.slider.disconnect("valueChanged(double)", self.updateMRMLFromGUI)

    def setMRMLDefaults(self):
        self.scriptedEffect.setParameterDefault("Radius", 6.0)

    def updateGUIFromMRML(self):
        active = self.scriptedEffect.active()
        self.calls.append(f"updateGUIFromMRML active={active}")
        blocker = qt.QSignalBlocker(self.slider)
        self.slider.value = self.scriptedEffect.doubleParameter("Radius")
        del blocker

    def updateMRMLFromGUI(self):
        self.scriptedEffect.setParameter("Radius", self.slider.value)

    def activate(self):
        visible = not self.scriptedEffect.optionsFrame().isHidden()
        self.calls.append(f"activate options={visible}")

    def deactivate(self):
        self.calls.append("deactivate")

    def sourceVolumeNodeChanged(self):
        self.calls.append("sourceVolumeNodeChanged")

    def referenceGeometryChanged(self):
        self.calls.append("referenceGeometryChanged")

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        if eventId != vtk.vtkCommand.LeftButtonPressEvent:
            return False
        if viewWidget.className() != "qMRMLSliceWidget":
            return False
        ras = self.xyToRas(callerInteractor.GetEventPosition(), viewWidget)
        self.calls.append("click")
        self.write(ras, erase=bool(callerInteractor.GetShiftKey()))
        return self.result

    def write(self, ras, erase):
        effect = self.scriptedEffect
        effect.saveStateForUndo()
        labelmap = effect.defaultModifierLabelmap()
        matrix = vtk.vtkMatrix4x4()
        labelmap.GetImageToWorldMatrix(matrix)
        array = vtk_to_numpy(labelmap.GetPointData().GetScalars())
        kji = np.indices(labelmap.GetDimensions()[::-1]).reshape(3, -1)[::-1]
        origin = np.array(labelmap.GetExtent()[::2])[:, None]
        world = slicer.util.arrayFromVTKMatrix(matrix)
        points = world[:3, :3] @ (kji + origin) + world[:3, 3:]
        radius = effect.doubleParameter("Radius")
        array[:] = np.linalg.norm(points - np.array(ras)[:, None], axis=0) <= radius
        labelmap.Modified()
        mode = effect.ModificationModeRemove if erase else effect.ModificationModeAdd
        effect.modifySelectedSegmentByLabelmap(labelmap, mode)
