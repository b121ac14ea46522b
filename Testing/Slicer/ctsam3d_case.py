"""The effect on a volume with a predictor of numpy; the same here and in Slicer."""

from __future__ import annotations

import unittest

import slicer
from ball_predictor import BallPredictor
from event_loop import until
from segmentation_case import SegmentationCase
from view_mouse import click

from CTSAM3DLib.engine import SegmentationEngine

NAME = "CT-SAM3D"
MIDDLE = (48.0, 44.0, 60.0)
ASIDE = (70.0, 44.0, 60.0)


class CTSAM3DCase(SegmentationCase):
    """A segmentation case with the effect active and an engine that answers with balls."""

    def __init__(self, volume=None, predictor=None):
        super().__init__(volume)
        self.predictor = predictor or BallPredictor()
        self.logic = slicer.util.getModuleLogic("CTSAM3D")
        self.logic.setEngine(SegmentationEngine(lambda model, device: self.predictor))
        # As in a new scene of Slicer.
        self.node.SetOverwriteMode(self.node.OverwriteAllSegments)
        self.effect = self.activate(NAME)

    def continued(self, segmentation, volume):
        """Edit a loaded segmentation on a volume, in the same editor."""
        if not slicer.mrmlScene.IsNodePresent(self.node):
            self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
            self.editor.setMRMLSegmentEditorNode(self.node)
        self.segmentation, self.volume = segmentation, volume
        if segmentation.GetDisplayNode() is None:
            segmentation.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.editor.setSegmentationNode(segmentation)
        self.editor.setSourceVolumeNode(volume)
        self.editor.setCurrentSegmentID("organ")
        self.effect = self.activate(NAME)
        return self

    @property
    def controller(self):
        return self.logic.controller

    def settle(self):
        """Let the application go on until every answer is written."""
        until(lambda: not self.controller.busy, "the last answer")

    def clicks(self, segment_id="organ"):
        """Return the clicks in the tag of a segment."""
        from CTSAM3DLib.mrml import get_prompts

        return get_prompts(self.segmentation, segment_id)

    def close(self):
        self.predictor.gate.set()
        super().close()
        self.logic.setEngine(SegmentationEngine())


class EffectTestCase(unittest.TestCase):
    """The effect in a new scene."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = CTSAM3DCase()
        self.addCleanup(self.case.close)

    def click(self, ras=MIDDLE, view="Red", modifiers=()):
        """Click, and wait for all that comes of it; return the position that was hit."""
        hit = click(view, ras, modifiers)
        self.case.settle()
        return hit
