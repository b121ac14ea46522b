"""The effect when things go wrong or go away: nothing is lost, nothing is written elsewhere."""

from __future__ import annotations

from concurrent.futures import Future
from unittest import mock

import numpy as np
import slicer
from ball_predictor import BallPredictor
from ctsam3d_case import ASIDE, MIDDLE, NAME, CTSAM3DCase, EffectTestCase
from segmentation_case import SegmentationCase
from view_mouse import click, click_and_wait

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.errors import BundleError


class RobustnessTest(EffectTestCase):
    def status(self):
        return self.case.effect.editor.status

    def hold_and_click(self, ras=ASIDE):
        """Click while the predictor is held back: the answer is under way."""
        self.case.predictor.gate.clear()
        click("Red", ras)
        self.assertTrue(self.case.controller.busy)

    def go_on(self):
        self.case.predictor.gate.set()
        self.case.settle()

    def assert_refused(self, before, clicks, text):
        self.assertEqual(self.status().kind, "error")
        self.assertIn(text, self.status().text)
        np.testing.assert_array_equal(self.case.mask(), before)
        self.assertEqual(self.case.clicks(), clicks)
        shown = self.case.effect.editor.markers.shown
        self.assertEqual(shown, clicks)

    def state(self):
        return self.case.mask(), self.case.clicks()

    # ---- refused clicks and failing models

    def test_click_outside_the_volume(self):
        self.click()
        before = self.state()
        self.click((-30.0, 44.0, 60.0))
        self.assert_refused(*before, "outside the CT")

    def test_marker_dragged_out_of_the_volume_comes_back(self):
        self.click()
        before = self.state()
        markers = self.case.effect.editor.markers.node(True)
        markers.SetNthControlPointPositionWorld(0, -50.0, 0.0, 0.0)
        markers.InvokeCustomModifiedEvent(markers.PointEndInteractionEvent)
        self.case.settle()
        self.assert_refused(*before, "outside the CT")
        position = markers.GetNthControlPointPositionWorld(0)
        np.testing.assert_allclose(position, MIDDLE, atol=1.5)

    def test_a_list_of_points_that_is_deleted_is_there_again_after_the_answer(self):
        self.hold_and_click()
        markers = self.case.effect.editor.markers
        slicer.mrmlScene.RemoveNode(markers.node(True))
        self.go_on()
        self.assertEqual(len(self.case.clicks()), 1)
        lists = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        self.assertEqual([node.GetNumberOfControlPoints() for node in lists], [1])

    def test_a_model_that_fails_once(self):
        self.click()
        before = self.state()
        self.case.predictor.fail_next = RuntimeError("the device is gone")
        self.click(ASIDE)
        self.assert_refused(*before, "the device is gone")
        self.click(ASIDE)
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertTrue(self.case.mask()[before[0]].all())

    def test_clicks_that_wait_behind_a_failing_one_are_dropped_with_it(self):
        self.click()
        before = self.state()
        self.case.predictor.fail_next = RuntimeError("no")
        self.hold_and_click(ASIDE)
        click("Red", (30.0, 44.0, 60.0))
        self.go_on()
        self.assert_refused(*before, "no")

    def test_the_thread_of_the_model_ends_beside_its_work(self):
        self.click()
        before = self.state()
        with mock.patch.object(Future, "set_result", side_effect=SystemExit):
            self.click(ASIDE)
        self.assertEqual(self.status().kind, "error")
        self.assertIn("its thread ended", self.status().text)
        self.case.editor.undo()  # of what had come before
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), before[0])
        self.assertEqual(self.case.clicks(), before[1])
        self.click(ASIDE)
        self.assertEqual(len(self.case.clicks()), 2)

    def test_no_model_no_pytorch(self):
        for error, text in (
            (BundleError("expected a file of 17 MB, got 3 bytes"), "17 MB"),
            (ModuleNotFoundError("No module named 'torch'"), "PyTorch is needed"),
        ):
            with self.subTest(error=error):

                def load(model, device, error=error):
                    raise error

                self.case.logic.setEngine(SegmentationEngine(load))
                before = self.state()
                self.click()
                self.assert_refused(*before, text)
        self.case.logic.setEngine(SegmentationEngine(lambda model, device: self.case.predictor))
        self.click()
        self.assertEqual(len(self.case.clicks()), 1)

    def test_negative_only_says_what_is_missing(self):
        self.click(modifiers=["Control"])
        self.assertEqual(self.case.mask().sum(), 0)
        self.assertIn("inside", self.status().text)
        self.click((56.0, 44.0, 60.0))
        self.assertTrue(self.case.mask().any())
        self.assertEqual(len(self.case.clicks()), 2)

    # ---- cancel, switching, undoing while an answer is under way

    def test_cancel_keeps_everything(self):
        self.click()
        before = self.state()
        self.hold_and_click()
        self.case.effect.options.cancelButton.click()
        self.assertFalse(self.case.controller.busy)
        self.go_on()
        np.testing.assert_array_equal(self.case.mask(), before[0])
        self.assertEqual(self.case.clicks(), before[1])
        self.assertEqual(self.case.effect.editor.markers.shown, before[1])
        self.click(ASIDE)
        self.assertEqual(len(self.case.clicks()), 2)

    def test_late_answer_reaches_its_own_segment_and_no_other(self):
        self.hold_and_click()
        self.case.editor.setCurrentSegmentID("other")
        self.go_on()
        self.assertTrue(self.case.mask("organ").any())
        self.assertFalse(self.case.mask("other").any())
        self.assertEqual(len(self.case.clicks("other")), 0)

    def test_quick_clicks_are_answered_in_order_and_undone_one_by_one(self):
        places = (MIDDLE, ASIDE, (30.0, 44.0, 60.0))
        self.hold_and_click(places[0])
        for place in places[1:]:
            click("Red", place)
        self.assertEqual(len(self.case.effect.editor.markers.shown), 3)
        self.go_on()
        for found, place in zip(self.case.clicks(), places, strict=True):
            np.testing.assert_allclose(found.position_ras, place, atol=1.5)
        for left in (2, 1, 0):
            self.case.editor.undo()
            self.assertEqual(len(self.case.clicks()), left)

    def test_a_removed_click_outlasts_what_was_drawn_meanwhile(self):
        self.click(MIDDLE)
        self.click(ASIDE)
        self.case.predictor.gate.clear()
        self.case.effect.editor.remove_last()
        drawn = self.case.mask()
        drawn[2:4, 2:4, 2:4] = True
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            drawn.astype(np.uint8), self.case.segmentation, "organ", self.case.volume
        )
        self.go_on()
        self.assertEqual(len(self.case.clicks()), 1)
        self.assertTrue(self.case.mask().any())

    def test_segment_removed_while_an_answer_is_under_way(self):
        self.hold_and_click()
        self.case.segmentation.RemoveSegment("organ")
        self.go_on()
        ids = self.case.segmentation.GetSegmentation().GetSegmentIDs()
        self.assertEqual(list(ids), ["other"])
        self.assertFalse(self.case.mask("other").any())

    def test_volume_or_segmentation_deleted_while_an_answer_is_under_way(self):
        for victim in ("volume", "segmentation"):
            with self.subTest(victim=victim):
                self.case.close()
                slicer.mrmlScene.Clear()
                self.case = CTSAM3DCase()
                self.hold_and_click()
                slicer.mrmlScene.RemoveNode(getattr(self.case, victim))
                self.go_on()
                self.assertFalse(self.case.controller.busy)
                self.assertIsNone(self.case.effect.editor and self.case.effect.editor.target)

    def test_volume_changed_while_an_answer_is_under_way(self):
        self.hold_and_click()
        array = slicer.util.arrayFromVolume(self.case.volume)
        array[:] = -1000
        slicer.util.arrayFromVolumeModified(self.case.volume)
        self.go_on()
        self.assertEqual(self.case.mask().sum(), 0)

    def test_scene_closed_while_an_answer_is_under_way(self):
        self.hold_and_click()
        slicer.mrmlScene.Clear()
        self.go_on()
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.case.close()
        self.case = CTSAM3DCase()
        self.click()
        self.assertEqual(len(self.case.clicks()), 1)

    def test_another_segmentation_while_an_answer_is_under_way(self):
        self.hold_and_click()
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.case.editor.setSegmentationNode(other)
        self.go_on()
        self.assertTrue(self.case.mask().any())
        self.assertEqual(len(self.case.clicks()), 1)
        self.assertEqual(other.GetSegmentation().GetNumberOfSegments(), 0)

    def test_effect_left_while_an_answer_is_under_way(self):
        self.hold_and_click()
        self.case.editor.setActiveEffect(None)
        self.go_on()
        self.assertTrue(self.case.mask().any())
        points = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        self.assertEqual([node.GetName() for node in points], [])

    def test_module_reloaded_under_the_effect(self):
        self.click()
        slicer.util.reloadScriptedModule("CTSAM3D")
        self.case.logic = slicer.util.getModuleLogic("CTSAM3D")
        engine = SegmentationEngine(lambda model, device: self.case.predictor)
        self.case.logic.setEngine(engine)
        self.click(ASIDE)
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertTrue(self.case.mask()[20, 22, 35])

    def test_a_button_works_after_the_module_was_reloaded(self):
        self.click()
        self.click(ASIDE)
        slicer.util.reloadScriptedModule("CTSAM3D")
        self.case.logic = slicer.util.getModuleLogic("CTSAM3D")
        self.case.logic.setEngine(SegmentationEngine(lambda model, device: self.case.predictor))
        self.case.effect.options.undoButton.click()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 1)

    # ---- more than one of things

    def test_two_editors_do_not_disturb_each_other(self):
        other = SegmentationCase(self.case.volume)
        self.addCleanup(other.close)
        self.click(MIDDLE)  # the second editor has no active effect
        self.assertEqual(len(self.case.clicks()), 1)
        effect = other.activate(NAME)
        self.case.editor.setActiveEffect(None)
        click_and_wait(self.case, ASIDE)
        self.assertTrue(other.mask().any())
        self.assertEqual(len(self.case.clicks()), 1)
        self.assertIsNot(effect, self.case.effect)

    def test_no_segment_selected(self):
        self.case.editor.setCurrentSegmentID("")
        self.case.effect.updateTarget()
        click_and_wait(self.case, MIDDLE)
        self.assertEqual(self.case.mask().sum(), 0)

    def test_one_predictor_serves_all_editors(self):
        self.click()
        self.assertIsInstance(self.case.predictor, BallPredictor)
        first = self.case.logic.engine
        self.assertIs(slicer.util.getModuleLogic("CTSAM3D").engine, first)
