"""The effect with the bundled model on a generated CT, where PyTorch is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
from ctsam3d_case import CTSAM3DCase
from view_mouse import click_and_wait

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.resources import resource_path

# Deep inside the structures, RAS mm; least Dice, some 0.1 below what the bundled model gives.
CLICKS = {
    "liver": ([(83.0, -7.0, -21.0), (60.0, 20.0, -40.0)], 0.6),
    "kidney_left": ([(-65.0, -51.0, -47.0)], 0.48),
}


@unittest.skipUnless(importlib.util.find_spec("torch"), "PyTorch is not installed")
class BundledModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.torso, cls.truth = torso_phantom(spacing_mm=4.0)

    def setUp(self):
        slicer.mrmlScene.Clear()
        volume = self.torso
        node = slicer.util.addVolumeFromArray(volume.array_kji, volume.geometry.ijk_to_ras, "CT")
        node.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.case = CTSAM3DCase(node)
        self.addCleanup(self.case.close)
        self.case.logic.setEngine(SegmentationEngine())

    def test_an_organ_from_clicks_in_slice_views(self):
        self.segment_organs("kidney_left")

    def test_organs_from_clicks_in_slice_views(self):
        self.segment_organs(*CLICKS)

    test_organs_from_clicks_in_slice_views.slow = True

    def segment_organs(self, *names):
        for name in names:
            points, least = CLICKS[name]
            with self.subTest(name=name):
                segmentation = self.case.segmentation.GetSegmentation()
                segment_id = segmentation.AddEmptySegment(name, name)
                self.case.editor.setCurrentSegmentID(segment_id)
                for ras in points:
                    click_and_wait(self.case, ras)
                    # A warning where the liver ends at the border of what has been looked at.
                    self.assertIn(self.case.effect.editor.status.kind, ("done", "warning"))
                mask = self.case.mask(segment_id)
                for made in self.case.clicks(segment_id):
                    ijk = np.rint(np.linalg.inv(self.matrix()) @ [*made.position_ras, 1.0])
                    i, j, k = ijk[:3].astype(int)
                    self.assertTrue(mask[k, j, i])
                self.assertGreater(dice(mask, self.truth[name]), least)

    def test_damaged_model_file(self):
        source = resource_path("Models/models.json")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copy(source, folder)
            bundle = folder / "ctsam3d-lite.pt"
            content = source.with_name(bundle.name).read_bytes()
            for damage in (content[:1000], content[:-1] + bytes([content[-1] ^ 1])):
                bundle.write_bytes(damage)
                engine = SegmentationEngine(lambda model, device: load_predictor(bundle, device))
                self.case.logic.setEngine(engine)
                click_and_wait(self.case, CLICKS["liver"][0][0])
                status = self.case.effect.editor.status
                self.assertEqual(status.kind, "error")
                self.assertIn("expected", status.text)
                self.assertEqual(self.case.mask().sum(), 0)
                self.assertEqual(len(self.case.clicks()), 0)

    def test_a_model_that_a_scene_names_is_not_loaded(self):
        source = resource_path("Models/ctsam3d-lite.pt")
        with tempfile.TemporaryDirectory() as name:
            bundle = Path(name) / "theirs.pt"
            bundle.write_bytes(source.read_bytes() + b"other code")
            entry = json.loads(source.with_name("models.json").read_text())["models"][0]
            content = bundle.read_bytes()
            entry |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            bundle.with_name("theirs.pt.json").write_text(json.dumps(entry))
            self.case.effect.scriptedEffect.setParameter("Model", str(bundle))
            self.addCleanup(self.case.effect.scriptedEffect.setParameter, "Model", "")
            click_and_wait(self.case, CLICKS["liver"][0][0])
        status = self.case.effect.editor.status
        self.assertEqual(status.kind, "error")
        self.assertIn("was not made on this computer", status.text)
        self.assertEqual(self.case.mask().sum(), 0)

    def matrix(self):
        matrix = slicer.vtkMRMLSliceNode().GetXYToRAS()
        self.case.volume.GetIJKToRASMatrix(matrix)
        return slicer.util.arrayFromVTKMatrix(matrix)
