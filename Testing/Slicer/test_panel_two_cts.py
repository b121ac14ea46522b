"""Another CT is chosen in the panel: what was segmented on the first one stays as it is."""

from __future__ import annotations

import numpy as np
import slicer
from panel_case import StateTestCase
from segmentation_case import SPACING, ball_volume
from view_mouse import click, click_and_wait

ELSEWHERE = np.diag([*SPACING, 1.0]) + 10.0 * np.eye(4, k=3)


class TwoTest(StateTestCase):
    """The panel with a liver on the first of two CTs."""

    def setUp(self):
        super().setUp()
        self.start()
        self.first = self.case.volume
        self.segment()
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
        click_and_wait(self.case, (60.0, 44.0, 60.0))
        self.assertEqual(self.case.rows()[0][1], "1 / 0")  # placing has ended
        self.case.press("insideButton")
        click_and_wait(self.case, (60.0, 44.0, 60.0))
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

    def begin(self):
        """Have two clicks under way."""
        self.case.press("insideButton")
        self.case.press("insideButton")
        self.case.predictor.gate.clear()
        for i in (60.0, 36.0):
            click("Red", (i, 44.0, 60.0))

    def end(self):
        """Let them come, and turn back to what they were made on."""
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertNotIn("still", self.case.status)
        self.choose(self.first)
        self.ui.segmentationSelector.setCurrentNode(self.made)
        slicer.app.processEvents()

    def test_clicks_under_way_reach_what_is_left_for_another_ct(self):
        self.left_meanwhile(lambda: self.choose(ball_volume(ELSEWHERE)))
        self.case.press("undoButton")
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_clicks_under_way_reach_what_is_left_for_another_segmentation(self):
        self.left_meanwhile(self.ui.segmentationSelector.addNode)
        self.assertFalse(self.ui.undoButton.enabled)  # Slicer forgets the steps of what is left

    def left_meanwhile(self, leave):
        self.begin()
        leave()
        self.assertIsNot(self.case.segmentation, self.made)
        told = "CT segmentation still gets what is being computed."
        self.assertEqual(self.case.status, told)
        self.assertTrue(self.ui.cancelButton.enabled)
        editors = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode")
        self.end()
        after = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode")
        self.assertEqual(after, editors)
        self.assertEqual(len(self.case.clicks()), 3)
        for i in (30, 18):
            self.assertTrue(self.case.mask()[20, 22, i])

    def test_what_is_under_way_for_another_segmentation_can_be_cancelled(self):
        self.begin()
        self.choose(ball_volume(ELSEWHERE))
        self.case.press("cancelButton")
        self.assertEqual(self.case.status, "Cancelled; nothing was changed.")
        self.end()
        np.testing.assert_array_equal(self.case.mask(), self.mask)
        self.assertEqual(self.case.clicks(), self.clicks)

    def test_masks_of_the_segment_editor_hold_for_what_is_left(self):
        node = self.case.logic.editorNode()
        self.addCleanup(node.SetSourceVolumeIntensityMask, False)
        node.SetSourceVolumeIntensityMask(True)
        node.SetSourceVolumeIntensityMaskRange(-2000.0, -500.0)  # nothing of the ball
        self.begin()
        self.ui.segmentationSelector.addNode()
        self.end()
        self.assertEqual(len(self.case.clicks()), 3)
        np.testing.assert_array_equal(self.case.mask(), self.mask)

    def test_another_segmentation_is_worked_on_meanwhile(self):
        self.begin()
        self.choose(ball_volume(ELSEWHERE))
        own = self.case.add("spleen")
        self.case.press("insideButton")
        click("Red", (48.0, 44.0, 60.0))
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(len(self.case.clicks(own)), 1)
        self.assertTrue(self.case.mask(own).any())
        self.case.press("undoButton")
        self.case.settle()
        self.assertFalse(self.case.mask(own).any())
        self.end()
        self.assertEqual(len(self.case.clicks()), 3)

    def two_under_way(self):
        """Have prompts of two segmentations under way; return the second one."""
        self.begin()
        self.choose(ball_volume(ELSEWHERE))
        self.case.add("spleen")
        self.case.press("insideButton")
        click("Red", (48.0, 44.0, 60.0))
        return self.case.segmentation

    def test_a_segmentation_that_is_deleted_takes_no_clicks_of_another(self):
        slicer.mrmlScene.RemoveNode(self.two_under_way())
        slicer.app.processEvents()
        self.assertEqual(self.case.logic.controller.segmentations, [self.made])
        self.end()
        self.assertEqual(len(self.case.clicks()), 3)

    def test_undo_takes_back_no_clicks_of_another_segmentation(self):
        self.two_under_way()
        self.case.press("undoButton")
        self.assertFalse(self.ui.undoButton.enabled)
        self.assertEqual(self.case.logic.controller.segmentations, [self.made])
        self.end()
        self.assertEqual(len(self.case.clicks()), 3)
