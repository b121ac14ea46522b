"""Go to the next: the structures of a segmentation, the least sure one first."""

from __future__ import annotations

import numpy as np
import slicer
from ball_predictor import BallPredictor
from event_loop import until
from panel_case import StateTestCase
from view_mouse import click, click_and_wait

from CTSAM3DLib.errors import BundleError

PLACES = {"Liver": (30.0, 44.0, 60.0), "Spleen": (48.0, 30.0, 60.0), "Heart": (66.0, 44.0, 60.0)}
DOUBTS = {"Liver": 1, "Spleen": 5, "Heart": 3}  # half sides of blocks in doubt, voxels
ORDER = ["Spleen", "Heart", "Liver"]


class DoubtfulPredictor(BallPredictor):
    """In doubt in a block beside the ball of each click, as large as it is told."""

    doubt = 0

    def decode(self, embedding, points_kji, labels, previous_logits):
        logits = super().decode(embedding, points_kji, labels, previous_logits)
        k, j, i = points_kji[-1].astype(int)
        half = self.doubt
        logits[k - half : k + half, j - half : j + half, i + 7 : i + 7 + 2 * half] = -0.05
        return logits


class WorstFirstTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.predictor = DoubtfulPredictor()
        self.start(predictor=self.predictor)

    def segment_all(self):
        for name, place in PLACES.items():
            self.predictor.doubt = DOUBTS[name]
            self.segment(name.lower(), place)
            self.case.press("insideButton")

    def press(self):
        """Press the button with the mouse of a user; return the structure that is selected."""
        self.case.press("worstButton")
        until(lambda: "uncertainty" in self.case.status, "the place")
        self.case.settle()
        nodes = self.case.widget.panel.workplace.nodes
        return nodes.segment_name(self.case.segment_id)

    def view_positions(self):
        names = ("Red", "Green", "Yellow")
        nodes = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in names]
        return [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3] for node in nodes]

    def test_each_press_goes_to_the_next_one_and_starts_again_in_the_end(self):
        self.segment_all()
        decoded, masks = self.predictor.decoded, [self.case.mask(one) for one in self.ids()]
        for number, name in enumerate([*ORDER, *ORDER], 1):
            self.assertEqual(self.press(), name)
            self.assertIn(f"{name}: uncertainty 0.", self.case.status)
            self.assertIn(f"({(number - 1) % 3 + 1} of 3)", self.case.status)
            self.assertIn("Unsure border", self.case.status)
            doubtful = np.add(PLACES[name], (2.0 * (6.5 + DOUBTS[name]), 0.0, 0.0))
            for at in self.view_positions():
                np.testing.assert_allclose(at, doubtful, atol=2.0 * DOUBTS[name] + 4.0)
        self.assertEqual(self.predictor.decoded, decoded)  # the model was not asked again
        for one, mask in zip(self.ids(), masks, strict=True):
            np.testing.assert_array_equal(self.case.mask(one), mask)

    def ids(self):
        return self.case.widget.panel.workplace.nodes.segment_ids()

    def test_the_table_tells_how_unsure_each_one_is(self):
        self.segment_all()
        self.assertEqual(self.ui.segmentsTable.columnCount, 3)
        self.press()
        self.assertEqual(self.ui.segmentsTable.columnCount, 4)
        told = {row[0]: float(row[3]) for row in self.case.rows()}
        self.assertEqual(sorted(told, key=told.get, reverse=True), ORDER)
        self.predictor.doubt = 0
        self.case.press("insideButton")
        click_and_wait(self.case, (48.0, 36.0, 60.0))
        now = {row[0]: row[3] for row in self.case.rows()}
        self.assertEqual(now["Spleen"], "-")  # not known any more
        self.assertEqual(float(now["Heart"]), told["Heart"])
        self.assertEqual(self.press(), "Heart")  # the next one, not that again
        self.assertNotEqual({row[0]: row[3] for row in self.case.rows()}["Spleen"], "-")

    def test_undo_brings_back_what_was_known(self):
        self.segment_all()
        self.press()
        before = self.case.rows()
        self.case.press("insideButton")
        click_and_wait(self.case, (48.0, 36.0, 60.0))
        self.assertNotEqual(self.case.rows(), before)
        self.case.press_and_wait("undoButton")
        self.assertEqual(self.case.rows(), before)

    def test_slicer_goes_on_meanwhile_and_cancel_changes_nothing(self):
        self.segment_all()
        present = self.case.segment_id
        self.predictor.gate.clear()
        self.case.logic.engine.run(lambda predictor: predictor.gate.wait())
        self.case.press("worstButton")
        self.assertIn("Looking at Liver (1 of 3)", self.case.status)
        self.assertFalse(self.ui.worstButton.enabled)
        self.case.press("cancelButton")
        self.assertEqual(self.case.status, "Cancelled; nothing was changed.")
        self.predictor.gate.set()
        self.case.settle()
        self.assertEqual(self.case.segment_id, present)
        self.assertEqual(self.press(), "Spleen")

    def test_what_is_taken_away_meanwhile_is_not_gone_to(self):
        remove = {
            "structure": lambda: self.case.press("removeButton"),
            "volume": lambda: slicer.mrmlScene.RemoveNode(self.case.volume),
        }
        for name, taken_away in remove.items():
            with self.subTest(what=name):
                self.segment("liver", PLACES["Liver"])
                if self.ui.insideButton.checked:
                    self.case.press("insideButton")
                self.predictor.gate.clear()
                self.case.logic.engine.run(lambda predictor: predictor.gate.wait())
                self.case.press("worstButton")
                taken_away()
                self.predictor.gate.set()
                self.case.settle()
                self.assertFalse(self.case.widget.panel.workplace.progress.busy)
                self.assertFalse(self.ui.worstButton.enabled)

    def test_a_model_that_fails_is_told(self):
        self.segment_all()
        self.case.logic.engine.forget_models()  # so that the prompts are answered anew
        self.predictor.fail_next = BundleError("the model is gone")
        self.case.press("worstButton")
        until(lambda: "the model is gone" in self.case.status, "the error")
        self.case.settle()
        self.assertFalse(self.case.logic.controller.busy)
        self.assertIn(self.press(), PLACES)

    def test_a_model_that_fails_takes_no_edit_back(self):
        self.segment_all()
        self.case.logic.engine.forget_models()
        self.predictor.fail_next = BundleError("the model is gone")
        self.predictor.gate.clear()
        self.case.press("worstButton")
        self.case.press("insideButton")
        click("Red", (66.0, 36.0, 60.0))
        self.predictor.gate.set()
        until(lambda: not self.case.logic.controller.busy, "the end of the work")
        self.assertEqual(len(self.case.clicks()), 2)

    def test_it_needs_prompts(self):
        self.case.add("liver")
        self.assertFalse(self.ui.worstButton.enabled)
        self.assertEqual(self.ui.worstButton.toolTip, "No structure has points yet.")
