"""Segments that are kept apart: what belongs to another one is not taken, in effect and panel."""

from __future__ import annotations

import tracemalloc

import numpy as np
import slicer
from ctsam3d_case import MIDDLE
from mouse_case import MouseCase
from panel_case import StateTestCase
from view_mouse import click, click_and_wait

from CTSAM3DLib.errors import ClickOutsideVolumeError
from CTSAM3DLib.prompts import Click

BESIDE = (60.0, 44.0, 60.0)  # its ball overlaps that of the middle


class EffectTest(MouseCase):
    def setUp(self):
        super().setUp()
        self.options = self.case.effect.options
        click_and_wait(self.case, MIDDLE)
        self.first = self.case.mask().copy()
        self.case.editor.setCurrentSegmentID("other")
        slicer.app.processEvents()

    def test_they_overlap_unless_they_are_kept_apart(self):
        click_and_wait(self.case, BESIDE)
        overlapping = self.case.mask("other").copy()
        self.assertTrue((overlapping & self.first).any())
        self.options.undoButton.click()
        self.case.settle()
        self.options.apartBox.click()
        self.options.overwriteBox.checked = True  # takes nothing either
        self.assertFalse(self.case.effect.editor.target.overwrites)
        click_and_wait(self.case, BESIDE)
        np.testing.assert_array_equal(self.case.mask("other"), overlapping & ~self.first)
        np.testing.assert_array_equal(self.case.mask(), self.first)
        click("Red", (72.0, 44.0, 60.0))  # goes on from there
        self.case.settle()
        self.assertFalse((self.case.mask("other") & self.first).any())
        self.assertEqual(len(self.case.clicks("other")), 2)

    def test_a_point_in_another_segment_is_refused_inside_and_taken_outside(self):
        self.options.apartBox.click()
        click("Red", MIDDLE)
        self.assertIn(
            "outside the other segments, got one in 'organ'", self.options.statusLabel.text
        )
        self.case.settle()
        self.assertEqual(len(self.case.clicks("other")), 0)
        click_and_wait(self.case, MIDDLE, ["Control"])
        self.assertEqual([one.positive for one in self.case.clicks("other")], [False])

    def test_of_another_segment_only_what_is_asked_for_is_looked_at(self):
        case = self.case
        large = np.ones(self.first.shape, np.uint8)
        large[0] = 0
        ids = (case.segmentation, "organ", case.volume)
        slicer.util.updateSegmentBinaryLabelmapFromArray(large, *ids)
        self.options.apartBox.click()
        target, above = case.effect.editor.target, Click((48.0, 44.0, 0.0))
        target.check_limits(above)  # outside it
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        target.check_limits(above)
        peak = tracemalloc.get_traced_memory()[1]
        self.assertLess(peak, large.size / 4)
        with self.assertRaises(ClickOutsideVolumeError):
            target.check_limits(Click((48.0, 44.0, 60.0)))

    def test_an_overlap_that_was_there_stays_until_it_is_taken_out(self):
        click_and_wait(self.case, BESIDE)
        before = self.case.mask("other") & self.first
        self.options.apartBox.click()
        click_and_wait(self.case, (76.0, 44.0, 60.0))
        np.testing.assert_array_equal(self.case.mask("other") & self.first, before)

    def test_overwriting_is_as_before_when_they_are_no_longer_kept_apart(self):
        self.options.overwriteBox.checked = True
        self.options.apartBox.click()
        self.assertFalse(self.case.effect.editor.target.overwrites)
        self.options.apartBox.click()
        self.assertTrue(self.case.effect.editor.target.overwrites)

    def test_the_choice_is_kept_with_the_scene(self):
        self.options.apartBox.click()
        self.assertTrue(self.case.effect.editor.target.apart)
        self.assertEqual(self.case.node.GetAttribute("CT-SAM3D.Apart"), "1")


class PanelTest(StateTestCase):
    def test_the_same_in_the_panel(self):
        self.start()
        self.addCleanup(setattr, self.ui.apartBox, "checked", False)
        self.segment("liver", MIDDLE)
        first, liver = self.case.mask().copy(), self.case.segment_id
        self.case.press("insideButton")
        self.ui.apartBox.click()
        self.assertTrue(self.case.parameters.apart)
        self.segment("spleen", BESIDE)
        spleen = self.case.mask()
        self.assertTrue(spleen.any())
        self.assertFalse((spleen & first).any())
        np.testing.assert_array_equal(self.case.mask(liver), first)
        self.case.press_and_wait("segmentAllButton")
        self.assertFalse((self.case.mask() & self.case.mask(liver)).any())
