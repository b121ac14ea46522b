"""Requests of several edits: what one of them or one of the listeners does wrong stays its own."""

from __future__ import annotations

import numpy as np
import slicer
from ctsam3d_case import ASIDE, MIDDLE, CTSAM3DCase, EffectTestCase
from event_loop import until
from segmentation_case import ball_volume
from view_mouse import click

from CTSAM3DLib.prompts import ClickHistory

BELOW = (30.0, 44.0, 60.0)


class RequestsTest(EffectTestCase):
    def setUp(self):
        super().setUp()
        self.controller = self.case.controller

    def hold(self):
        self.case.predictor.gate.clear()

    def listen(self, listener):
        self.controller.finished.insert(0, listener)
        self.addCleanup(self.controller.finished.remove, listener)

    # ---- listeners that fail

    def test_a_listener_that_fails_takes_no_answer_with_it(self):
        self.listen(self._fail)
        self.hold()
        click("Red", MIDDLE)
        self.case.editor.setCurrentSegmentID("other")
        click("Red", ASIDE)
        self.controller.waiting.stop()
        self.case.predictor.gate.set()
        self.controller.engine.run(lambda model: None, self.case.effect.editor.choice).result()
        with self.assertRaisesRegex(RuntimeError, "a listener"):
            self.controller.drain()
        self.assertFalse(self.controller.busy)
        self.assertEqual(len(self.case.clicks("organ")), 1)
        self.assertEqual(len(self.case.clicks("other")), 1)

    def test_a_listener_that_fails_takes_no_waiting_edit_with_it(self):
        self.listen(self._fail)
        self.hold()
        for place in (MIDDLE, ASIDE, BELOW):
            click("Red", place)
        self.case.predictor.gate.set()
        self.controller.waiting.stop()
        while self.controller.busy:
            with self.assertRaisesRegex(RuntimeError, "a listener"):
                self.controller.wait()
        self.assertEqual(len(self.case.clicks()), 3)

    def test_a_listener_that_fails_does_not_silence_the_others(self):
        self.listen(self._fail)
        self.controller.waiting.stop()
        self.hold()
        click("Red", MIDDLE)
        with self.assertRaisesRegex(RuntimeError, "a listener"):
            self.controller.cancel()
        self.assertFalse(self.controller.busy)
        self.assertIn("Cancelled", self.case.effect.editor.status.text)

    def test_a_listener_may_cancel(self):
        self.click(MIDDLE)
        self.hold()
        for place in (ASIDE, BELOW):
            click("Red", place)
        self.listen(lambda outcome: self.controller.cancel() if self.controller.busy else None)
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)

    @staticmethod
    def _fail(_outcome):
        raise RuntimeError("a listener has failed")

    # ---- what is stored meanwhile

    def test_a_tag_that_cannot_be_read_ends_its_own_request_alone(self):
        self.hold()
        click("Red", MIDDLE)
        self.case.editor.setCurrentSegmentID("other")
        click("Red", ASIDE)
        segment = self.case.segmentation.GetSegmentation().GetSegment("organ")
        segment.SetTag("CTSAM3D.Clicks", "nonsense")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertFalse(self.controller.busy)
        self.assertEqual(len(self.case.clicks("other")), 1)

    def test_a_click_outlasts_the_removal_before_it_that_was_lost(self):
        for undone in (1, 2):
            with self.subTest(undone=undone):
                self.case.close()
                slicer.mrmlScene.Clear()
                self.case = CTSAM3DCase()
                self.controller = self.case.controller
                self.click(MIDDLE)
                self.click(ASIDE)
                self.controller.undo.steppers.clear()  # as for changes that are no undo
                self.hold()
                self.case.effect.editor.remove(0)
                click("Red", BELOW)
                for _ in range(undone):
                    self.case.editor.undo()
                self.case.predictor.gate.set()
                self.case.settle()
                kept = [one.anchor_ras for one in self.case.clicks()]
                self.assertEqual(len(kept), 3 - undone)
                np.testing.assert_allclose(kept[-1], BELOW, atol=1.5)

    def test_a_click_outlasts_a_removal_that_waits_and_is_lost(self):
        self.click(MIDDLE)
        self.click(ASIDE)
        self.controller.undo.steppers.clear()  # as for changes that are no undo
        self.hold()
        click("Red", (48.0, 60.0, 60.0))
        self.case.effect.editor.remove(0)
        click("Red", BELOW)
        for _ in range(2):
            self.case.editor.undo()
        self.case.predictor.gate.set()
        self.case.settle()
        kept = [one.anchor_ras for one in self.case.clicks()]
        np.testing.assert_allclose(kept[-1], BELOW, atol=1.5)

    # ---- one segment on two volumes

    def test_prompts_under_way_on_one_volume_are_none_of_another(self):
        other = ball_volume()
        other.SetOrigin(10.0, 0.0, 0.0)
        self.hold()
        click("Red", MIDDLE)
        self.case.editor.setSourceVolumeNode(other)
        until(lambda: self.case.effect.editor.target.volume_node is other)
        target = self.case.effect.editor.target
        self.assertEqual(self.controller.prompts(target), ClickHistory())
        click("Red", ASIDE)
        self.case.predictor.gate.set()
        self.case.settle()
        (only,) = target.stored_prompts()
        np.testing.assert_allclose(only.anchor_ras, ASIDE, atol=1.5)
        self.assertTrue(self.case.mask()[20, 22, 24])
        self.assertTrue(self.case.mask()[20, 22, 35])
