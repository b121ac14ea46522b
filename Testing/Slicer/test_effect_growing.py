"""Following a structure beyond its patch: parts are shown as they come, one step of undo in all."""

from __future__ import annotations

import threading
import unittest
from unittest import mock

import numpy as np
import slicer
from ball_predictor import BallPredictor
from ctsam3d_case import CTSAM3DCase
from event_loop import HANG_S, until
from view_mouse import click, click_and_wait

SHAPE_KJI = (100, 30, 30)
START = (30.0, 30.0, 40.0)


class BarPredictor(BallPredictor):
    """Finds what is bright; with `permits`, only as many calls are answered as were permitted."""

    permits = None
    asked = 0

    def _enter(self):
        if self.permits is not None:
            self.asked += 1
            self.permits.acquire(timeout=HANG_S)
        super()._enter()

    def encode(self, patch_hu):
        self._enter()
        self.encoded += 1
        return np.where(patch_hu > 0, 8.0, -8.0).astype(np.float32)

    def decode(self, embedding, points_kji, labels, previous_logits):
        self._enter()
        self.decoded += 1
        return embedding


class GrowingTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        # As far from 0 as the bar, which so keeps its width when it is seen with larger voxels.
        array = np.full(SHAPE_KJI, -100, np.int16)
        array[5:95, 10:20, 10:20] = 100
        self.bar = array > 0
        volume = slicer.util.addVolumeFromArray(array, np.diag([2.0, 2.0, 2.0, 1.0]), "Bar")
        volume.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.case = CTSAM3DCase(volume, BarPredictor())
        self.addCleanup(self.case.close)
        self.case.effect.options.growBox.checked = True

    def found(self):
        return (self.case.mask() & self.bar).sum() / self.bar.sum()

    def test_the_whole_structure_from_one_click_and_one_undo(self):
        click_and_wait(self.case, START)
        self.assertGreater(self.found(), 0.97)
        self.assertEqual(len(self.case.clicks()), 1)
        self.case.editor.undo()
        self.assertEqual(self.case.mask().sum(), 0)
        self.case.editor.redo()
        self.assertGreater(self.found(), 0.97)

    def test_without_growing_only_the_patch(self):
        self.case.effect.options.growBox.checked = False
        click_and_wait(self.case, START)
        self.assertLess(self.found(), 0.5)

    def click_and_see_the_first_part(self):
        """Permit one call after the other until something is shown; the rest is held back."""
        predictor = self.case.predictor
        predictor.permits, predictor.asked = threading.Semaphore(0), 0
        click("Red", START)
        for number in range(1, 21):
            # The call that waits for its permit comes after what the one before has told.
            until(lambda number=number: predictor.asked == number, f"call {number}")
            self.case.controller.drain()
            if self.case.mask().any():
                break
            predictor.permits.release()
        self.assertTrue(0 < self.found() < 0.6)
        self.assertTrue(self.case.controller.busy)

    def go_on(self):
        for _ in range(200):
            self.case.predictor.permits.release()
        self.case.settle()

    def test_parts_are_shown_as_they_come(self):
        self.click_and_see_the_first_part()
        self.go_on()
        self.assertGreater(self.found(), 0.97)

    def test_a_second_click_does_not_wait_until_the_first_has_found_everything(self):
        self.click_and_see_the_first_part()
        answered = []
        self.case.controller.finished.append(answered.append)
        click("Red", (32.0, 30.0, 44.0))
        for _ in range(3):  # the tip that is being asked: its image, and two answers
            self.case.predictor.permits.release()
        until(lambda: answered, "the answer to the first click")
        self.assertLess(self.found(), 0.97)
        self.go_on()
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertGreater(self.found(), 0.97)

    def test_cancel_keeps_the_parts_and_undo_takes_them_back(self):
        self.click_and_see_the_first_part()
        self.case.effect.options.cancelButton.click()
        self.go_on()
        self.assertTrue(0 < self.found() < 0.97)
        self.assertIn("Stopped", self.case.effect.editor.status.text)
        self.case.editor.undo()
        self.assertEqual(self.case.mask().sum(), 0)
        self.case.settle()
        click_and_wait(self.case, START)
        self.assertGreater(self.found(), 0.97)

    def test_a_question_that_fails_takes_no_answer_with_it(self):
        questions = self.case.controller.questions
        answer, failing = questions.answer, [MemoryError()]

        def fail_once(item):
            if failing:
                raise failing.pop()
            answer(item)

        with mock.patch.object(questions, "answer", fail_once):
            click_and_wait(self.case, START)
        self.assertGreater(self.found(), 0.97)

    def test_undone_while_parts_are_coming(self):
        self.click_and_see_the_first_part()
        self.case.editor.undo()
        self.go_on()
        self.assertEqual(self.case.mask().sum(), 0)
        self.assertEqual(len(self.case.clicks()), 0)

    def calls_until_it_ends(self, most=200):
        """Permit one call after the other; return how many were needed."""
        predictor, controller = self.case.predictor, self.case.controller
        for number in range(most):
            asked = predictor.asked
            predictor.permits.release()
            until(lambda before=asked: predictor.asked > before or not controller.busy, "a call")
            controller.drain()
            if not controller.busy:
                return number + 1
        raise AssertionError("it does not end")

    def test_what_was_undone_is_not_followed_to_the_end(self):
        self.click_and_see_the_first_part()
        self.case.editor.undo()
        undone = self.calls_until_it_ends()
        self.assertEqual(self.case.mask().sum(), 0)
        self.click_and_see_the_first_part()
        self.assertLess(undone, self.calls_until_it_ends())
        self.assertGreater(self.found(), 0.97)
