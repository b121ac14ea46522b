"""Models are added from a file and removed again in the panel; Slicer stays usable meanwhile."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
import threading
import time
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import slicer
from ctsam3d_case import CTSAM3DCase
from CTSAM3DModuleLib.panel_models import ImportStopped, ModelImport
from panel_case import MIDDLE, StateTestCase
from view_mouse import click

from CTSAM3DLib.errors import CheckpointError, ModelExistsError

BUNDLED = "ctsam3d-lite"


def imported(name="mine", **changes):
    """Return what an import gives back."""
    values = {"keys": 428, "has_cross_patch": True, "notes": (), **changes}
    entry = SimpleNamespace(model_id=name, variant="tiny", size_bytes=296_500_000)
    return SimpleNamespace(entry=entry, **values)


class FolderCase(StateTestCase):
    """A folder of the user's models."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "models"
        self.folder.mkdir()
        target = "CTSAM3DLib.model_store.user_models_folder"
        patch = mock.patch(target, return_value=self.folder)
        patch.start()
        self.addCleanup(patch.stop)

    def put(self, *names):
        """Put models into the user's folder, as an import does."""
        entries = []
        for name in names:
            content = name.encode()
            (self.folder / f"{name}.pt").write_bytes(content)
            entries.append(
                {
                    "id": name,
                    "file": f"{name}.pt",
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "bytes": len(content),
                    "licence": "MIT",
                    "patch_size": 64,
                    "spacing_range_mm": [1.5, 1.5],
                    "default_spacing_mm": 1.5,
                    "windows_hu": [[-125, 225]],
                }
            )
        manifest = {"schema": 1, "models": entries}
        (self.folder / "models.json").write_text(json.dumps(manifest))


class ModelsCase(FolderCase):
    """The panel, with the buttons for models."""

    def setUp(self):
        super().setUp()
        self.start()
        self.section = self.case.widget.panel.models
        self.addCleanup(self.again)
        for name in ("choose_file", "run_import"):
            self.addCleanup(setattr, self.section, name, getattr(self.section, name))
        self.section.choose_file = lambda: "/downloads/params.pth"

    def again(self):
        """Show the models that are really installed."""
        self.case.widget.panel.choice.list_models()
        self.section._list()
        self.section._tell("")

    def wait(self, seconds=60.0):
        """Let the application go on until the import has ended."""
        end = time.monotonic() + seconds
        while self.section.busy:
            if time.monotonic() > end:
                raise TimeoutError("the import did not end in time")
            time.sleep(0.005)
            slicer.app.processEvents()

    def add(self, run):
        """Add a model with a stand-in for the import."""
        self.section.run_import = run
        self.case.press("addModelButton")
        self.wait()

    def names(self):
        return [self.ui.modelBox.itemText(n) for n in range(self.ui.modelBox.count)]

    @property
    def text(self):
        return self.ui.modelStatusLabel.text


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
        self.case.settle()
        self.assertEqual(self.case.loaded[-1][0], None)
        self.ui.modelBox.currentIndex = 1
        click("Red", MIDDLE)
        self.case.settle()
        self.assertEqual(self.case.loaded[-1][0], "mine")

    def test_slicer_goes_on_and_progress_is_told(self):
        gate, reported = threading.Event(), threading.Event()

        def run(path, replace, report):
            report("checking the weights")
            reported.set()
            gate.wait(20)
            return imported(has_cross_patch=False)

        self.section.run_import = run
        self.addCleanup(gate.set)
        self.case.press("addModelButton")
        self.assertIn("Adding params.pth", self.text)
        self.assertFalse(self.ui.addModelButton.enabled)
        self.assertEqual(self.ui.addModelButton.toolTip, "Wait until the model is added.")
        end = time.monotonic() + 20
        while "checking the weights" not in self.text and time.monotonic() < end:
            reported.wait(0.01)
            slicer.app.processEvents()
        self.assertEqual(self.text, "Adding params.pth: checking the weights ...")
        self.segment()  # while the import waits
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        self.assertTrue(self.section.busy)
        gate.set()
        self.wait()
        self.assertIn("without cross-patch predictor, which is not in the file", self.text)
        self.assertTrue(self.ui.addModelButton.enabled)

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
        self.case.settle()
        loads = self.case.loaded.count(("mine", "auto"))
        self.add(lambda path, replace, report: imported())
        click("Red", (60.0, 44.0, 60.0))
        self.case.settle()
        self.assertEqual(self.case.loaded.count(("mine", "auto")), loads + 1)
        self.assertEqual(self.case.rows()[0][1], "2 / 0")

    def test_without_pytorch_the_button_says_why(self):
        panel = self.case.widget.panel
        reason = mock.PropertyMock(return_value="PyTorch is not ready: see the top of this panel.")
        with mock.patch.object(type(panel.torch), "reason", reason):
            panel._on_torch()
            self.assertFalse(self.ui.addModelButton.enabled)
            self.assertIn("PyTorch is not ready", self.ui.addModelButton.toolTip)
        panel._on_torch()
        self.assertTrue(self.ui.addModelButton.enabled)

    def test_an_import_can_be_stopped_before_it_writes(self):
        begun, gate = threading.Event(), threading.Event()

        def run(path, replace, report):
            begun.set()
            gate.wait(20)
            report("writing")
            raise AssertionError("it went on")

        job = ModelImport(run, Path("params.pth"), False)
        self.assertTrue(begun.wait(20))
        self.assertFalse(job.wait(0))
        job._stop.set()
        gate.set()
        job.stop()
        self.assertTrue(job.wait(0))
        self.assertIsInstance(job.error, ImportStopped)

    @unittest.skipUnless(importlib.util.find_spec("torch"), "PyTorch is not installed")
    def test_a_real_file_and_a_damaged_one(self):
        import torch

        from CTSAM3DLib.network.official_layout import layout
        from CTSAM3DLib.network.variants import OFFICIAL_VARIANTS

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


