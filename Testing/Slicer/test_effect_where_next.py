"""The button Where next? of the effect: it moves the views, says why, and changes nothing."""

from __future__ import annotations

import numpy as np
import slicer
from ball_predictor import BallPredictor
from ctsam3d_case import MIDDLE
from event_loop import until
from mouse_case import MouseCase
from view_mouse import click, click_and_wait


class DoubtfulPredictor(BallPredictor):
    """In doubt in a block beside the ball of each click."""

    def decode(self, embedding, points_kji, labels, previous_logits):
        logits = super().decode(embedding, points_kji, labels, previous_logits)
        k, j, i = points_kji[0].astype(int)
        logits[k - 3 : k + 3, j - 3 : j + 3, i + 7 : i + 13] = -0.05
        return logits


class WhereNextTest(MouseCase):
    def setUp(self):
        super().setUp()
        self.options = self.case.effect.options

    def views(self):
        names = ("Red", "Green", "Yellow")
        nodes = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in names]
        return [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3] for node in nodes]

    def test_the_views_go_to_the_doubt_and_nothing_else_changes(self):
        predictor = DoubtfulPredictor()
        self.case.predictor = predictor
        from CTSAM3DLib.engine import SegmentationEngine

        self.case.logic.setEngine(SegmentationEngine(lambda model, device: predictor))
        click_and_wait(self.case, MIDDLE)
        mask, prompts = self.case.mask().copy(), self.case.clicks()
        decoded = predictor.decoded
        self.options.nextButton.click()
        until(lambda: "Unsure border" in self.options.statusLabel.text, "the reason")
        doubtful = np.add(MIDDLE, (19.0, 0.0, 0.0))  # ten voxels of 2 mm of the grid, less a half
        for at in self.views():
            np.testing.assert_allclose(at, doubtful, atol=6.0)
        np.testing.assert_array_equal(self.case.mask(), mask)
        self.assertEqual(self.case.clicks(), prompts)
        self.assertEqual(predictor.decoded, decoded)  # the model was not asked again

    def test_without_anything_segmented_it_says_what_to_do(self):
        before = self.views()
        self.options.nextButton.click()
        until(lambda: "yet" in self.options.statusLabel.text, "the hint")
        np.testing.assert_array_equal(self.views(), before)

    def test_a_late_answer_leaves_the_line_and_views_of_what_was_pressed_since(self):
        click("Red", MIDDLE)
        self.case.settle()
        before = self.views()
        questions = self.case.controller.questions
        for press, told in (
            (self.options.outsideButton.click, "Click outside the structure."),
            (self.options.fillButton.click, "There is nothing to tidy up; nothing was changed."),
        ):
            with self.subTest(told=told):
                self.options.nextButton.click()
                press()
                until(lambda: not questions._asked, "the answer")
                self.assertEqual(self.options.statusLabel.text, told)
                np.testing.assert_array_equal(self.views(), before)

    def test_while_an_answer_is_awaited_it_waits(self):
        self.case.predictor.gate.clear()
        click("Red", MIDDLE)
        self.options.nextButton.click()
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 1)

    def test_a_model_that_cannot_be_loaded_is_told(self):
        from CTSAM3DLib.engine import SegmentationEngine
        from CTSAM3DLib.errors import BundleError

        def load(model, device):
            raise BundleError("expected a file of 17 MB, got 3 bytes")

        self.case.logic.setEngine(SegmentationEngine(load))
        self.options.nextButton.click()
        until(lambda: "17 MB" in self.options.statusLabel.text, "the error")
