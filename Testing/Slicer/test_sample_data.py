"""Sample data: the generated torso with its clicks, and the self test on it."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import vtk
from console_case import INSIDE, OUTSIDE
from CTSAM3DModuleLib import sample_data, self_test
from CTSAM3DModuleLib.scripting.clicks import prompts_on_volume
from segmentation_case import ball_volume

from CTSAM3DLib import phantom
from CTSAM3DLib.errors import ClickOutsideVolumeError
from CTSAM3DLib.io.clicks import read_clicks, write_clicks
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.resources import resource_path


class SampleDataTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def tearDown(self):
        slicer.mrmlScene.Clear()

    def sources(self):
        import SampleData

        return [
            source
            for source in SampleData.SampleDataLogic.sampleDataSourcesByCategory("CT-SAM3D")
            if source.sampleName == "CTSAM3DTorso"
        ]

    def test_torso_is_offered_once_with_a_picture(self):
        (source,) = self.sources()
        slicer.modules.CTSAM3DInstance.onStartup()
        self.assertEqual(self.sources(), [source])
        size = source.thumbnailFileName and Path(source.thumbnailFileName).read_bytes()[16:24]
        self.assertEqual(np.frombuffer(size, ">u4").tolist(), [260, 280])

    def test_button_loads_volume_and_clicks(self):
        (source,) = self.sources()
        torso = phantom.torso_phantom(4.0)  # made in a tenth of the time
        with mock.patch.object(phantom, "torso_phantom", return_value=torso):
            volume, *points = source.customDownloader(source)
        self.assertEqual(volume.GetName(), "CTSAM3DTorso")
        stored = read_clicks(resource_path(sample_data.TORSO_CLICKS))
        self.assertEqual(len(points), len(stored))
        self.assertEqual(prompts_on_volume(points, volume), stored)

    def test_clicks_follow_the_volume(self):
        volume = ball_volume()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 200.0)
        transform.SetMatrixTransformToParent(matrix)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        clicks = {"my lesion": ClickHistory([Click(INSIDE), Click((50, 50, 70), False)])}
        (node,) = self.load(volume, clicks)
        position = [0.0] * 3
        node.GetNthControlPointPositionWorld(0, position)
        np.testing.assert_allclose(position, np.add(INSIDE, (200, 0, 0)))
        self.assertEqual(prompts_on_volume(node, volume), clicks)

    def test_clicks_of_another_volume_add_nothing(self):
        clicks = {
            "liver": ClickHistory([Click(INSIDE)]),
            "spleen": ClickHistory([Click(OUTSIDE)]),
        }
        with self.assertRaises(ClickOutsideVolumeError):
            self.load(ball_volume(), clicks)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")), 0)

    def load(self, volume, clicks):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "clicks.json")
            write_clicks(path, clicks)
            return sample_data.load_clicks(volume, path)

    def test_slicer_without_sample_data(self):
        with mock.patch.dict(sys.modules, {"SampleData": None}):
            self.assertFalse(sample_data.register(Path()))

    def test_category_has_a_title_where_slicer_knows_titles(self):
        import SampleData

        logic = SampleData.SampleDataLogic
        titles = {}
        with (
            mock.patch.object(
                logic,
                "registerCustomSampleDataCategory",
                lambda category, title: titles.update({category: title}),
                create=True,
            ),
            mock.patch.object(logic, "registerCustomSampleDataSource"),
        ):
            self.assertTrue(sample_data.register(Path()))
            (call,) = logic.registerCustomSampleDataSource.call_args_list
        self.assertEqual(titles, {"CT-SAM3D": "CT-SAM3D"})
        self.assertIsNone(call.kwargs["thumbnailFileName"])


class SelfTestTest(unittest.TestCase):
    def tearDown(self):
        slicer.mrmlScene.Clear()

    def run_self_test(self):
        from CTSAM3D import CTSAM3DTest

        test = CTSAM3DTest()
        test.runTest()

    def test_with_what_is_there(self):
        self.run_self_test()

    test_with_what_is_there.slow = True

    def test_without_torch(self):
        real = importlib.util.find_spec

        def find_spec(name, package=None):
            return None if name == "torch" else real(name, package)

        with (
            mock.patch.object(importlib.util, "find_spec", find_spec),
            mock.patch.object(
                self_test, "similar_voxels", mock.Mock(wraps=self_test.similar_voxels)
            ) as made,
        ):
            self.run_self_test()
        made.assert_called_once()

    test_without_torch.slow = True
