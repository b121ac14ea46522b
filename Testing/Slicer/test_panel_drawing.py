"""Strokes, lassos and boxes drawn from the panel, by real events of mouse and keys."""

from __future__ import annotations

import slicer
from panel_case import MIDDLE, StateTestCase
from view_mouse import click, drag_xy, hover, interactor_of, press_key, xy_of

ROUND = [(-30, 0), (-20, 25), (0, 35), (20, 25), (30, 0), (20, -25), (0, -35), (-20, -25)]


class DrawingTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start()
        self.case.add("liver")
        self.x, self.y = xy_of("Red", MIDDLE)
        self.interaction = slicer.app.applicationLogic().GetInteractionNode()

    def drag(self, half=30):
        drag_xy("Red", (self.x - half, self.y - half), (self.x + half, self.y + half))
        self.case.settle()

    def kinds(self):
        self.case.settle()
        return [(prompt.kind, prompt.positive) for prompt in self.case.clicks()]

    def lasso(self):
        way, interactor = [(self.x + a, self.y + b) for a, b in ROUND], interactor_of("Red")
        hover("Red", way[0])
        interactor.LeftButtonPressEvent()
        for xy in way[1:]:
            hover("Red", xy)
        interactor.LeftButtonReleaseEvent()
        slicer.app.processEvents()

    def test_each_tool_inside_and_outside_with_undo_and_redo(self):
        for tool, kind in (("strokeButton", "scribble"), ("boxButton", "box")):
            with self.subTest(kind=kind):
                self.case.press(tool)
                self.case.press("insideButton")
                self.drag()
                self.assertEqual(self.kinds(), [(kind, True)])
                self.assertTrue(self.case.mask().any())
                self.case.press("outsideButton")
                self.drag(10)
                self.assertEqual(self.kinds(), [(kind, True), (kind, False)])
                self.case.press("undoButton")
                self.assertEqual(self.kinds(), [(kind, True)])
                self.case.press("redoButton")
                self.assertEqual(self.kinds(), [(kind, True), (kind, False)])
                self.case.press("clearButton")
                self.assertEqual(self.kinds(), [])
                self.case.press("outsideButton")
                self.assertFalse(self.ui.outsideButton.checked)
        self.case.press("lassoButton")
        self.case.press("insideButton")
        self.lasso()
        self.assertEqual(self.kinds(), [("lasso", True)])

    def test_keys_change_tool_and_sign_and_escape_ends(self):
        self.case.press("insideButton")
        self.assertEqual(self.interaction.GetCurrentInteractionMode(), self.interaction.Place)
        press_key("Red", (self.x, self.y), "x", "x")
        self.assertTrue(self.ui.boxButton.checked)
        self.assertTrue(self.ui.insideButton.checked)
        mode = self.interaction.GetCurrentInteractionMode()
        self.assertEqual(mode, self.interaction.ViewTransform)
        press_key("Red", (self.x, self.y), "o", "o")
        self.assertTrue(self.ui.outsideButton.checked)
        self.drag()
        self.assertEqual(self.kinds(), [("box", False)])
        press_key("Red", (self.x, self.y), "o", "o")
        press_key("Red", (self.x, self.y), "x", "x")
        self.assertEqual(self.interaction.GetCurrentInteractionMode(), self.interaction.Place)
        click("Red", MIDDLE)
        self.assertEqual(self.kinds(), [("box", False), ("click", True)])
        press_key("Red", (self.x, self.y), "l", "l")
        press_key("Red", (self.x, self.y), "Escape")
        self.assertFalse(self.ui.insideButton.checked or self.ui.outsideButton.checked)
        self.drag()
        self.assertEqual(len(self.kinds()), 2)

    def test_delete_removes_what_the_mouse_means_also_when_nothing_is_added(self):
        self.case.press("boxButton")
        self.case.press("insideButton")
        self.drag()
        self.case.press("pointButton")
        click("Red", (70.0, 44.0, 60.0))
        self.assertEqual(self.kinds(), [("box", True), ("click", True)])
        press_key("Red", (self.x + 30, self.y), "Delete", "\x7f")  # while points are placed
        self.assertEqual(self.kinds(), [("click", True)])
        self.case.press("undoButton")
        self.assertEqual(self.kinds(), [("box", True), ("click", True)])
        self.assertTrue(self.ui.insideButton.checked)  # placing goes on
        self.case.press("insideButton")
        self.assertFalse(self.ui.insideButton.checked)
        press_key("Red", (self.x + 30, self.y), "Delete", "\x7f")
        self.assertEqual(self.kinds(), [("click", True)])
        press_key("Red", xy_of("Red", (70.0, 44.0, 60.0)), "BackSpace", "\x08")
        self.assertEqual(self.kinds(), [])
        self.case.press("undoButton")
        self.case.panel.exit()
        press_key("Red", xy_of("Red", (70.0, 44.0, 60.0)), "Delete", "\x7f")
        self.case.panel.enter()
        self.assertEqual(self.kinds(), [("click", True)])

    def test_other_keys_are_slicers_while_nothing_is_added(self):
        for key in ("x", "o", "Escape"):
            press_key("Red", (self.x, self.y), key)
        self.assertTrue(self.ui.pointButton.checked)
        self.assertFalse(self.ui.insideButton.checked or self.ui.outsideButton.checked)

    def test_one_prompt_for_one_press_also_without_a_drag(self):
        self.case.press("strokeButton")
        self.case.press("insideButton")
        click("Red", MIDDLE)
        self.assertEqual(self.kinds(), [("click", True)])
        self.case.press("pointButton")
        click("Red", (56.0, 44.0, 60.0))
        self.assertEqual(self.kinds(), [("click", True)] * 2)

    def test_slicers_gestures_stay_slicers(self):
        self.case.press("boxButton")
        self.case.press("insideButton")
        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        before = node.GetXYZOrigin()
        drag_xy("Red", (120, 120), (170, 150), ["Shift"])
        self.assertNotEqual(node.GetXYZOrigin(), before)
        self.interaction.SetCurrentInteractionMode(self.interaction.AdjustWindowLevel)
        self.drag()
        self.interaction.SetCurrentInteractionMode(self.interaction.ViewTransform)
        self.assertEqual(self.kinds(), [])

    def test_leaving_the_panel_ends_drawing(self):
        self.case.press("boxButton")
        self.case.press("insideButton")
        interactor = interactor_of("Red")
        hover("Red", (self.x, self.y))
        interactor.LeftButtonPressEvent()
        hover("Red", (self.x + 20, self.y + 20))
        self.case.panel.exit()
        interactor.LeftButtonReleaseEvent()
        drag_xy("Red", (self.x - 20, self.y), (self.x + 20, self.y))
        self.case.panel.enter()
        self.assertEqual(self.kinds(), [])
        self.assertFalse(self.ui.insideButton.checked)

    def test_a_layout_with_other_views_draws_too(self):
        self.case.press("boxButton")
        self.case.press("insideButton")
        slicer.app.layoutManager().layoutChanged.emit(1)
        self.drag()
        self.assertEqual(self.kinds(), [("box", True)])
