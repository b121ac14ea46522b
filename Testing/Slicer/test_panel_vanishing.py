"""The panel when things vanish in the middle of a computation, or are handed over."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
from event_loop import HANG_S
from panel_case import MIDDLE, StateTestCase, ready_torch
from segmentation_case import ball_volume
from view_mouse import click_and_wait

BESIDE = (60.0, 44.0, 60.0)
SEGMENT_BUTTONS = ("insideButton", "outsideButton", "segmentButton", "segmentAllButton")


class VanishingTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start()

    def begin(self):
        """Have a click under way."""
        self.case.predictor.gate.clear()
        self.segment(wait=False)
        self.assertEqual(self.case.status, "Segmenting ...")
        self.assertEqual(self.ui.progressBar.maximum, 0)
        self.assertTrue(self.ui.cancelButton.enabled)

    def end(self):
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertFalse(self.ui.cancelButton.enabled)
        self.assertEqual(self.ui.progressBar.maximum, 1)
        self.assertNotEqual(self.case.status, "Segmenting ...")

    def test_cancel(self):
        self.begin()
        self.case.press("cancelButton")
        self.assertEqual(self.case.status, "Cancelled; nothing was changed.")
        self.end()
        self.assertEqual(self.case.rows(), [("Liver", "0 / 0", "0.0")])
        click_and_wait(self.case, MIDDLE)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_scene_is_closed(self):
        self.begin()
        slicer.mrmlScene.Clear()
        self.end()
        self.assertEqual(self.case.rows(), [])
        self.assertEqual(self.case.status, "Choose a CT volume first.")
        self.assertFalse(self.ui.insideButton.checked)
        self.case.volume = ball_volume()
        self.ui.volumeSelector.setCurrentNode(self.case.volume)
        self.segment()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_volume_is_deleted(self):
        self.begin()
        slicer.mrmlScene.RemoveNode(self.case.volume)
        self.end()
        self.assertEqual(self.case.status, "Choose a CT volume first.")
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver"])
        self.assertFalse(self.ui.insideButton.checked)

    def test_segmentation_is_deleted(self):
        self.begin()
        slicer.mrmlScene.RemoveNode(self.case.segmentation)
        self.end()
        self.assertEqual(self.case.rows(), [])
        self.segment("spleen")
        self.assertEqual(self.case.rows()[0][:2], ("Spleen", "1 / 0"))

    def test_segment_is_deleted(self):
        self.begin()
        self.case.segmentation.GetSegmentation().RemoveSegment(self.case.segment_id)
        self.end()
        self.assertEqual(self.case.rows(), [])

    def test_another_structure_meanwhile(self):
        self.begin()
        liver = self.case.segment_id
        self.case.add("spleen")
        self.end()
        self.assertEqual([row[1] for row in self.case.rows()], ["1 / 0", "0 / 0"])
        self.assertTrue(self.case.mask(liver).any())

    def test_another_segmentation_meanwhile(self):
        self.begin()
        self.ui.segmentationSelector.addNode()
        self.end()
        self.assertEqual(self.case.rows(), [])

    def test_leaving_meanwhile(self):
        self.begin()
        segmentation, segment_id = self.case.segmentation, self.case.segment_id
        self.case.panel.exit()
        self.case.predictor.gate.set()
        self.case.logic.controller.wait(HANG_S)
        self.case.panel.enter()
        self.case.settle()
        self.assertIs(self.case.segmentation, segmentation)
        self.assertEqual(self.case.segment_id, segment_id)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_reload_meanwhile(self):
        self.begin()
        self.case.predictor.gate.set()
        engine = self.case.logic.engine
        with mock.patch("CTSAM3DModuleLib.panel.pytorch.TorchSetup", ready_torch):
            slicer.util.reloadScriptedModule("CTSAM3D")
        self.assertTrue(engine.is_closed)
        self.case.renew()
        self.ui = self.case.ui
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver"])
        self.case.press("insideButton")
        click_and_wait(self.case, BESIDE)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_second_panel(self):
        second = slicer.modules.ctsam3d.createNewWidgetRepresentation()
        second.self().cleanup()
        self.segment()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")


class HandOverTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start()

    def test_scene_is_saved_and_loaded(self):
        self.segment()
        click_and_wait(self.case, BESIDE)
        mask, rows = self.case.mask(), self.case.rows()
        self.case.add("spleen")
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(path)
            self.case.settle()
        self.assertEqual(self.case.rows(), [*rows, ("Spleen", "0 / 0", "0.0")])
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        ours = [node for node in nodes if node.GetAttribute("ModuleName") == "CTSAM3D"]
        self.assertEqual(len(ours), 1)
        self.case.volume = self.case.parameters.volume
        self.ui.segmentsTable.selectRow(0)
        np.testing.assert_array_equal(self.case.mask(), mask)
        slicer.util.setSliceViewerLayers(background=self.case.volume, fit=True)
        self.case.press_and_wait("removeLastButton")
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        self.case.press_and_wait("undoButton")
        np.testing.assert_array_equal(self.case.mask(), mask)

    def test_the_structure_that_was_selected_is_so_after_loading(self):
        self.segment()
        spleen = self.case.add("spleen")
        self.case.add("aorta")
        self.case.widget.panel.workplace.select(spleen)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(path)
            self.case.settle()
        self.assertEqual(self.case.segment_id, spleen)
        self.assertEqual(self.ui.segmentsTable.currentRow(), 1)

    def test_a_scene_that_was_saved_while_points_are_placed(self):
        self.segment()
        self.assertTrue(self.ui.insideButton.checked)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            self.assertTrue(self.ui.insideButton.checked)
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(path)
        self.case.settle()
        slicer.util.setSliceViewerLayers(background=self.case.parameters.volume, fit=True)
        lists = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode")
        click_and_wait(self.case, BESIDE)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode"), lists)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_segment_editor_gets_what_is_edited(self):
        self.segment()
        node = self.case.logic.editorNode()
        self.assertIs(node.GetSegmentationNode(), self.case.segmentation)
        self.assertIs(node.GetSourceVolumeNode(), self.case.volume)
        self.assertEqual(node.GetSelectedSegmentID(), self.case.segment_id)
        with mock.patch.object(slicer.util, "selectModule") as select:
            self.case.press("openEditorButton")
        select.assert_called_once_with("SegmentEditor")

    def test_segment_editor_without_main_window(self):
        if slicer.util.mainWindow() is not None:
            self.skipTest("there is a main window")
        self.case.add("liver")
        self.case.press("openEditorButton")
        self.assertIn("main window", self.case.status)

    def test_masks_of_the_segment_editor_hold(self):
        self.segment("liver")
        liver = self.case.segment_id
        node = self.case.logic.editorNode()
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        node.SetMaskSegmentID(liver)
        self.addCleanup(node.SetMaskMode, slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        self.segment("spleen", BESIDE)
        self.assertTrue(self.case.mask().any())
        self.assertFalse((self.case.mask() & ~self.case.mask(liver)).any())

    def test_change_by_others_is_shown(self):
        self.segment()
        segment = self.case.segmentation.GetSegmentation().GetSegment(self.case.segment_id)
        segment.SetName("Renamed")
        segment.SetColor(1, 0, 0)
        self.case.settle()
        self.assertEqual(self.case.rows()[0][0], "Renamed")
        self.case.segmentation.GetSegmentation().AddEmptySegment("more", "more")
        self.case.settle()
        self.assertEqual(len(self.case.rows()), 2)

    def test_diagnostics(self):
        self.case.wait_for_torch()
        self.case.volume.SetName("Doe^Jane")
        self.segment()
        self.case.press("diagnosticsButton")
        text = qt.QApplication.clipboard().text()
        self.assertIn("Device in use: cpu", text)
        self.assertIn("PyTorch: ready, version 2.9.0", text)
        self.assertRegex(text, r"Last clicks \(ms\): \d+")
        self.assertNotIn("Doe", text)
        self.assertIn("copied", self.case.status)


class BareTest(StateTestCase):
    def test_without_views(self):
        with mock.patch.object(type(slicer.app), "layoutManager", return_value=None):
            self.start()
            self.case.add("liver")
            self.assertEqual(self.case.rows()[0][0], "Liver")

    def test_constructed_alone_and_never_entered(self):
        representation = slicer.modules.ctsam3d.createNewWidgetRepresentation()
        widget = representation.self()
        volume = ball_volume()
        slicer.mrmlScene.Clear()
        self.assertIsNone(widget.ui.volumeSelector.currentNode())
        self.assertIsNone(widget.panel.torch.state)
        del volume
        widget.cleanup()
