"""The C++ module logics that Slicer makes at its start, made here in the same way."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore

from Testing.HeadlessSlicer.native import cpp_property, native_class

LOGIC_CLASSES = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Units": "vtkSlicerUnitsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Texts": "vtkSlicerTextsLogic",
}


@native_class()
class qSlicerLoadableModule(QtCore.QObject):
    """A C++ module of Slicer: its name and logic, no panel."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__()
        self._name = name
        self._logic = logic

    name = cpp_property(str, lambda self: self._name)
    title = cpp_property(str, lambda self: self._name)
    path = cpp_property(str, lambda self: "")
    hidden = cpp_property(bool, lambda self: False)

    def logic(self) -> Any:
        """Return the C++ logic."""
        return self._logic

    def widgetRepresentation(self) -> None:
        """Return None: core modules have no panel here."""


def create_module_logics(
    application_logic: Any, scene: Any, share_directory: str
) -> list[qSlicerLoadableModule]:
    """Make every logic of `LOGIC_CLASSES` and register it with the application logic."""
    modules = []
    # The terminologies logic misses the files of a real installation.
    vtk.vtkObject.GlobalWarningDisplayOff()
    for name, class_name in LOGIC_CLASSES.items():
        logic = getattr(slicer, class_name)()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(share_directory)
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        modules.append(qSlicerLoadableModule(name, logic))
    vtk.vtkObject.GlobalWarningDisplayOn()
    return modules
