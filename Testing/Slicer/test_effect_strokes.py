"""Strokes drawn with the mouse: where they lie, how they look, undo, and what is no stroke."""

from __future__ import annotations

import numpy as np
from ctsam3d_case import ASIDE, MIDDLE
from mouse_case import MouseCase
from view_mouse import click, drag_xy, hover, interactor_of, press_key, ras_of, xy_of


class StrokeTest(MouseCase):
    def setUp(self):
        super().setUp()
        self.start, self.end = xy_of("Red", MIDDLE), xy_of("Red", ASIDE)

    def actors(self):
        renderers = interactor_of("Red").GetRenderWindow().GetRenderers()
        return renderers.GetItemAsObject(0).GetActors2D().GetNumberOfItems()

    def strokes(self):
        self.case.settle()
        return [prompt for prompt in self.case.clicks() if prompt.kind == "scribble"]

    def test_a_drag_draws_a_stroke_where_the_mouse_went(self):
        press_key("Red", self.start, "s", "s")
        drag_xy("Red", self.start, self.end)
        (stroke,) = self.strokes()
        self.assertTrue(stroke.positive)
        line = np.array(stroke.line_ras)  # the volume of this case lies in the world as it is
        for corner, xy in ((line[0], self.start), (line[-1], self.end)):
            np.testing.assert_allclose(corner, ras_of("Red", xy), atol=1e-3)
        self.assertGreater(len(line), 5)
        np.testing.assert_allclose(np.diff(line[:, 2]), 0.0, atol=1e-6)
        self.assertTrue(self.case.mask().any())

    def test_a_stroke_outside_and_its_undo(self):
        click("Red", MIDDLE)
        self.assertEqual(self.signs(), [True])
        before = self.case.mask().copy()
        press_key("Red", self.start, "o", "o")
        press_key("Red", self.start, "s", "s")
        end = (self.end[0] + 40, self.end[1])
        drag_xy("Red", (self.end[0] + 10, self.end[1]), end)
        self.assertEqual([stroke.positive for stroke in self.strokes()], [False])
        self.case.editor.undo()
        self.case.settle()
        self.assertEqual(self.strokes(), [])
        np.testing.assert_array_equal(self.case.mask(), before)
        self.case.editor.redo()
        self.case.settle()
        self.assertEqual(len(self.strokes()), 1)

    def test_a_press_without_a_drag_is_a_point(self):
        press_key("Red", self.start, "s", "s")
        click("Red", MIDDLE)
        self.assertEqual(self.signs(), [True])
        self.assertEqual(self.strokes(), [])

    def test_the_line_is_seen_while_it_is_drawn_and_not_after(self):
        press_key("Red", self.start, "s", "s")
        interactor, nothing = interactor_of("Red"), self.actors()
        hover("Red", self.start)
        interactor.LeftButtonPressEvent()
        hover("Red", self.end)
        self.assertEqual(self.actors(), nothing + 1)
        interactor.LeftButtonReleaseEvent()
        self.assertEqual(len(self.strokes()), 1)
        self.assertEqual(self.actors(), nothing)

    def test_leaving_the_effect_ends_a_stroke(self):
        press_key("Red", self.start, "s", "s")
        interactor, nothing = interactor_of("Red"), self.actors()
        hover("Red", self.start)
        interactor.LeftButtonPressEvent()
        hover("Red", self.end)
        self.case.activate("Paint")
        self.assertEqual(self.actors(), nothing)
        interactor.LeftButtonReleaseEvent()
        self.assertEqual(self.strokes(), [])

    def test_another_segment_does_not_get_the_stroke_that_was_begun_for_one(self):
        press_key("Red", self.start, "s", "s")
        interactor = interactor_of("Red")
        hover("Red", self.start)
        interactor.LeftButtonPressEvent()
        hover("Red", self.end)
        self.case.segmentation.GetSegmentation().AddEmptySegment("other", "other")
        self.case.editor.setCurrentSegmentID("other")
        interactor.LeftButtonReleaseEvent()
        self.assertEqual(self.strokes(), [])
        self.assertEqual(len(self.case.clicks("other")), 0)

    def test_a_key_while_drawing_changes_the_next_stroke_and_not_this_one(self):
        press_key("Red", self.start, "s", "s")
        interactor = interactor_of("Red")
        hover("Red", self.start)
        interactor.LeftButtonPressEvent()
        press_key("Red", self.end, "o", "o")
        interactor.LeftButtonReleaseEvent()
        self.assertEqual([stroke.positive for stroke in self.strokes()], [True])

    def test_without_the_key_a_drag_is_a_point(self):
        drag_xy("Red", self.start, self.end)
        self.assertEqual(self.signs(), [True])
        self.assertEqual(self.strokes(), [])
