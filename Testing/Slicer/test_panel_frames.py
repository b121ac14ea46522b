"""The button that carries all structures of the panel to the next frame of a sequence."""

from __future__ import annotations

import slicer
from panel_case import StateTestCase
from test_console_carrying import BrightPredictor, ball, frame
from view_mouse import click

from CTSAM3DLib.geometry.overlap import dice

SHIFTS = (0.0, 7.0, 14.0)


class FramesTest(StateTestCase):
    def setUp(self):
        super().setUp()
        if not hasattr(slicer.modules, "sequences"):  # the stand-in has no module of sequences
            self.sequences = slicer.vtkSlicerSequencesLogic()
            self.sequences.SetMRMLScene(slicer.mrmlScene)

    def begin(self, volumes):
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
        self.case.parameters.volume = proxy
        self.case.add("liver")
        self.case.press("insideButton")
        click("Red", (30.0, 44.0, 60.0))
        self.case.settle()

    def test_each_press_is_one_frame_and_one_segmentation(self):
        self.begin([frame(shift) for shift in SHIFTS])
        first = self.case.segmentation
        self.assertFalse(self.ui.nextFrameButton.isHidden())
        for number in (1, 2):
            self.case.press("nextFrameButton")
            self.case.settle()
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
        self.case.press("nextFrameButton")
        self.case.settle()
        self.assertIn("Liver differs much from the frame before", self.case.status)

    def test_a_failing_model_leaves_the_frame_as_it_was(self):
        self.begin([frame(0.0), frame(7.0)])
        before = self.case.segmentation
        from CTSAM3DLib.errors import BundleError

        self.case.predictor.fail_next = BundleError("the model is gone")
        self.case.press("nextFrameButton")
        self.case.settle()
        self.assertIn("the model is gone", self.case.status)
        self.assertEqual(self.browser.GetSelectedItemNumber(), 0)
        self.assertIs(self.case.segmentation, before)

    def test_there_is_no_button_without_a_sequence(self):
        self.start()
        self.case.add("liver")
        self.assertTrue(self.ui.nextFrameButton.isHidden())


if __name__ == "__main__":
    import unittest

    unittest.main()
