"""Models are added from a file in the panel; Slicer stays usable meanwhile."""

from __future__ import annotations

import importlib.util
import threading
import unittest
from pathlib import Path
from unittest import mock

import slicer
from CTSAM3DModuleLib.panel.model_import import ImportStopped, ModelImport
from event_loop import HANG_S, until
from models_case import BUNDLED, ModelsCase, imported
from panel_case import MIDDLE
from view_mouse import click_and_wait

from CTSAM3DLib.errors import CheckpointError, ModelExistsError


class AddModelTest(ModelsCase):
    def test_model_is_added_and_offered_but_not_taken(self):
        asked = []

        def run(path, replace, report):
            asked.append((path, replace, threading.current_thread()))
            self.put("mine")
            return imported(notes=("not used, though in the file: epoch",))

        self.assertEqual(self.names(), [BUNDLED])
        self.add(run)
        path, replace, thread = asked[0]
        self.assertEqual((path, replace), (Path("/downloads/params.pth"), False))
        self.assertIsNot(thread, threading.main_thread())
        self.assertEqual(self.names(), [BUNDLED, "mine"])
        for words in ("mine was added", "tiny", "428 of 428", "with cross-patch", "epoch"):
            self.assertIn(words, self.text)
        self.assertFalse(self.ui.modelStatusLabel.isHidden())
        self.assertEqual(self.ui.modelStatusLabel.styleSheet, "")
        self.assertEqual(self.case.parameters.model, "")
        self.segment()
        self.assertEqual(self.case.loaded[-1][0], None)
        self.ui.modelBox.currentIndex = 1
        click_and_wait(self.case, MIDDLE)
        self.assertEqual(self.case.loaded[-1][0], "mine")

    def test_slicer_goes_on_and_progress_is_told(self):
        gate = threading.Event()

        def run(path, replace, report):
            report("checking the weights")
            gate.wait(HANG_S)
            return imported(has_cross_patch=False)

        self.section.run_import = run
        self.addCleanup(gate.set)
        self.case.press("addModelButton")
        self.assertIn("Adding params.pth", self.text)
        self.assertTrue(self.ui.addModelButton.enabled)
        self.assertEqual(self.ui.addModelButton.text, "Cancel")
        self.assertFalse(self.ui.removeModelButton.enabled)
        self.assertEqual(self.ui.removeModelButton.toolTip, "Wait until the model is added.")
        until(lambda: "checking the weights" in self.text, "the report")
        self.assertEqual(self.text, "Adding params.pth: checking the weights ...")
        self.segment()  # while the import waits
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        self.assertTrue(self.section.busy)
        gate.set()
        self.wait()
        self.assertIn("without cross-patch predictor, which is not in the file", self.text)
        self.assertTrue(self.ui.addModelButton.enabled)
        self.assertEqual(self.ui.addModelButton.text, "Add model...")

    def test_cancelled_by_the_same_button(self):
        gate, wrote = threading.Event(), []

        def run(path, replace, report):
            report("reading params.pth")
            gate.wait(HANG_S)
            report("writing")
            wrote.append(path)
            return imported()

        self.section.run_import = run
        self.addCleanup(gate.set)
        hint = self.ui.addModelButton.toolTip
        self.case.press("addModelButton")
        self.assertEqual(self.ui.addModelButton.text, "Cancel")
        self.assertIn("nothing is changed", self.ui.addModelButton.toolTip)
        self.case.press("addModelButton")
        self.assertFalse(self.ui.addModelButton.enabled)
        self.assertEqual(self.ui.addModelButton.toolTip, "It stops when this step has ended.")
        gate.set()
        self.wait()
        self.assertEqual(wrote, [])
        self.assertEqual(self.text, "Adding params.pth was cancelled; nothing was changed.")
        self.assertEqual(self.ui.modelStatusLabel.styleSheet, "")
        self.assertEqual(self.ui.addModelButton.text, "Add model...")
        self.assertEqual(self.ui.addModelButton.toolTip, hint)
        self.assertTrue(self.ui.addModelButton.enabled)
        self.add(lambda path, replace, report: imported())
        self.assertIn("mine was added", self.text)

    def test_no_file_chosen(self):
        self.section.choose_file = lambda: ""
        self.section.run_import = mock.Mock()
        self.case.press("addModelButton")
        self.assertFalse(self.section.busy)
        self.section.run_import.assert_not_called()
        self.assertTrue(self.ui.modelStatusLabel.isHidden())

    def test_problems_are_told_in_words(self):
        for error, words in (
            (CheckpointError("params.pth: expected weights"), "params.pth: expected weights"),
            (ModuleNotFoundError("No module named 'torch'"), "PyTorch is needed"),
            (MemoryError(), "not enough memory"),
            (ZeroDivisionError(), "ZeroDivisionError"),
        ):
            with self.subTest(error=error):
                self.add(mock.Mock(side_effect=error))
                self.assertIn(words, self.text)
                self.assertIn("color", self.ui.modelStatusLabel.styleSheet)
                self.assertEqual(self.names(), [BUNDLED])
                self.assertTrue(self.ui.addModelButton.enabled)

    def test_a_model_of_that_name_is_replaced_only_if_wanted(self):
        def run(path, replace, report):
            if not replace:
                raise ModelExistsError("there is a model 'mine' already")
            return imported()

        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=False) as ask:
            self.add(run)
        self.assertIn("there is a model 'mine' already", ask.call_args[0][0])
        self.assertEqual(self.text, "Nothing was changed.")
        forget = mock.patch.object(self.case.logic.engine, "forget_models")
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True), forget as f:
            self.add(run)
        f.assert_called_once_with()
        self.assertIn("mine was added", self.text)

    def test_a_replaced_model_is_loaded_anew(self):
        self.put("mine")
        self.again()
        self.ui.modelBox.currentIndex = 1
        self.segment()
        loads = self.case.loaded.count(("mine", "auto"))
        self.add(lambda path, replace, report: imported())
        click_and_wait(self.case, (60.0, 44.0, 60.0))
        self.assertEqual(self.case.loaded.count(("mine", "auto")), loads + 1)
        self.assertEqual(self.case.rows()[0][1], "2 / 0")

    def test_without_pytorch_the_button_says_why(self):
        panel = self.case.widget.panel
        reason = mock.PropertyMock(return_value="PyTorch is not ready: see the top of this panel.")
        with mock.patch.object(type(panel.torch), "reason", reason):
            panel.on_torch()
            self.assertFalse(self.ui.addModelButton.enabled)
            self.assertIn("PyTorch is not ready", self.ui.addModelButton.toolTip)
        panel.on_torch()
        self.assertTrue(self.ui.addModelButton.enabled)

    def test_an_import_can_be_stopped_before_it_writes(self):
        begun, gate = threading.Event(), threading.Event()

        def run(path, replace, report):
            begun.set()
            gate.wait(HANG_S)
            report("writing")
            raise AssertionError("it went on")

        job = ModelImport(run, Path("params.pth"), False)
        self.assertTrue(begun.wait(HANG_S))
        self.assertFalse(job.wait(0))
        job.ask_to_stop()
        gate.set()
        job.stop()
        self.assertTrue(job.wait(0))
        self.assertIsInstance(job.error, ImportStopped)

    @unittest.skipUnless(importlib.util.find_spec("torch"), "PyTorch is not installed")
    def test_a_real_file_and_a_damaged_one(self):
        import torch

        from CTSAM3DLib.bundles.official_weights import layout
        from CTSAM3DLib.network.official.sizes import OFFICIAL_VARIANTS

        state = {
            key: torch.ones(1, dtype=dtype).reshape([1] * len(shape)).expand(shape)
            for key, (shape, dtype) in layout(OFFICIAL_VARIANTS["tiny"]).items()
        }
        path = self.folder.parent / "params.pth"
        self.section.choose_file = lambda: str(path)
        torch.save({"model_state_dict": {**state, "more": torch.ones(1)}}, path)
        self.add(self.section.run_import)
        self.assertIn("Nothing was added", self.text)
        self.assertIn("1 unexpected: more", self.text)
        self.assertEqual(list(self.folder.iterdir()), [])
        torch.save({"model_state_dict": state}, path)
        self.add(self.section.run_import)
        self.assertIn("ct-sam3d-tiny was added: CT-SAM3D tiny, 428 of 428", self.text)
        self.assertEqual(self.names(), [BUNDLED, "ct-sam3d-tiny"])
        self.ui.modelBox.currentIndex = 1
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertEqual([file.name for file in self.folder.iterdir()], ["models.json"])

    test_a_real_file_and_a_damaged_one.slow = True  # writes 592 MB
