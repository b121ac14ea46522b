"""The panel when something is missing, wrong, or vanishes in the middle of a computation."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import qt
import slicer
from CTSAM3DModuleLib.torch_setup import TorchSetup
from segmentation_case import ball_volume
from test_panel_case import MIDDLE, PanelCase, ready_torch
from view_mouse import click

from CTSAM3DLib.errors import BundleError

BESIDE = (60.0, 44.0, 60.0)
SEGMENT_BUTTONS = ("insideButton", "outsideButton", "segmentButton", "segmentAllButton")


class StateTestCase(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def start(self, **options):
        self.case = PanelCase(**options)
        self.ui = self.case.ui
        self.addCleanup(self.case.close)

    def segment(self, name="liver", place=MIDDLE):
        self.case.add(name)
        self.case.press("insideButton")
        click("Red", place)

    def reasons(self, names):
        return {getattr(self.ui, name).toolTip for name in names}


class GuardTest(StateTestCase):
    def test_no_volume(self):
        self.start(with_volume=False)
        self.assertEqual(self.case.status, "Choose a CT volume first.")
        names = (*SEGMENT_BUTTONS, "addButton", "keepButton", "importButton")
        self.assertFalse(any(getattr(self.ui, name).enabled for name in names))
        self.assertEqual(self.reasons(names), {"Choose a CT volume first."})
        self.ui.searchBox.text = "liver"
        self.assertFalse(self.ui.addButton.enabled)

    def test_no_structure(self):
        self.start()
        self.assertEqual(self.case.status, "Add a structure first.")
        self.assertEqual(self.reasons(SEGMENT_BUTTONS[:3]), {"Add a structure first."})
        self.case.add("liver")
        self.assertEqual(
            self.case.status, 'Press "Add points inside", then click inside Liver in a slice view.'
        )
        self.assertTrue(self.ui.insideButton.enabled)
        self.assertIn("Escape", self.ui.insideButton.toolTip)

    def test_not_a_ct(self):
        volume = ball_volume()
        slicer.util.arrayFromVolume(volume)[:] += 2000
        slicer.util.arrayFromVolumeModified(volume)
        self.start(volume=volume)
        self.assertIn("Perhaps not a CT: no voxel below", self.ui.warningLabel.text)
        self.assertFalse(self.ui.warningLabel.isHidden())
        slicer.util.arrayFromVolume(volume)[:] -= 2000
        slicer.util.arrayFromVolumeModified(volume)
        self.assertEqual(self.ui.warningLabel.text, "")

    def test_click_outside_the_volume(self):
        self.start()
        self.segment(place=(-6.0, 44.0, 60.0))
        self.case.settle()
        self.assertIn("outside the CT", self.case.status)
        self.assertEqual(self.case.rows(), [("Liver", "0 / 0", "0.0")])
        click("Red", MIDDLE)
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_only_outside(self):
        self.start()
        self.case.add("liver")
        self.case.press("outsideButton")
        click("Red", MIDDLE)
        self.case.settle()
        self.assertIn("click inside the structure, too", self.case.status)
        self.assertEqual(self.case.rows(), [("Liver", "0 / 1", "0.0")])

    def test_failing_model_leaves_everything(self):
        self.start()
        self.segment()
        self.case.settle()
        before = self.case.mask()
        self.case.predictor.fail_next = BundleError("checksum of the model is wrong")
        click("Red", BESIDE)
        self.case.settle()
        self.assertEqual(self.case.status, "checksum of the model is wrong")
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        np.testing.assert_array_equal(self.case.mask(), before)
        click("Red", BESIDE)
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "2 / 0")

    def test_model_of_a_scene_that_is_not_here(self):
        self.start()
        self.case._load = self.case.loaded.append
        self.case.parameters.model = "other-model"
        self.assertEqual(self.ui.modelBox.currentText, "other-model")
        self.segment()
        self.case.settle()
        self.assertEqual(self.case.loaded[-1][0], "other-model")

    def test_device_and_grow_are_used(self):
        self.start()
        labels = [self.ui.deviceBox.itemText(n) for n in range(self.ui.deviceBox.count)]
        self.assertEqual(
            labels, ["Automatic", "Processor (CPU)", "Card 0 (cuda:0)", "Card 1 (cuda:1)"]
        )
        self.ui.deviceBox.currentIndex = 3
        self.ui.growBox.checked = True
        self.segment()
        self.case.settle()
        self.assertEqual(self.case.loaded[-1], (None, "cuda:1"))
        self.assertTrue(self.case.logic.engine.choice.grow)
        self.case.panel.exit()
        self.case.panel.enter()
        self.assertEqual(self.ui.deviceBox.currentText, "Card 1 (cuda:1)")


class TorchTest(StateTestCase):
    def setup_without(self, *there, extension=False):
        return TorchSetup(
            find_spec=lambda name: SimpleNamespace() if name in there else None,
            import_module=mock.Mock(side_effect=ImportError("torchgen is missing")),
            installed_version=lambda name: "2.9.0",
            extensions_model=lambda: SimpleNamespace(isExtensionInstalled=lambda name: extension),
            has_gpu=lambda: False,
        )

    def test_nothing_is_there(self):
        self.start(torch=self.setup_without())
        self.assertIn("extension PyTorch is missing", self.ui.torchLabel.text)
        self.assertEqual(self.ui.torchButton.text, "Install extension PyTorch")
        self.assertFalse(self.ui.torchButton.isHidden())
        self.case.add("liver")
        self.assertEqual(self.case.rows()[0][0], "Liver")
        self.assertFalse(any(getattr(self.ui, name).enabled for name in SEGMENT_BUTTONS))
        self.assertEqual(
            self.reasons(SEGMENT_BUTTONS), {"PyTorch is not ready: see the top of this panel."}
        )
        self.assertEqual(self.case.status, "PyTorch is not ready: see the top of this panel.")

    def test_torch_is_missing(self):
        self.start(torch=self.setup_without("PyTorchUtils"))
        self.assertEqual(self.ui.torchButton.text, "Install PyTorch")
        self.ui.torchButton.click()  # fails: the fake cannot import
        self.assertIn("torchgen is missing", self.ui.torchLabel.text)

    def test_restart_is_asked_for(self):
        self.start(torch=self.setup_without(extension=True))
        self.assertEqual(self.ui.torchButton.text, "Restart Slicer")
        with mock.patch.object(slicer.util, "restart") as restart:
            with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=False):
                self.ui.torchButton.click()
            restart.assert_not_called()
            with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True):
                self.ui.torchButton.click()
            restart.assert_called_once_with()

    def test_broken(self):
        self.start(torch=self.setup_without("torch", "PyTorchUtils"))
        self.case.wait_for_torch()
        self.assertIn("torchgen is missing", self.ui.torchLabel.text)
        self.assertEqual(self.ui.torchButton.text, "Open PyTorch Utils")
        with mock.patch.object(slicer.util, "selectModule") as select:
            self.ui.torchButton.click()
        select.assert_called_once_with("PyTorchUtils")

    def test_ready_has_no_button(self):
        self.start()
        self.case.wait_for_torch()
        self.assertIn("PyTorch 2.9.0 is ready", self.ui.torchLabel.text)
        self.assertTrue(self.ui.torchButton.isHidden())


class VanishingTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start()

    def begin(self):
        """Have a click under way."""
        self.case.predictor.gate.clear()
        self.segment()
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
        click("Red", MIDDLE)
        self.case.settle()
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
        self.case.settle()
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
        self.case.settle()
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
        self.case.logic.controller.wait(10)
        self.case.panel.enter()
        self.case.settle()
        self.assertIs(self.case.segmentation, segmentation)
        self.assertEqual(self.case.segment_id, segment_id)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_reload_meanwhile(self):
        self.begin()
        self.case.predictor.gate.set()
        engine = self.case.logic.engine
        with mock.patch("CTSAM3DModuleLib.panel_torch.TorchSetup", ready_torch):
            slicer.util.reloadScriptedModule("CTSAM3D")
        self.assertFalse(engine._worker.is_running)
        self.case.renew()
        self.ui = self.case.ui
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver"])
        self.case.press("insideButton")
        click("Red", BESIDE)
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_second_panel(self):
        second = slicer.modules.ctsam3d.createNewWidgetRepresentation()
        second.self().cleanup()
        self.segment()
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")


class HandOverTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start()

    def test_scene_is_saved_and_loaded(self):
        self.segment()
        click("Red", BESIDE)
        self.case.settle()
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
        self.case.press("removeLastButton")
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        self.case.press("undoButton")
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), mask)

    def test_segment_editor_gets_what_is_edited(self):
        self.segment()
        self.case.settle()
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
        self.case.settle()
        liver = self.case.segment_id
        node = self.case.logic.editorNode()
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        node.SetMaskSegmentID(liver)
        self.addCleanup(node.SetMaskMode, slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        self.segment("spleen", BESIDE)
        self.case.settle()
        self.assertTrue(self.case.mask().any())
        self.assertFalse((self.case.mask() & ~self.case.mask(liver)).any())

    def test_change_by_others_is_shown(self):
        self.segment()
        self.case.settle()
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
        self.case.settle()
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


if __name__ == "__main__":
    unittest.main()
