"""Structures that are followed beyond the first answer to a click, in the console."""

from __future__ import annotations

import numpy as np
import slicer
from bar_case import SHAPE_KJI, START, BarPredictor
from console_case import ConsoleCase

from CTSAM3DLib.api import segment
from CTSAM3DLib.mrml import volume_from_node

CLICKS = {"bar": {"positive": [START]}}


class GrowingTest(ConsoleCase):
    def setUp(self):
        super().setUp()
        self.predictor = BarPredictor()
        array = np.full(SHAPE_KJI, -100, np.int16)
        array[5:95, 10:20, 10:20] = 100
        self.volume = slicer.util.addVolumeFromArray(array, np.diag([2.0, 2.0, 2.0, 1.0]), "Bar")

    def assert_all_of_it(self, node, grow=True, number=0):
        """The first answer and all that was found after it, as without Slicer."""
        volume = volume_from_node(self.volume)
        expected = segment(volume, CLICKS, self.predictor, grow=grow).mask("bar")
        np.testing.assert_array_equal(self.mask(node, self.volume, number), expected)
        self.assertGreater(expected.sum(), 0.97 * 90 * 10 * 10)

    def test_a_new_segment(self):
        for grow in (True, "coarse", "frontier"):
            with self.subTest(grow):
                self.assert_all_of_it(self.logic.segment(self.volume, CLICKS, grow=grow), grow)

    def test_a_segment_beside_others(self):
        node = self.logic.segment(self.volume, {"other": {"positive": [START]}})
        self.logic.segment(self.volume, CLICKS, node, grow=True)
        self.assert_all_of_it(node, number=1)

    def test_the_first_frame_of_a_series_that_is_carried(self):
        nodes = self.logic.segmentSequence([self.volume], CLICKS, grow=True, carry=True)
        self.assert_all_of_it(nodes[0])

    def test_a_segment_with_these_clicks_stays_and_that_is_told(self):
        node = self.logic.segment(self.volume, CLICKS)
        before = self.mask(node, self.volume)
        with self.assertLogs(level="WARNING") as told:
            self.logic.segment(self.volume, CLICKS, node, grow=True)
        self.assertIn("bar: the segment has just these prompts", "".join(told.output))
        np.testing.assert_array_equal(self.mask(node, self.volume), before)
        node.GetSegmentation().RemoveSegment(self.segment_id(node))
        self.logic.segment(self.volume, CLICKS, node, grow=True)
        self.assert_all_of_it(node)
