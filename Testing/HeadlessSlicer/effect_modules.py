"""Modules that effects import: PythonQt's names for the libraries of Segmentations."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from Testing.HeadlessSlicer import effect_base, effect_host

MODULES_OF_THE_WHEEL = (
    "vtkSegmentationCorePython",
    "vtkITK",
    "vtkSlicerSegmentationsModuleLogicPython",
    "vtkSlicerSegmentationsModuleMRMLPython",
)


def install(effects_folder: str) -> None:
    """Put the modules into `sys.modules`, and the base classes of effects on `sys.path`."""
    effects = ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    for cls in (
        effect_base.qSlicerSegmentEditorAbstractEffect,
        effect_host.qSlicerSegmentEditorScriptedEffect,
        effect_host.qSlicerSegmentEditorEffectFactory,
    ):
        setattr(effects, cls.__name__, cls)
    sys.modules[effects.__name__] = effects
    for name in MODULES_OF_THE_WHEEL:
        try:
            sys.modules[name] = importlib.import_module(
                f"slicer_core.{name.removesuffix('Python')}"
            )
        except ImportError:
            continue
    sys.path.append(effects_folder)
