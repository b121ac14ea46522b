"""Another CT is chosen in the panel: what was segmented on the first one stays as it is."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
from panel_case import MIDDLE, StateTestCase
from segmentation_case import SPACING, ball_volume
from view_mouse import click

ELSEWHERE = np.diag([*SPACING, 1.0]) + 10.0 * np.eye(4, k=3)


class TwoTest(StateTestCase):
    """The panel with a liver on the first of two CTs."""

    def setUp(self):
        super().setUp()
        self.start()
        self.first = self.case.volume
        self.segment()
        self.case.settle()
        self.made = self.case.segmentation
        self.mask, self.clicks = self.case.mask(), self.case.clicks()

    def choose(self, volume):
        self.case.volume = volume
        self.ui.volumeSelector.setCurrentNode(volume)
        slicer.app.processEvents()

    def test_another_ct_gets_a_segmentation_of_its_own(self):
        other = ball_volume(ELSEWHERE)
        other.SetName("Other")
        self.choose(other)
        self.assertIsNone(self.ui.segmentationSelector.currentNode())
        told = "CT segmentation is of another CT and stays as it is."
        self.assertTrue(self.case.status.startswith(told), self.case.status)
        self.segment()
        self.case.settle()
        self.assertEqual(self.case.segmentation.GetName(), "Other segmentation")
        self.assertEqual(self.case.rows()[0][:2], ("Liver", "1 / 0"))
        self.assertNotIn("another", self.case.status)
        own = self.case.segmentation
        for volume, segmentation in ((self.first, self.made), (other, own)):
            self.choose(volume)
            self.assertIs(self.case.segmentation, segmentation)
        self.choose(self.first)
        np.testing.assert_array_equal(self.case.mask(), self.mask)
        self.assertEqual(self.case.clicks(), self.clicks)

    def test_a_ct_in_the_same_place_goes_on_with_the_segmentation(self):
        self.choose(ball_volume())  # another phase, for example
        self.assertIs(self.case.segmentation, self.made)
        click("Red", (60.0, 44.0, 60.0))
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "1 / 0")  # placing has ended
        self.case.press("insideButton")
        click("Red", (60.0, 44.0, 60.0))
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "2 / 0")

    def test_a_segmentation_that_is_chosen_by_hand_stays(self):
        self.choose(ball_volume(ELSEWHERE))
        self.ui.segmentationSelector.setCurrentNode(self.made)
        slicer.app.processEvents()
        self.assertIs(self.case.segmentation, self.made)
        self.case.panel.exit()
        self.case.panel.enter()
        self.assertIs(self.case.segmentation, self.made)
        self.assertIs(self.ui.volumeSelector.currentNode(), self.case.volume)

    def test_a_segmentation_without_a_volume_is_known_by_its_prompts(self):
        slicer.mrmlScene.RemoveNode(self.first)
        slicer.app.processEvents()
        self.assertIs(self.case.segmentation, self.made)
        self.choose(ball_volume(ELSEWHERE))
        self.assertIsNone(self.case.segmentation)
        self.choose(ball_volume())
        self.ui.segmentationSelector.setCurrentNode(self.made)
        self.choose(ball_volume())
        self.assertIs(self.case.segmentation, self.made)

    def test_a_click_under_way_is_cancelled(self):
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        click("Red", (60.0, 44.0, 60.0))
        self.choose(ball_volume(ELSEWHERE))
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertIn("stays as it is", self.case.status)
        self.choose(self.first)
        np.testing.assert_array_equal(self.case.mask(), self.mask)
        self.assertEqual(self.case.clicks(), self.clicks)


if __name__ == "__main__":
    unittest.main()