class RemoveModelTest(ModelsCase):
    def test_only_what_the_user_has_added_can_be_removed(self):
        self.put("mine", "other")
        self.again()
        self.assertEqual(self.names(), [BUNDLED, "mine", "other"])
        self.assertFalse(self.ui.removeModelButton.enabled)
        self.assertEqual(self.ui.removeModelButton.toolTip, "This model was not added here.")
        self.ui.modelBox.currentIndex = 1
        self.assertTrue(self.ui.removeModelButton.enabled)
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=False) as ask:
            self.case.press("removeModelButton")
        self.assertIn("Remove the model mine", ask.call_args[0][0])
        self.assertTrue((self.folder / "mine.pt").exists())
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertFalse((self.folder / "mine.pt").exists())
        self.assertEqual(self.names(), [BUNDLED, "other"])
        self.assertEqual(self.ui.modelBox.currentText, BUNDLED)
        self.assertEqual(self.case.parameters.model, "")
        self.assertEqual(self.text, "mine was removed.")
        self.assertFalse(self.ui.removeModelButton.enabled)

    def test_a_model_that_is_gone_already(self):
        self.put("mine")
        self.again()
        self.ui.modelBox.currentIndex = 1
        (self.folder / "models.json").unlink()
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertIn("unknown model 'mine'", self.text)
        self.assertIn("color", self.ui.modelStatusLabel.styleSheet)


class EffectModelsTest(FolderCase):
    """The Segment Editor effect offers what there is when it is chosen."""

    def setUp(self):
        super().setUp()
        self.effect_case = CTSAM3DCase()
        self.addCleanup(self.effect_case.close)

    @property
    def box(self):
        return self.effect_case.effect.options.modelBox

    def names(self):
        return [self.box.itemText(n) for n in range(self.box.count)]

    def chosen_again(self):
        self.effect_case.editor.setActiveEffectByName("")
        self.effect_case.effect = self.effect_case.activate("CT-SAM3D")

    def test_new_models_are_offered_and_one_that_is_gone_is_not_replaced_silently(self):
        self.assertEqual(self.names(), [BUNDLED])
        self.put("mine")
        self.chosen_again()
        self.assertEqual(self.names(), [BUNDLED, "mine"])
        self.assertEqual(self.box.currentText, BUNDLED)
        self.assertIsNone(self.effect_case.effect.editor.choice.model)
        self.box.currentIndex = 1
        self.assertEqual(self.effect_case.effect.editor.choice.model, "mine")
        (self.folder / "models.json").unlink()
        self.chosen_again()
        self.assertEqual(self.box.currentText, "mine")
        self.assertEqual(self.effect_case.effect.editor.choice.model, "mine")
        self.box.currentIndex = 0
        self.chosen_again()
        self.assertEqual(self.names(), [BUNDLED])
        self.assertEqual(self.box.currentText, BUNDLED)


if __name__ == "__main__":
    unittest.main()
