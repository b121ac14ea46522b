"""Two Segment Editors at once, the effect active in both: nothing is lost, nothing comes twice."""

from __future__ import annotations

import numpy as np
import slicer
from ctsam3d_case import ASIDE, MIDDLE, NAME, EffectTestCase
from segmentation_case import SegmentationCase
from view_mouse import click_and_wait

BESIDE = (30.0, 44.0, 60.0)


class TwoEditorsTest(EffectTestCase):
    def setUp(self):
        super().setUp()
        self.other = SegmentationCase(self.case.volume)
        self.addCleanup(self.other.close)
        self.other.editor.setSegmentationNode(self.case.segmentation)
        self.other.editor.setSourceVolumeNode(self.case.volume)

    def both(self, segmentId="organ"):
        """Have the effect active in both, the second on a segment of the same segmentation."""
        self.other.editor.setCurrentSegmentID(segmentId)
        effect = self.other.activate(NAME)
        self.assertEqual(self.other.node.GetSelectedSegmentID(), segmentId)
        return effect

    def markers(self):
        """Count what is left of the effect's points in the scene."""
        nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        return [node.GetName() for node in nodes]

    def test_a_click_comes_once_and_both_show_it(self):
        second = self.both()
        click_and_wait(self.case, MIDDLE)
        slicer.app.processEvents()
        self.assertEqual(len(self.case.clicks()), 1)
        for effect in (self.case.effect, second):
            self.assertEqual(effect.editor.markers.shown, self.case.clicks())
        alone = self.case.mask()
        second.onRemoveLast()
        self.case.settle()
        self.assertFalse(self.case.mask().any())
        self.case.effect.onClick(list(MIDDLE), True)
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 1)
        self.assertLess(np.count_nonzero(self.case.mask() != alone), alone.sum() // 5)

    def test_a_click_of_one_under_way_is_kept_by_the_other(self):
        second = self.both()
        click_and_wait(self.case, MIDDLE)
        self.case.predictor.gate.clear()
        self.case.effect.onClick(list(ASIDE), True)
        self.assertEqual(len(second.editor.markers.shown), 2)  # what its user takes back now is one
        second.onDelete(0)
        self.case.effect.onClick(list(BESIDE), False)
        self.case.predictor.gate.set()
        self.case.settle()
        places = [(round(c.position_ras[0]), c.positive) for c in self.case.clicks()]
        self.assertEqual(places, [(70, True), (30, False)])

    def test_two_segments_are_edited_at_once(self):
        second = self.both("other")
        self.case.predictor.gate.clear()
        self.case.effect.onClick(list(MIDDLE), True)
        second.onClick(list(ASIDE), True)
        self.case.predictor.gate.set()
        self.case.settle()
        for segmentId, effect in (("organ", self.case.effect), ("other", second)):
            self.assertEqual(len(self.case.clicks(segmentId)), 1)
            self.assertTrue(self.case.mask(segmentId).any())
            self.assertEqual(effect.editor.markers.shown, self.case.clicks(segmentId))
        self.case.editor.undo()
        self.case.settle()
        self.other.editor.undo()
        self.case.settle()
        found = [self.case.mask(name).any() for name in ("organ", "other")]
        self.assertNotEqual(found, [True, True])
        self.case.editor.redo()
        self.case.settle()

    def test_one_that_is_left_leaves_nothing_behind_and_the_other_goes_on(self):
        alone = self.markers()
        finished = len(self.case.controller.finished), len(self.case.controller.started)
        second = self.both()
        second.onClick(list(MIDDLE), True)
        self.case.settle()
        self.case.predictor.gate.clear()
        second.onClick(list(ASIDE), True)
        self.other.editor.setActiveEffect(None)
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertEqual(self.case.effect.editor.markers.shown, self.case.clicks())
        now = len(self.case.controller.finished), len(self.case.controller.started)
        self.assertEqual(now, finished)
        self.assertLessEqual(len(self.markers()), len(alone) + 1)
        click_and_wait(self.case, BESIDE)
        self.assertEqual(len(self.case.clicks()), 3)

    def test_a_segment_that_one_removes_is_gone_for_both(self):
        second = self.both()
        self.case.predictor.gate.clear()
        second.onClick(list(MIDDLE), True)
        self.case.segmentation.RemoveSegment("organ")
        self.case.predictor.gate.set()
        self.case.settle()
        for effect in (self.case.effect, second):
            self.assertFalse(effect.editor is not None and effect.editor.markers.shown)
        self.both("other")
        self.case.editor.setCurrentSegmentID("other")
        self.case.effect = self.case.activate(NAME)
        click_and_wait(self.case, MIDDLE)
        self.assertEqual(len(self.case.clicks("other")), 1)
