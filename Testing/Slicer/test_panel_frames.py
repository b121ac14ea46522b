"""The button that carries all structures of the panel to the next frame of a sequence."""

from __future__ import annotations

from unittest import mock

import slicer
from bar_case import START, bar_volume
from event_loop import until
from panel_case import StateTestCase
from test_console_carrying import BrightPredictor, ball, frame
from view_mouse import click, click_and_wait

from CTSAM3DLib.geometry.overlap import dice

SHIFTS = (0.0, 7.0, 14.0)


class FramesTest(StateTestCase):
    def setUp(self):
        super().setUp()
        if not hasattr(slicer.modules, "sequences"):  # the stand-in has no module of sequences
            self.sequences = slicer.vtkSlicerSequencesLogic()
            self.sequences.SetMRMLScene(slicer.mrmlScene)

    def begin(self, volumes, place=(30.0, 44.0, 60.0), grow=True):
        """Show a sequence, and segment its first frame by a click."""
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Breathing")
        for number, volume in enumerate(volumes):
            sequence.SetDataNodeAtValue(volume, str(number))
            slicer.mrmlScene.RemoveNode(volume)
        self.browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
        self.browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        self.browser.SetSelectedItemNumber(0)
        proxy = self.browser.GetProxyNode(sequence)
        slicer.util.setSliceViewerLayers(background=proxy, fit=True)
        self.start(volume=proxy, predictor=BrightPredictor())
        self.ui.growBox.checked = grow
        self.case.parameters.volume = proxy
        self.case.add("liver")
        self.case.press("insideButton")
        click_and_wait(self.case, place)

    def test_each_press_is_one_frame_and_one_segmentation(self):
        self.begin([frame(shift) for shift in SHIFTS])
        first = self.case.segmentation
        self.assertFalse(self.ui.nextFrameButton.isHidden())
        for number in (1, 2):
            self.case.press_and_wait("nextFrameButton")
            self.assertEqual(self.browser.GetSelectedItemNumber(), number)
            self.assertIn(f"Frame {number + 1}: 1 structures", self.case.status)
            self.assertGreater(dice(self.case.mask(), ball(SHIFTS[number])), 0.9)
            (prompt,) = self.case.clicks()
            self.assertLess(abs(prompt.position_ras[0] - 30.0 - SHIFTS[number]), 2.5)
        self.assertFalse(first.GetDisplayNode().GetVisibility())
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 3)
        self.assertFalse(self.ui.nextFrameButton.enabled)
        self.assertEqual(self.ui.nextFrameButton.toolTip, "This is the last frame.")
        self.case.press("insideButton")
        click("Red", (48.0, 44.0, 60.0))  # clicking goes on from the carried mask
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_a_structure_that_changes_much_is_told(self):
        self.begin([frame(0.0), frame(0.0, 8.0)])
        self.case.press_and_wait("nextFrameButton")
        self.assertIn("Liver differs much from the frame before", self.case.status)

    def test_a_mask_that_ends_where_nobody_has_looked_is_told_by_name(self):
        self.begin([bar_volume()[0] for _ in range(2)], START, grow=False)
        self.case.press_and_wait("nextFrameButton")
        self.assertIn("Liver: The mask ends in a straight cut", self.case.status)

    def test_a_failing_model_leaves_the_frame_as_it_was(self):
        self.begin([frame(0.0), frame(7.0)])
        before = self.case.segmentation
        from CTSAM3DLib.errors import BundleError

        self.case.predictor.fail_next = BundleError("the model is gone")
        self.case.press_and_wait("nextFrameButton")
        self.assertIn("the model is gone", self.case.status)
        self.assertTrue(self.ui.nextFrameButton.enabled)
        self.assertEqual(self.browser.GetSelectedItemNumber(), 0)
        self.assertIs(self.case.segmentation, before)

    def test_slicer_goes_on_meanwhile_and_shows_the_frame_in_the_end(self):
        self.begin([frame(0.0), frame(7.0)])
        before, gate = self.case.segmentation, self.case.predictor.gate
        gate.clear()
        self.case.press("nextFrameButton")
        self.assertTrue(self.case.logic.controller.busy)
        self.assertIn("Frame 2: segmenting Liver (1 of 1)", self.case.status)
        for name in ("insideButton", "nextFrameButton", "segmentButton", "clearButton"):
            self.assertFalse(getattr(self.ui, name).enabled, name)
        self.assertTrue(self.ui.cancelButton.enabled)
        self.assertEqual(self.browser.GetSelectedItemNumber(), 0)
        self.assertIs(self.case.segmentation, before)
        gate.set()
        self.case.settle()
        self.assertEqual(self.browser.GetSelectedItemNumber(), 1)
        self.assertIsNot(self.case.segmentation, before)
        self.assertTrue(self.ui.insideButton.enabled)

    def test_cancel_leaves_the_frame_as_it_was(self):
        self.begin([frame(0.0), frame(7.0)])
        before, mask, gate = self.case.segmentation, self.case.mask(), self.case.predictor.gate
        for cancel in (
            lambda: self.case.press("cancelButton"),
            lambda: self.case.press("undoButton"),
            self.case.logic.controller.cancel,  # as the effect does
        ):
            gate.clear()
            self.case.press("nextFrameButton")
            cancel()
            self.assertEqual(self.case.status, "Cancelled; nothing was changed.")
            self.assertFalse(self.case.logic.controller.busy)
            gate.set()
            self.case.settle()
            self.assertEqual(self.browser.GetSelectedItemNumber(), 0)
            self.assertIs(self.case.segmentation, before)
            self.assertTrue((self.case.mask() == mask).all())
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 1)
        self.case.press_and_wait("nextFrameButton")
        self.assertEqual(self.browser.GetSelectedItemNumber(), 1)

    def test_what_was_changed_meanwhile_is_not_carried(self):
        self.begin([frame(0.0), frame(7.0)])
        before, gate = self.case.segmentation, self.case.predictor.gate
        markers = self.case.widget.panel.workplace.editor.markers.node(True)
        changes = {
            "voxels": lambda: slicer.util.updateSegmentBinaryLabelmapFromArray(
                self.case.mask().astype("uint8") * 0, before, self.case.segment_id, self.case.volume
            ),
            "a point": lambda: markers.AddControlPointWorld(33.0, 44.0, 60.0),
            "the frame": lambda: self.browser.SetSelectedItemNumber(1),
        }
        for name, change in changes.items():
            with self.subTest(what=name):
                gate.clear()
                self.case.press("nextFrameButton")
                told, tell = [], self.case.widget.panel.run.show_status
                with mock.patch.object(
                    self.case.widget.panel.run,
                    "show_status",
                    lambda status, told=told, tell=tell: told.append(status.text) or tell(status),
                ):
                    change()
                    gate.set()
                    self.case.settle()
                self.assertIn("changed meanwhile", " ".join(told))
                self.assertIs(self.case.segmentation, before)
                self.assertTrue(before.GetDisplayNode().GetVisibility())

    def test_a_volume_that_is_taken_away_meanwhile_ends_it(self):
        self.begin([frame(0.0), frame(7.0)])
        before, volume, gate = self.case.segmentation, self.case.volume, self.case.predictor.gate
        gate.clear()
        self.case.press("nextFrameButton")
        self.case.parameters.volume = None
        gate.set()
        self.case.settle()
        self.case.parameters.volume = volume
        self.case.settle()
        self.assertIs(self.case.segmentation, before)
        self.assertTrue(self.ui.insideButton.enabled)

    def test_leaving_the_panel_drops_the_frame(self):
        self.begin([frame(0.0), frame(7.0)])
        gate = self.case.predictor.gate
        gate.clear()
        self.case.press("nextFrameButton")
        self.case.panel.exit()
        gate.set()
        until(lambda: not self.case.logic.controller.busy, "the end of the work")
        self.case.panel.enter()
        self.case.settle()
        self.assertEqual(self.browser.GetSelectedItemNumber(), 0)
        self.assertTrue(self.ui.insideButton.enabled)

    def test_frames_of_another_grid_are_refused_at_once(self):
        other = frame(7.0)
        other.SetOrigin(5.0, 0.0, 0.0)
        self.begin([frame(0.0), other])
        self.case.press("nextFrameButton")
        self.assertIn("frames of one voxel grid", self.case.status)
        self.assertFalse(self.case.logic.controller.busy)

    def test_there_is_no_button_without_a_sequence(self):
        self.start()
        self.case.add("liver")
        self.assertTrue(self.ui.nextFrameButton.isHidden())
