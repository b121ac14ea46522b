"""Registers the example effect, as extensions do."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule


class SegmentEditorHeadlessExample(ScriptedLoadableModule):
    """Hidden module."""

    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = "SegmentEditorHeadlessExample"
        self.parent.hidden = True
        self.parent.dependencies = ["Segmentations"]
        slicer.app.connect("startupCompleted()", self.registerEffect)

    def registerEffect(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        folder = Path(__file__).parent / "SegmentEditorHeadlessExampleLib"
        effect.setPythonSource((folder / "SegmentEditorEffect.py").as_posix())
        effect.self().register()
