"""Undo of the Segment Editor while answers are awaited: it takes back what was done last."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import slicer
import vtk
from ctsam3d_case import ASIDE, MIDDLE, NAME
from event_loop import until
from mouse_case import MouseCase
from view_mouse import click

from CTSAM3DLib.mrml.labelmaps import voxels_of

BELOW = (30.0, 44.0, 60.0)
INSIDE, CORNER = (23, 21, 19), (3, 3, 3)  # voxels


class UndoTest(MouseCase):
    def setUp(self):
        super().setUp()
        click("Red", MIDDLE)
        self.case.settle()
        self.before = self.state()

    def state(self):
        return self.case.mask(), self.case.clicks()

    def hold(self, *places):
        self.case.predictor.gate.clear()
        for place in places:
            click("Red", place)

    def undo(self, left):
        """Undo, and let the application go on until so many points are shown."""
        self.case.editor.undo()
        until(lambda: len(self.case.effect.editor.markers.shown) == left, "the undo")

    def go_on(self):
        self.case.predictor.gate.set()
        self.case.settle()

    def paint(self, index, mode="Add"):
        """Paint a few voxels in the selected segment, as Paint or Erase does."""
        effect = self.case.effect.scriptedEffect
        effect.saveStateForUndo()
        labelmap = effect.defaultModifierLabelmap()
        i, j, k = index
        voxels_of(labelmap)[k : k + 2, j : j + 2, i : i + 2] = 1
        labelmap.Modified()
        effect.modifySelectedSegmentByLabelmap(labelmap, getattr(effect, f"ModificationMode{mode}"))

    def noticed(self):
        """Let the controller see what there is now."""
        self.case.controller.drain()
        slicer.app.processEvents()

    def assert_as_before(self):
        np.testing.assert_array_equal(self.case.mask(), self.before[0])
        self.assertEqual(self.case.clicks(), self.before[1])

    def test_the_click_under_way_goes_and_the_step_before_stays(self):
        self.hold(ASIDE)
        self.undo(left=1)
        self.assertFalse(self.case.controller.busy)
        told = self.case.effect.options.statusLabel.text
        self.assertEqual(told, "Cancelled; nothing was changed.")
        self.assert_as_before()
        self.go_on()
        self.assert_as_before()
        self.case.editor.redo()
        self.assert_as_before()
        self.undo(left=0)
        self.assertFalse(self.case.mask().any())

    def test_clicks_that_wait_go_one_by_one(self):
        self.hold(ASIDE, BELOW, (48.0, 60.0, 60.0))
        self.undo(left=3)
        self.assertEqual(self.case.effect.options.statusLabel.text, "Segmenting ...")
        self.undo(left=2)
        self.go_on()
        second = self.case.clicks()[1]
        np.testing.assert_allclose(second.position_ras, ASIDE, atol=1.5)
        self.undo(left=1)
        self.assert_as_before()

    def test_two_at_once(self):
        click("Red", (48.0, 60.0, 60.0))
        self.case.settle()
        self.before = self.state()
        self.hold(ASIDE, BELOW)
        self.case.editor.undo()
        self.undo(left=2)
        self.go_on()
        self.assert_as_before()

    def test_after_the_answer_of_one_of_them(self):
        self.hold(ASIDE)
        self.go_on()
        two = self.state()
        self.hold(BELOW)
        self.undo(left=2)
        self.go_on()
        np.testing.assert_array_equal(self.case.mask(), two[0])
        self.undo(left=1)
        self.assert_as_before()

    def test_the_step_of_another_segment_stays(self):
        self.case.editor.setCurrentSegmentID("other")
        self.hold(ASIDE)
        self.undo(left=0)
        self.go_on()
        self.assert_as_before()
        self.assertEqual(len(self.case.clicks("other")), 0)
        self.assertFalse(self.case.mask("other").any())

    def test_the_newest_of_two_segments_goes(self):
        self.hold(ASIDE)
        self.case.editor.setCurrentSegmentID("other")
        click("Red", BELOW)
        self.undo(left=0)
        self.go_on()
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertEqual(len(self.case.clicks("other")), 0)

    def test_tidying_up_stays(self):
        drawn = self.before[0].copy()
        drawn[2:4, 2:4, 2:4] = True
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            drawn.astype(np.uint8), self.case.segmentation, "organ", self.case.volume
        )
        self.case.effect.options.keepButton.click()
        self.hold(ASIDE)
        self.undo(left=1)
        self.go_on()
        self.assert_as_before()

    def test_a_stroke_that_was_drawn_since_goes_before_the_click(self):
        # A place of its own each: what was decoded for one that was taken back is kept.
        for mode, index, aside in (("Remove", INSIDE, 70.0), ("Add", CORNER, 62.0)):
            for is_noticed in (False, True):
                with self.subTest(mode=mode, is_noticed=is_noticed):
                    self.hold((aside, 48.0 if is_noticed else 40.0, 60.0))
                    self.paint(index, mode)
                    self.assertTrue((self.case.mask() != self.before[0]).any())
                    if is_noticed:
                        self.noticed()
                    self.case.editor.undo()
                    self.noticed()
                    np.testing.assert_array_equal(self.case.mask(), self.before[0])
                    self.assertEqual(len(self.case.effect.editor.markers.shown), 2)
                    self.undo(left=1)
                    self.go_on()
                    self.assert_as_before()

    def test_what_is_no_undo_leaves_no_warning_in_the_log(self):
        before, window = vtk.vtkOutputWindow.GetInstance(), vtk.vtkStringOutputWindow()
        shown = vtk.vtkObject.GetGlobalWarningDisplay()
        self.addCleanup(vtk.vtkOutputWindow.SetInstance, before)
        self.addCleanup(vtk.vtkObject.SetGlobalWarningDisplay, shown)
        self.hold(ASIDE)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (~self.before[0]).astype(np.uint8), self.case.segmentation, "organ", self.case.volume
        )
        vtk.vtkOutputWindow.SetInstance(window)
        vtk.vtkObject.SetGlobalWarningDisplay(1)
        self.noticed()
        self.assertEqual(window.GetOutput(), "")
        self.assertEqual(vtk.vtkObject.GetGlobalWarningDisplay(), 1)
        self.go_on()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_a_stroke_that_is_redone_takes_no_click_back(self):
        self.paint(INSIDE, "Remove")
        once = self.case.mask()
        self.paint((24, 22, 20), "Remove")
        twice = self.case.mask()
        for _ in range(2):
            self.case.editor.undo()
        self.hold(ASIDE)
        for expected in (once, twice):
            self.case.editor.redo()
            self.noticed()
            np.testing.assert_array_equal(self.case.mask(), expected)
        self.go_on()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_strokes_and_clicks_in_turn_go_in_turn(self):
        self.hold(ASIDE)
        self.paint(INSIDE, "Remove")
        painted = self.case.mask()
        click("Red", BELOW)
        self.paint(CORNER)
        for left, mask in ((3, painted), (2, painted), (2, self.before[0]), (1, self.before[0])):
            self.case.editor.undo()
            self.noticed()
            self.assertEqual(len(self.case.effect.editor.markers.shown), left)
            np.testing.assert_array_equal(self.case.mask(), mask)

    def test_a_click_and_the_step_before_at_once(self):
        click("Red", (48.0, 60.0, 60.0))
        self.case.settle()
        self.hold(ASIDE)
        self.case.editor.undo()
        self.undo(left=1)
        self.go_on()
        self.assert_as_before()
        self.case.editor.redo()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_a_segment_that_was_added_since_takes_no_click_back_and_stays(self):
        self.hold(ASIDE)
        self.case.segmentation.GetSegmentation().AddEmptySegment("third", "third")
        self.undo(left=1)
        self.go_on()
        self.assert_as_before()
        self.assertIn("third", self.case.segmentation.GetSegmentation().GetSegmentIDs())

    def test_a_removal_goes_and_the_point_stays(self):
        self.case.predictor.gate.clear()
        self.case.effect.options.undoButton.click()
        self.undo(left=1)
        self.go_on()
        self.assert_as_before()

    def test_under_another_effect(self):
        self.hold(ASIDE)
        self.case.editor.setActiveEffect(None)
        self.case.editor.undo()
        until(lambda: not self.case.controller.busy, "the undo")
        self.go_on()
        self.assert_as_before()
        self.case.effect = self.case.activate(NAME)

    def test_a_scene_saved_meanwhile_can_be_edited(self):
        self.case.segmentation.SetName("Organs")
        self.hold(ASIDE)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "saved.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            self.go_on()
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(path)
        named = slicer.util.getFirstNodeByClassByName
        again = self.case.continued(
            named("vtkMRMLSegmentationNode", "Organs"), named("vtkMRMLScalarVolumeNode", "CT")
        )
        self.assertEqual(again.clicks(), self.before[1])  # what was awaited is not in the file
        np.testing.assert_array_equal(again.mask(), self.before[0])
        self.hold(BELOW)
        self.go_on()
        self.undo(left=1)
        np.testing.assert_array_equal(again.mask(), self.before[0])
