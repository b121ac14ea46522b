"""The effect under the mouse: clicks inside and outside, undo, other segments, markers."""

from __future__ import annotations

import threading

import numpy as np
import slicer
from ball_predictor import RADIUS
from ctsam3d_case import ASIDE, MIDDLE, NAME, EffectTestCase
from event_loop import until
from view_mouse import click, drag, xy_of

from CTSAM3DLib.engine import SegmentationEngine

BALL_MM3 = 4 / 3 * np.pi * (2.0 * RADIUS) ** 3  # the model looks at voxels of 2 mm
VOXEL_MM3 = 12.0


class EffectTest(EffectTestCase):
    def status(self):
        return self.case.effect.editor.status

    def markers(self, positive=True):
        return self.case.effect.editor.markers.node(positive)

    def test_click_gives_a_structure_round_the_mouse_in_every_view(self):
        for view, ras in [
            ("Red", MIDDLE),
            ("Yellow", (50.0, 38.0, 66.0)),
            ("Green", (56.0, 44.0, 54.0)),
        ]:
            with self.subTest(view=view):
                self.case.effect.editor.clear()
                self.case.settle()
                hit = self.click(ras, view)
                np.testing.assert_allclose(self.case.centre_ras(), hit, atol=1.5)
                volume = self.case.mask().sum() * VOXEL_MM3
                self.assertAlmostEqual(volume, BALL_MM3, delta=0.02 * BALL_MM3)
                (made,) = self.case.clicks()
                self.assertTrue(made.positive)
                np.testing.assert_allclose(made.position_ras, hit, atol=1e-3)
                self.assertEqual(self.status().kind, "done")

    def test_control_click_and_the_outside_button_cut_away(self):
        for modifiers in (["Control"], []):
            with self.subTest(modifiers=modifiers):
                self.case.effect.editor.clear()
                self.case.settle()
                self.click()
                before = self.case.mask()
                if not modifiers:
                    self.case.effect.options.outsideButton.click()
                self.click((56.0, 44.0, 60.0), modifiers=modifiers)
                after = self.case.mask()
                self.assertTrue((before & ~after).any())
                self.assertFalse((after & ~before).any())
                self.assertEqual([c.positive for c in self.case.clicks()], [True, False])
        # With "Outside" chosen, Ctrl adds a point inside.
        self.click(ASIDE, modifiers=["Control"])
        self.assertTrue(self.case.clicks()[-1].positive)

    def test_undo_and_redo_bring_back_voxels_clicks_and_markers(self):
        masks = [self.case.mask()]
        for ras in (MIDDLE, ASIDE, (30.0, 44.0, 60.0)):
            self.click(ras)
            masks.append(self.case.mask())
        for count in (2, 1, 0):
            self.case.editor.undo()
            self.case.settle()
            np.testing.assert_array_equal(self.case.mask(), masks[count])
            self.assertEqual(len(self.case.clicks()), count)
            self.assertEqual(self.markers().GetNumberOfControlPoints(), count)
        for count in (1, 2, 3):
            self.case.editor.redo()
            self.case.settle()
            np.testing.assert_array_equal(self.case.mask(), masks[count])
            self.assertEqual(self.markers().GetNumberOfControlPoints(), count)

    def test_a_click_after_undo_goes_on_from_there(self):
        self.case.effect.options.growBox.checked = False
        self.click(MIDDLE)
        first = self.case.mask()
        self.click((30.0, 44.0, 60.0))
        self.case.editor.undo()
        self.case.settle()
        decoded = self.case.predictor.decoded
        self.click(ASIDE)
        self.assertEqual(self.case.predictor.decoded, decoded + 1)
        self.assertTrue(self.case.mask()[first].all())
        self.assertFalse(self.case.mask()[20, 22, 15])  # the undone place: (30, 44, 60)
        self.assertEqual(len(self.case.clicks()), 2)

    def test_one_undo_state_for_each_click(self):
        for ras in (MIDDLE, ASIDE, (30.0, 44.0, 60.0)):
            self.click(ras)
        for left in (2, 1, 0):
            self.case.editor.undo()
            self.assertEqual(len(self.case.clicks()), left)

    def test_other_segments_keep_their_voxels_and_the_users_setting_stays(self):
        node = self.case.node  # all other effects use it, too
        self.assertEqual(node.GetOverwriteMode(), node.OverwriteAllSegments)
        self.click(MIDDLE)
        organ = self.case.mask()
        self.case.editor.setCurrentSegmentID("other")
        self.click((54.0, 44.0, 60.0))
        np.testing.assert_array_equal(self.case.mask("organ"), organ)
        self.assertTrue((self.case.mask("other") & organ).any())
        self.assertEqual(node.GetOverwriteMode(), node.OverwriteAllSegments)

    def test_the_users_choice_to_overwrite_is_honoured(self):
        self.click(MIDDLE)
        self.case.effect.options.overwriteBox.checked = True
        self.case.editor.setCurrentSegmentID("other")
        self.click((54.0, 44.0, 60.0))
        self.assertFalse((self.case.mask("other") & self.case.mask("organ")).any())

    def test_switching_segments_switches_clicks_and_markers(self):
        self.click(MIDDLE)
        self.click(ASIDE)
        self.case.editor.setCurrentSegmentID("other")
        self.case.settle()
        self.assertEqual(self.markers().GetNumberOfControlPoints(), 0)
        self.click((30.0, 44.0, 60.0))
        self.assertEqual(len(self.case.clicks("other")), 1)
        self.assertEqual(len(self.case.clicks("organ")), 2)
        self.case.editor.setCurrentSegmentID("organ")
        self.case.settle()
        self.assertEqual(self.markers().GetNumberOfControlPoints(), 2)

    def test_markers_look_different_without_colours(self):
        self.click(MIDDLE)
        self.click((56.0, 44.0, 60.0), modifiers=["Control"])
        inside, outside = (self.markers(sign).GetDisplayNode() for sign in (True, False))
        self.assertNotEqual(inside.GetGlyphType(), outside.GetGlyphType())
        self.assertNotEqual(inside.GetSelectedColor(), outside.GetSelectedColor())
        self.assertEqual(self.markers(False).GetNumberOfControlPoints(), 1)

    def test_dragging_a_marker_computes_the_result_again(self):
        hit = self.click(MIDDLE)
        count = self.case.mask().sum()
        self.click_far_away_and_back(hit)
        drag("Red", hit, (62.0, 50.0, 60.0))
        self.case.settle()
        (moved,) = self.case.clicks()
        np.testing.assert_allclose(moved.position_ras, (62.0, 50.0, 60.0), atol=1.5)
        np.testing.assert_allclose(self.case.centre_ras(), moved.position_ras, atol=1.5)
        self.assertAlmostEqual(self.case.mask().sum(), count, delta=0.1 * count)
        self.case.editor.undo()
        self.case.settle()
        np.testing.assert_allclose(self.case.centre_ras(), hit, atol=1.5)

    def click_far_away_and_back(self, hit):
        """Move the mouse over the marker, as a hand does before it drags."""
        widget = slicer.app.layoutManager().sliceWidget("Red")
        xy = xy_of("Red", hit)
        interactor = widget.sliceView().interactor()
        interactor.SetEventInformation(*xy, 0, 0, "\0", 0, None)
        interactor.MouseMoveEvent()

    def test_deleting_a_marker_takes_its_click_back(self):
        self.click(MIDDLE)
        alone = self.case.mask()
        self.click(ASIDE)
        self.markers().RemoveNthControlPoint(1)
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 1)
        np.testing.assert_array_equal(self.case.mask(), alone)
        self.case.editor.undo()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertEqual(self.markers().GetNumberOfControlPoints(), 2)

    def test_remove_last_and_clear(self):
        self.click(MIDDLE)
        alone = self.case.mask()
        self.click(ASIDE)
        self.case.effect.options.undoButton.click()
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), alone)
        self.case.effect.options.clearButton.click()
        self.case.settle()
        self.assertEqual(self.case.mask().sum(), 0)
        self.assertEqual(len(self.case.clicks()), 0)
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), alone)

    def test_the_window_stays_alive_and_quick_clicks_are_all_answered(self):
        self.case.predictor.gate.clear()
        for ras in (MIDDLE, ASIDE, (30.0, 44.0, 60.0)):
            click("Red", ras)  # returns although nothing is computed
        self.assertEqual(self.status().kind, "busy")
        self.assertTrue(self.case.effect.options.cancelButton.enabled)
        self.assertEqual(self.case.mask().sum(), 0)
        self.assertEqual(self.markers().GetNumberOfControlPoints(), 3)
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 3)
        self.assertTrue(self.case.mask()[20, 22, [15, 24, 35]].all())
        self.case.editor.undo()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_everything_is_computed_on_one_other_thread(self):
        for ras in (MIDDLE, ASIDE):
            self.click(ras)
        self.assertEqual(len(self.case.predictor.threads), 1)
        self.assertNotIn(threading.current_thread().name, self.case.predictor.threads)

    def test_resting_mouse_prepares_the_click(self):
        self.click_far_away_and_back(MIDDLE)
        until(lambda: self.case.predictor.encoded, "the encoding")
        self.assertEqual(self.case.predictor.encoded, 1)
        self.click(MIDDLE)
        self.assertEqual(self.case.predictor.encoded, 1)
        self.assertEqual(self.case.predictor.decoded, 1)

    def test_placing_points_elsewhere_neither_ends_the_effect_nor_clicks(self):
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.assertIsNotNone(self.case.editor.activeEffect())
        self.click(ASIDE)
        self.assertEqual(len(self.case.clicks()), 0)
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self.click(MIDDLE)
        self.assertEqual(len(self.case.clicks()), 1)

    def test_a_correction_right_beside_a_marker(self):
        self.click(MIDDLE)
        self.click((50.0, 44.0, 60.0), modifiers=["Control"])
        self.assertEqual([c.positive for c in self.case.clicks()], [True, False])

    def test_hovering_uses_the_chosen_model(self):
        asked = []

        def load(model, device):
            asked.append((model, device))
            return self.case.predictor

        self.case.logic.setEngine(SegmentationEngine(load))
        options = self.case.effect.options
        options.deviceBox.currentIndex = options.deviceBox.findData("cpu")
        self.case.effect.onRest(MIDDLE)
        until(lambda: self.case.predictor.encoded, "the encoding")
        self.assertEqual(asked, [(None, "cpu")])

    def test_left_effect_hears_nothing(self):
        self.click_far_away_and_back(MIDDLE)
        effect, node = self.case.effect, self.case.node
        self.assertTrue(effect.mouse.timer.active)
        self.case.editor.setActiveEffect(None)
        self.assertFalse(effect.mouse.timer.active)
        self.assertIsNone(effect._segments.subject)
        self.assertIsNone(effect._node.subject)
        node.Modified()
        self.assertIsNone(effect.editor)

    def test_markers_vanish_with_the_effect(self):
        self.click(MIDDLE)
        node = self.markers()
        self.case.editor.setActiveEffect(None)
        self.assertFalse(slicer.mrmlScene.IsNodePresent(node))
        self.case.effect = self.case.activate(NAME)
        self.assertEqual(self.markers().GetNumberOfControlPoints(), 1)
