"""A device that fails and memory that runs out: what the user reads, and that nothing is lost."""

from __future__ import annotations

import logging
import unittest
from unittest import mock

import numpy as np
import slicer
from ball_predictor import BallPredictor
from console_case import INSIDE, OTHER, ConsoleCase
from ctsam3d_case import CTSAM3DCase
from CTSAM3DModuleLib.editing import target
from CTSAM3DModuleLib.editing.undo import BUDGET_BYTES, FEWEST, MOST, undo_states
from panel_case import StateTestCase
from view_mouse import click, click_and_wait

from CTSAM3DLib.errors import NotEnoughMemoryError

MIDDLE = (48.0, 44.0, 60.0)
ASIDE = (70.0, 44.0, 60.0)
SENTENCE = "The graphics card has too little free memory: now computing on the processor."
NO_MEMORY = MemoryError("Unable to allocate 2.9 GiB for an array with shape (1, 2, 3)")


class ChangingPredictor(BallPredictor):
    """Has something to tell after its next answer."""

    def __init__(self):
        super().__init__()
        self.notices = [SENTENCE]

    def take_notices(self):
        taken, self.notices = tuple(self.notices), []
        return taken


class EffectTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = CTSAM3DCase(predictor=ChangingPredictor())
        self.addCleanup(self.case.close)
        self.label = self.case.effect.options.statusLabel

    def click(self, ras=MIDDLE):
        click_and_wait(self.case, ras)

    def test_the_click_is_answered_and_the_sentence_is_shown_once(self):
        self.click()
        self.assertTrue(self.case.mask().any())
        self.assertEqual(self.label.text.count(SENTENCE), 1)
        self.assertIn("Prompts: 1.", self.label.text)
        self.assertEqual(self.case.effect.editor.status.kind, "warning")
        self.click(ASIDE)
        self.assertNotIn(SENTENCE, self.label.text)
        self.assertIn("Prompts: 2.", self.label.text)

    def test_the_sentence_outlasts_clicks_that_wait(self):
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        click("Red", ASIDE)
        self.assertIn("Segmenting", self.label.text)
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertIn(SENTENCE, self.label.text)
        self.assertIn("Prompts: 2.", self.label.text)

    def test_the_sentence_of_a_segment_that_was_left_is_shown(self):
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        self.case.editor.setCurrentSegmentID("other")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertTrue(self.case.mask("organ").any())
        self.assertEqual(self.label.text, SENTENCE)

    def assert_only_the_new_click_is_missing(self, before):
        self.assertIn("not enough memory: expected 2.9 GiB more", self.label.text)
        self.assertIn("Crop Volume", self.label.text)
        self.assertNotEqual(self.label.styleSheet, "")
        self.assertTrue(np.array_equal(self.case.mask(), before))
        self.assertEqual(len(self.case.clicks()), 1)
        self.click(ASIDE)
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertGreater(self.case.mask().sum(), before.sum())
        self.case.editor.undo()
        self.assertTrue(np.array_equal(self.case.mask(), before))

    def test_memory_that_runs_out_loses_nothing(self):
        self.click()
        before = self.case.mask()
        self.case.predictor.fail_next = NO_MEMORY
        self.click(ASIDE)
        self.assert_only_the_new_click_is_missing(before)

    def test_memory_that_runs_out_while_writing_loses_nothing(self):
        self.click()
        before = self.case.mask()
        with mock.patch.object(target, "write_segment", side_effect=NO_MEMORY):
            self.click(ASIDE)
        self.assert_only_the_new_click_is_missing(before)


class PanelTest(StateTestCase):
    def test_the_sentence_is_shown_once(self):
        self.start(predictor=ChangingPredictor())
        self.segment()
        self.assertEqual(self.case.status.count(SENTENCE), 1)
        click_and_wait(self.case, ASIDE)
        self.assertNotIn(SENTENCE, self.case.status)
        self.assertIn("Prompts: 2.", self.case.status)

    def test_computing_again_shows_it(self):
        self.start(predictor=ChangingPredictor())
        self.segment()
        self.case.predictor.notices = [SENTENCE]
        self.case.press_and_wait("segmentAllButton")
        self.assertEqual(self.case.status.count(SENTENCE), 1)
        self.assertIn("Structures: 1.", self.case.status)

    def test_memory_that_runs_out_is_an_error_and_keeps_the_segment(self):
        self.start()
        self.segment()
        before = self.case.mask()
        self.case.predictor.fail_next = NO_MEMORY
        click_and_wait(self.case, ASIDE)
        self.assertIn("not enough memory", self.case.status)
        self.assertTrue(np.array_equal(self.case.mask(), before))
        self.assertEqual(len(self.case.clicks()), 1)

    def test_large_labelmaps_keep_fewer_steps_of_undo(self):
        self.start()
        self.segment()
        node = self.case.segmentation
        self.assertEqual((undo_states(None), undo_states(node)), (MOST, MOST))
        for budget, wanted in ((1, FEWEST), (BUDGET_BYTES, MOST)):
            with mock.patch("CTSAM3DModuleLib.editing.undo.BUDGET_BYTES", budget):
                logic = self.case.widget.panel.workplace.steps.editor_logic()
                self.assertEqual(logic.GetMaximumNumberOfUndoStates(), wanted)


class ConsoleTest(ConsoleCase):
    def setUp(self):
        super().setUp()
        self.predictor = ChangingPredictor()

    def clicks(self):
        return {"liver": {"positive": [INSIDE]}, "spleen": {"positive": [OTHER]}}

    def volume(self):
        return slicer.util.addVolumeFromArray(
            np.full((40, 44, 48), 50, np.int16), np.diag([2.0, 2.0, 3.0, 1.0]), "CT"
        )

    def test_the_sentence_is_logged_once(self):
        with self.assertLogs(level=logging.WARNING) as logged:
            node = self.logic.segment(self.volume(), self.clicks())
        self.assertEqual("\n".join(logged.output).count(SENTENCE), 1)
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 2)

    def test_memory_that_runs_out_raises_and_leaves_the_scene(self):
        volume = self.volume()
        self.predictor.fail_next = NO_MEMORY
        self.assert_scene_untouched(
            NotEnoughMemoryError,
            r"2\.9 GiB",
            lambda: self.logic.segment(volume, self.clicks()),
        )
