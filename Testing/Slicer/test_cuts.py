"""What the effect tells of a mask that ends in a straight cut, on a bar longer than a patch."""

from __future__ import annotations

import unittest

import slicer
from bar_case import START, BarPredictor, bar_volume
from ctsam3d_case import CTSAM3DCase
from view_mouse import click, click_and_wait

CUT = "straight cut"
FURTHER = (30.0, 30.0, 80.0)


class CutsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = CTSAM3DCase(bar_volume()[0], BarPredictor())
        self.addCleanup(self.case.close)
        self.case.effect.options.growBox.checked = False

    @property
    def told(self):
        return self.case.effect.editor.status.text

    def test_of_several_clicks_the_last_answer_tells_it(self):
        self.case.predictor.gate.clear()
        for place in (START, FURTHER):
            click("Red", place)
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertEqual(self.told.count(CUT), 1, self.told)

    def test_it_is_not_told_of_the_segment_before(self):
        self.case.segmentation.GetSegmentation().AddEmptySegment("other", "other")
        self.case.predictor.gate.clear()
        click("Red", START)
        self.case.editor.setCurrentSegmentID("other")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertTrue(self.case.mask().any())
        self.assertNotIn(CUT, self.told)

    def test_a_box_in_which_the_model_has_looked_everywhere_ends_it(self):
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        roi.SetCenter(*START)
        roi.SetSize(100.0, 100.0, 40.0)
        self.case.effect.options.roiBox.setCurrentNode(roi)
        click_and_wait(self.case, START)
        self.assertTrue(self.case.mask().any())
        self.assertNotIn(CUT, self.told)
        roi.SetSize(100.0, 100.0, 400.0)
        click_and_wait(self.case, FURTHER)
        self.assertIn(CUT, self.told)
