"""The panel when something is missing or wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import slicer
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.torch_setup import TorchSetup
from panel_case import MIDDLE, StateTestCase
from segmentation_case import ball_volume
from view_mouse import click, click_and_wait

from CTSAM3DLib.errors import BundleError

BESIDE = (60.0, 44.0, 60.0)
SEGMENT_BUTTONS = ("insideButton", "outsideButton", "segmentButton", "segmentAllButton")


class GuardTest(StateTestCase):
    def test_no_volume(self):
        self.start(with_volume=False)
        self.assertEqual(self.case.status, "Choose a CT volume first.")
        names = (*SEGMENT_BUTTONS, "addButton", "keepButton", "importButton")
        self.assertFalse(any(getattr(self.ui, name).enabled for name in names))
        self.assertEqual(self.reasons(names), {"Choose a CT volume first."})
        self.ui.searchBox.text = "liver"
        self.assertFalse(self.ui.addButton.enabled)

    def test_a_ct_that_is_loaded_later_is_taken(self):
        self.start(with_volume=False)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "Later.nrrd")
            volume = ball_volume()
            slicer.util.saveNode(volume, path)
            slicer.mrmlScene.RemoveNode(volume)
            slicer.app.processEvents()
            self.assertEqual(self.case.status, "Choose a CT volume first.")
            self.case.volume = slicer.util.loadVolume(path)
        slicer.app.processEvents()
        self.assertIs(self.ui.volumeSelector.currentNode(), self.case.volume)
        self.assertEqual(self.case.status, "Add a structure first.")
        ball_volume()
        slicer.app.processEvents()
        self.assertIs(self.ui.volumeSelector.currentNode(), self.case.volume)
        self.segment()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_no_structure(self):
        self.start()
        self.assertEqual(self.case.status, "Add a structure first.")
        self.assertEqual(self.reasons(SEGMENT_BUTTONS[:3]), {"Add a structure first."})
        self.case.add("liver")
        self.assertEqual(
            self.case.status, 'Press "Add inside", then click inside Liver in a slice view.'
        )
        self.assertTrue(self.ui.insideButton.enabled)
        self.assertIn("Escape", self.ui.insideButton.toolTip)

    def test_the_hint_fits_the_buttons_that_are_down(self):
        self.start()
        self.segment()
        self.case.press_and_wait("undoButton")
        self.assertEqual(self.case.status, "Click inside Liver in a slice view.")
        self.case.press("lassoButton")
        self.assertEqual(self.case.status, "Draw inside Liver in a slice view.")
        self.case.press("boxButton")
        self.assertEqual(self.case.status, "Draw a box around Liver in a slice view.")
        self.case.press("outsideButton")
        self.assertEqual(self.case.status, "Draw outside Liver in a slice view.")
        self.case.press("pointButton")
        self.assertEqual(self.case.status, "Click outside Liver in a slice view.")
        self.case.press("outsideButton")
        self.assertEqual(
            self.case.status, 'Press "Add inside", then click inside Liver in a slice view.'
        )
        self.case.press("lassoButton")
        self.assertEqual(self.case.status, 'Press "Add inside", then draw in a slice view.')

    def test_a_button_that_is_pressed_after_a_result_shows_its_hint(self):
        self.start()
        self.segment()
        for button, hint in (
            ("outsideButton", "Click outside Liver in a slice view."),
            ("insideButton", "Click inside Liver in a slice view."),
            ("strokeButton", "Draw inside Liver in a slice view."),
            ("pointButton", "Click inside Liver in a slice view."),
        ):
            with self.subTest(button=button):
                self.case.widget.panel.workplace.tell(Status("Found.", "done"))
                self.assertEqual(self.case.status, "Found.")
                self.case.press(button)
                self.assertEqual(self.case.status, hint)
        click_and_wait(self.case, BESIDE)
        self.assertIn("Prompts: 2.", self.case.status)
        self.case.press("insideButton")  # ends
        self.assertIn("Prompts: 2.", self.case.status)
        self.case.predictor.gate.clear()
        self.case.press("insideButton")
        click("Red", (36.0, 44.0, 60.0))
        self.case.press("outsideButton")
        self.assertEqual(self.case.status, "Segmenting ...")

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

    def test_a_thin_slab(self):
        volume = ball_volume()  # 96 x 88 x 120 mm
        self.start(volume=volume)
        self.assertEqual(self.ui.warningLabel.text, "")
        volume.SetSpacing(2.0, 0.8, 3.0)
        self.assertIn("a field of view of 35.2 mm", self.ui.warningLabel.text)
        self.assertFalse(self.ui.warningLabel.isHidden())

    def test_click_outside_the_volume(self):
        self.start()
        self.segment(place=(-6.0, 44.0, 60.0))
        self.assertIn("outside the CT", self.case.status)
        self.assertEqual(self.case.rows(), [("Liver", "0 / 0", "0.0")])
        click_and_wait(self.case, MIDDLE)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_a_hidden_structure_is_told(self):
        self.start()
        self.segment()
        display = self.case.segmentation.GetDisplayNode()
        told = "Liver is hidden: show it in the module Data or Segment Editor."
        self.assertNotIn(told, self.case.status)
        for hide, show in (
            (lambda: display.SetVisibility(False), lambda: display.SetVisibility(True)),
            (
                lambda: display.SetSegmentVisibility(self.case.segment_id, False),
                lambda: display.SetSegmentVisibility(self.case.segment_id, True),
            ),
        ):
            hide()
            self.case.press_and_wait("undoButton")
            self.assertEqual(self.case.status, f"Click inside Liver in a slice view. {told}")
            self.case.press("redoButton")
            show()
            self.case.press_and_wait("undoButton")
            self.assertEqual(self.case.status, "Click inside Liver in a slice view.")
            self.case.press_and_wait("redoButton")

    def test_only_outside(self):
        self.start()
        self.case.add("liver")
        self.case.press("outsideButton")
        click_and_wait(self.case, MIDDLE)
        self.assertIn("click inside the structure, too", self.case.status)
        self.assertEqual(self.case.rows(), [("Liver", "0 / 1", "0.0")])

    def test_failing_model_leaves_everything(self):
        self.start()
        self.segment()
        before = self.case.mask()
        self.case.predictor.fail_next = BundleError("checksum of the model is wrong")
        click_and_wait(self.case, BESIDE)
        self.assertEqual(self.case.status, "checksum of the model is wrong")
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        np.testing.assert_array_equal(self.case.mask(), before)
        click_and_wait(self.case, BESIDE)
        self.assertEqual(self.case.rows()[0][1], "2 / 0")

    def test_model_of_a_scene_that_is_not_here(self):
        self.start()
        self.case.load = self.case.loaded.append
        self.case.parameters.model = "other-model"
        self.assertEqual(self.ui.modelBox.currentText, "other-model")
        self.segment()
        self.assertEqual(self.case.loaded[-1][0], "other-model")

    def test_device_and_grow_are_used(self):
        self.start()
        labels = [self.ui.deviceBox.itemText(n) for n in range(self.ui.deviceBox.count)]
        self.assertEqual(
            labels, ["Automatic", "Processor (CPU)", "Card 0 (cuda:0)", "Card 1 (cuda:1)"]
        )
        self.ui.deviceBox.currentIndex = 3
        self.assertTrue(self.ui.growBox.checked)
        self.ui.growBox.checked = False
        self.segment()
        self.assertEqual(self.case.loaded[-1], (None, "cuda:1"))
        self.assertFalse(self.case.widget.panel.workplace.editor.choice.grow)
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
        self.press_and_agree()  # fails: the fake cannot import
        self.assertIn("torchgen is missing", self.ui.torchLabel.text)

    def setup_that_installs(self, seen, runner=None):
        """PyTorch is not there before `installTorch`, which notes what the user sees meanwhile."""
        there = {"PyTorchUtils"}

        def install(**options):
            cursor = slicer.app.overrideCursor() is not None
            seen.append((self.ui.torchLabel.text, self.ui.torchButton.isHidden(), cursor))

        logic = SimpleNamespace(
            installTorch=install, getCompatibleComputationBackends=lambda **options: ["cpu"]
        )
        return TorchSetup(
            find_spec=lambda name: SimpleNamespace() if name in there else None,
            import_module=lambda name: SimpleNamespace(PyTorchUtilsLogic=lambda: logic),
            installed_version=lambda name: "2.9.0",
            extensions_model=lambda: SimpleNamespace(isExtensionInstalled=lambda name: False),
            has_gpu=lambda: False,
            runner=lambda: runner,
        )

    def press_and_agree(self):
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True):
            self.ui.torchButton.click()

    def test_an_older_slicer_says_before_that_it_will_not_answer(self):
        seen = []
        self.start(torch=self.setup_that_installs(seen))
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=False):
            self.ui.torchButton.click()
        self.assertEqual(seen, [])
        self.press_and_agree()
        ((text, hidden, cursor),) = seen
        self.assertIn("Slicer does not answer for some minutes", text)
        self.assertTrue(hidden)
        self.assertTrue(cursor)
        self.assertIsNone(slicer.app.overrideCursor())
        self.assertIn("PyTorch was not installed", self.ui.torchLabel.text)
        self.assertFalse(self.ui.torchButton.isHidden())

    def test_a_newer_slicer_stays_usable_and_tells_how_far_it_is(self):
        seen, runs = [], []

        def run(module, arguments, **options):
            runs.append((module, arguments, options))
            self.assertIn("this takes minutes", self.ui.torchLabel.text)
            self.assertIsNotNone(slicer.app.overrideCursor())

        self.start(torch=self.setup_that_installs(seen, run))
        self.press_and_agree()
        ((module, arguments, options),) = runs
        self.assertEqual(module, "light_the_torch")
        self.assertEqual(arguments, ["install", "torch>=2.2", "torchvision"])
        self.assertFalse(options["blocking"])
        self.assertEqual(seen, [])
        self.assertIsNone(slicer.app.overrideCursor())
        options["logCallback"]("Collecting torch>=2.2")
        self.assertIn("Collecting torch", self.ui.torchLabel.text)
        self.case.panel.exit()
        self.case.panel.enter()  # still under way
        self.assertIn("Collecting torch", self.ui.torchLabel.text)
        self.assertTrue(self.ui.torchButton.isHidden())
        options["logCallback"]("ERROR: no space left on device")
        options["completedCallback"](1)
        self.assertIn("no space left on device", self.ui.torchLabel.text)
        self.assertFalse(self.ui.torchButton.isHidden())
        self.press_and_agree()
        runs[1][2]["completedCallback"](0)
        self.assertIn("PyTorch", self.ui.torchLabel.text)
        self.assertNotIn("no space", self.ui.torchLabel.text)

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
