"""The panel under the hands of a user: undo, redo and tidying up."""

from __future__ import annotations

import numpy as np
import slicer
from panel_case import PanelTestCase
from view_mouse import click, click_and_wait

BESIDE = (60.0, 44.0, 60.0)


class UndoTest(PanelTestCase):
    def test_undo_and_redo_bring_back_points_and_voxels(self):
        self.assertFalse(self.ui.undoButton.enabled)
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        click_and_wait(self.case, BESIDE)
        two = self.case.mask()
        self.case.press_and_wait("undoButton")
        np.testing.assert_array_equal(self.case.mask(), one)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        self.assertEqual(self.markers(), (1, 0))
        self.case.press_and_wait("redoButton")
        np.testing.assert_array_equal(self.case.mask(), two)
        self.assertEqual(self.markers(), (2, 0))
        self.assertFalse(self.ui.redoButton.enabled)

    def test_ten_steps(self):
        self.case.add("liver")
        self.case.press("insideButton")
        for number in range(11):
            click_and_wait(self.case, (30.0 + 4 * number, 44.0, 60.0))
        for _ in range(10):
            self.case.press_and_wait("undoButton")
        self.assertEqual(len(self.case.clicks()), 1)

    def test_undo_while_computing_takes_back_what_is_computed(self):
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        self.case.predictor.gate.clear()
        click("Red", BESIDE)
        self.assertEqual(self.markers(), (2, 0))
        self.case.press("undoButton")
        self.case.predictor.gate.set()
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), one)
        self.assertEqual(self.markers(), (1, 0))

    def test_undo_of_quick_clicks_takes_back_the_newest_alone(self):
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        self.case.predictor.gate.clear()
        for number in (1, 2, 3):
            click("Red", (BESIDE[0] + 8.0 * number, *BESIDE[1:]))
        self.case.press("undoButton")
        self.assertEqual(self.markers(), (3, 0))
        self.assertEqual(self.case.status, "Segmenting ...")
        self.case.press("undoButton")
        self.assertEqual(self.markers(), (2, 0))
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "2 / 0")
        self.assertGreater(self.case.mask().sum(), one.sum())
        self.case.press_and_wait("undoButton")
        np.testing.assert_array_equal(self.case.mask(), one)

    def test_tidying_up_is_undoable(self):
        self.segment()
        before = self.case.mask()
        before[2:5, 2:5, 2:5] = True  # an island
        before[20, 22, 20] = False  # a hole
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            before.astype(np.uint8), self.case.segmentation, self.case.segment_id, self.case.volume
        )
        for name in ("keepButton", "fillButton", "smoothButton"):
            with self.subTest(name=name):
                self.ui.smoothingBox.value = 4.0
                self.case.press(name)
                self.assertIn("Undo", self.case.status)
                self.case.press_and_wait("undoButton")
                np.testing.assert_array_equal(self.case.mask(), before)

    def test_tidying_up_that_changes_nothing_is_told_and_no_step_of_undo(self):
        self.segment()
        for name in ("keepButton", "fillButton"):
            with self.subTest(name=name):
                self.case.press(name)
                told = "There is nothing to tidy up; nothing was changed."
                self.assertEqual(self.case.status, told)
        self.case.press_and_wait("undoButton")
        self.assertFalse(self.case.mask().any())
