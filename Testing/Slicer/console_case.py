"""The logic of the module with a predictor of numpy, for scripts; the same here and in Slicer."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from ball_predictor import BallPredictor
from event_loop import until

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.errors import DeviceError

OBLIQUE_LEFT_HANDED = np.array(
    [
        [-1.9319, 0.0, 0.7765, 30.0],
        [0.0, 2.0, 0.0, -40.0],
        [0.5176, 0.0, 2.8978, 10.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
INSIDE = (46.0, 44.0, 60.0)
OTHER = (30.0, 44.0, 60.0)
OUTSIDE = (-500.0, 0.0, 0.0)


class ConsoleCase(unittest.TestCase):
    """The logic with an engine that answers with balls."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.predictor = BallPredictor()
        self.loaded = []
        self.logic = slicer.util.getModuleLogic("CTSAM3D")
        self.logic.setEngine(SegmentationEngine(self.load))

    def tearDown(self):
        self.logic.setEngine(SegmentationEngine())
        slicer.mrmlScene.Clear()

    def load(self, model, device):
        if device not in ("auto", "cpu"):
            raise DeviceError(f"expected a device, got {device!r}")
        self.loaded.append((model, device))
        return self.predictor

    def segment_id(self, node, number=0):
        return node.GetSegmentation().GetNthSegmentID(number)

    def mask(self, node, volume, number=0):
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(
            node, self.segment_id(node, number), volume
        )
        return labels > 0

    def voxel_centre(self, node, volume, number=0):
        """Return the centre of a segment in voxels (i, j, k)."""
        return np.argwhere(self.mask(node, volume, number)).mean(axis=0)[::-1]

    def world(self, volume, ijk):
        """Return where a voxel lies in the world, by matrices and transforms alone."""
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        ras = matrix.MultiplyPoint([*map(float, ijk), 1.0])[:3]
        above = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            volume.GetParentTransformNode(), None, above
        )
        return above.TransformPoint(ras)

    def scene_text(self):
        """Return what the scene holds."""
        nodes = slicer.util.getNodesByClass("vtkMRMLNode")
        return sorted(
            f"{node.GetID()} {node.GetName()} {node.GetClassName()}"
            for node in nodes
            if not node.IsA("vtkMRMLSubjectHierarchyNode")
        )

    def assert_engine_at_rest(self):
        """Nothing is left that would hold up work in spare time."""
        until(lambda: not self.logic.engine.busy, "rest of the engine")

    def assert_scene_untouched(self, error, pattern, function):
        before = self.scene_text()
        with self.assertRaisesRegex(error, pattern):
            function()
        self.assertEqual(self.scene_text(), before)
