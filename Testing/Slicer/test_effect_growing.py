"""Following a structure beyond its patch: parts are shown as they come, one step of undo in all."""

from __future__ import annotations

import unittest
from unittest import mock

import slicer
from bar_case import START, BarPredictor, bar_volume, click_and_see_the_first_part, go_on
from ctsam3d_case import CTSAM3DCase
from event_loop import until
from view_mouse import click, click_and_wait


class GrowingTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        volume, self.bar = bar_volume()
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
        click_and_see_the_first_part(self.case, self.case.controller)
        self.assertTrue(0 < self.found() < 0.6)
        self.assertTrue(self.case.controller.busy)

    def go_on(self):
        go_on(self.case)

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
