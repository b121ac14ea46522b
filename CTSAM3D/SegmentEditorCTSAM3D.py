"""Registers the Segment Editor effect CT-SAM3D; a module without a panel."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule


class SegmentEditorCTSAM3D(ScriptedLoadableModule):
    """Hidden module."""

    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = "SegmentEditorCTSAM3D"
        self.parent.categories = ["Segmentation"]
        self.parent.dependencies = ["Segmentations", "CTSAM3D"]
        self.parent.contributors = ["CT-SAM3D for 3D Slicer contributors"]
        self.parent.hidden = True
        self.parent.helpText = "Registers the Segment Editor effect CT-SAM3D."
        self.parent.acknowledgementText = ""
        slicer.app.connect("startupCompleted()", self.registerEffect)
        if getattr(slicer.modules, "segmenteditor", None) is not None:
            # Loaded into a running Slicer: the signal has been sent. Twice does no harm.
            self.registerEffect()

    def registerEffect(self):
        """Offer the effect to every Segment Editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        # As a package, before the host loads the file: it would replace the package by the file.
        import SegmentEditorCTSAM3DLib  # noqa: F401

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        source = Path(__file__).resolve().parent / "SegmentEditorCTSAM3DLib/SegmentEditorEffect.py"
        effect.setPythonSource(source.as_posix())
        effect.self().register()
