"""Nothing that the user drew is lost, whatever happens to model, device, volumes and editors."""

from __future__ import annotations

import gc
import sys
import types
import unittest
import weakref
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
from ctsam3d_case import ASIDE, MIDDLE, NAME, EffectTestCase
from segmentation_case import SHAPE_KJI, SegmentationCase, ball_volume
from view_mouse import click, click_and_wait

from CTSAM3DLib.engine import ModelChoice


def write(case, mask):
    """Put voxels into the segment as another tool would."""
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), case.segmentation, "organ", case.volume
    )


class MemoryTest(EffectTestCase):
    def setUp(self):
        super().setUp()
        self.imported = np.zeros(SHAPE_KJI, bool)
        self.imported[12:28, 15:29, 16:32] = True

    def set_device(self, name):
        box = self.case.effect.options.deviceBox
        box.currentIndex = box.findData(name)

    def import_and_click(self):
        """A block from elsewhere, and one click on it."""
        write(self.case, self.imported)
        self.click(MIDDLE)
        self.before = self.case.mask()
        self.assertTrue(self.before[self.imported].all())

    def assert_nothing_lost(self):
        after = self.case.mask()
        self.assertTrue(after[self.before].all())
        self.assertTrue(after[20, 22, 35])  # the second click
        self.assertEqual(len(self.case.clicks()), 2)

    def test_small_edits_survive_other_options(self):
        self.click(MIDDLE)
        drawn = self.case.mask()
        drawn[2:4, 2:4, 2:4] = True
        write(self.case, drawn)
        self.case.effect.options.growBox.checked = True
        self.click(ASIDE)
        self.assertTrue(self.case.mask()[drawn].all())

    def test_another_device_and_back(self):
        self.import_and_click()
        self.set_device("cpu")
        self.case.effect.onRest(MIDDLE)
        self.case.settle()
        self.set_device("auto")
        self.click(ASIDE)
        self.assert_nothing_lost()

    def test_another_device_while_an_answer_is_under_way(self):
        write(self.case, self.imported)
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        self.set_device("cpu")
        self.case.predictor.gate.set()
        self.case.settle()
        self.before = self.case.mask()
        self.assertTrue(self.before[self.imported].all())
        self.click(ASIDE)
        self.assert_nothing_lost()

    def test_two_quick_clicks_with_another_device_between(self):
        write(self.case, self.imported)
        self.before = self.imported
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        self.set_device("cpu")
        click("Red", ASIDE)
        self.case.predictor.gate.set()
        self.case.settle()
        self.assert_nothing_lost()

    def test_another_structure_with_another_device_in_between(self):
        self.import_and_click()
        self.case.editor.setCurrentSegmentID("other")
        self.set_device("cpu")
        self.click(ASIDE)
        self.case.editor.setCurrentSegmentID("organ")
        self.set_device("auto")
        self.click(ASIDE)
        self.assert_nothing_lost()

    def test_its_volume_released_while_an_answer_is_under_way(self):
        write(self.case, self.imported)
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        for _ in range(3):
            self.case.controller.volumes.get(ball_volume())
        slicer.util.setSliceViewerLayers(background=self.case.volume, fit=True)
        self.case.predictor.gate.set()
        self.case.settle()
        self.before = self.case.mask()
        self.assertTrue(self.before[self.imported].all())
        self.click(ASIDE)
        self.assert_nothing_lost()

    def test_a_batch_from_the_console_in_between(self):
        self.import_and_click()
        self.case.logic.segment(self.case.volume, {"x": {"positive": [MIDDLE]}}, device="cpu")
        self.click(ASIDE)
        self.assert_nothing_lost()

    def test_other_volumes_in_between(self):
        self.import_and_click()
        others = [ball_volume() for _ in range(3)]
        controller = self.case.controller
        for other in others:
            controller.volumes.get(other)
        slicer.util.setSliceViewerLayers(background=self.case.volume, fit=True)
        self.click(ASIDE)
        self.assert_nothing_lost()

    def test_removed_volumes_are_let_go(self):
        self.click(MIDDLE)
        _, volume = self.case.controller.volumes.get(self.case.volume)
        kept = weakref.ref(volume)
        del volume
        self.assertIsNotNone(kept())
        slicer.mrmlScene.RemoveNode(self.case.volume)
        self.case.logic.engine.run(lambda predictor: None).result()
        gc.collect()
        self.assertIsNone(kept())

    def test_one_answer_that_cannot_be_written_does_not_hold_up_the_others(self):
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        self.case.editor.setCurrentSegmentID("other")
        self.case.effect.updateTarget()
        click("Red", ASIDE)
        with mock.patch(
            "CTSAM3DModuleLib.editing.target.write_segment",
            side_effect=[MemoryError("full"), None],
        ):
            self.case.predictor.gate.set()
            self.case.settle()
        self.assertFalse(self.case.controller.busy)
        self.click(ASIDE)
        self.assertTrue(self.case.mask("other").any())

    def test_a_step_of_one_editor_is_undone_alone_in_another(self):
        other = SegmentationCase(self.case.volume)
        self.addCleanup(other.close)
        other.editor.setSegmentationNode(self.case.segmentation)
        other.editor.setCurrentSegmentID("organ")
        self.click(MIDDLE)
        first = self.case.mask()
        self.case.editor.setActiveEffect(None)
        other.activate(NAME)
        click_and_wait(self.case, ASIDE)
        self.assertTrue(self.case.mask()[20, 22, 35])
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), first)
        self.assertEqual(len(self.case.clicks()), 1)


class OrderTest(unittest.TestCase):
    """The order in which the real Segment Editor may call an effect that it has just met."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def new_effect(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects
        import SegmentEditorCTSAM3DLib

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        folder = Path(SegmentEditorCTSAM3DLib.__file__).parent
        effect.setPythonSource((folder / "SegmentEditorEffect.py").as_posix())
        return effect

    def test_defaults_before_options(self):
        effect = self.new_effect()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        effect.setParameterSetNode(node)
        effect.self().setMRMLDefaults()
        self.assertEqual(node.GetAttribute(f"{NAME}.Device"), "auto")
        effect.self().updateGUIFromMRML()
        effect.self().updateMRMLFromGUI()
        effect.self().cleanup()

    def test_cleanup_without_options(self):
        self.new_effect().self().cleanup()

    def test_pytorch_half_imported_on_another_thread(self):
        from CTSAM3DModuleLib.torch_devices import imported_devices

        half = types.ModuleType("torch")
        for torch in (half, types.SimpleNamespace(cuda=types.SimpleNamespace())):
            with mock.patch.dict(sys.modules, {"torch": torch}):
                self.assertEqual(imported_devices(), ())
        self.assertEqual(ModelChoice().device, "auto")
