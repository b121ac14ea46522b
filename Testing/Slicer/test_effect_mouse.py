"""The effect under a hand that knows Slicer: modes, modifiers, double clicks, keys."""

from __future__ import annotations

import numpy as np
import qt
import slicer
from ctsam3d_case import ASIDE, MIDDLE
from mouse_case import MouseCase
from view_mouse import (
    click,
    click_and_wait,
    double_click,
    drag_xy,
    hover,
    interactor_of,
    press_key,
    xy_of,
)

SETTING = "Segmentations/ConfirmEditHiddenSegment"
YES_ROLE = 5  # QMessageBox.YesRole, as Slicer keeps it


def later(action):
    """Do something while a modal box waits."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(20)
    timer.connect("timeout()", action)
    timer.start()
    return timer


class ModeTest(MouseCase):
    def test_window_and_level_are_adjusted_and_no_point_is_added(self):
        display = self.case.volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(400.0, 40.0)
        self.interaction.SetCurrentInteractionMode(self.interaction.AdjustWindowLevel)
        drag_xy("Red", (100, 100), (160, 140))
        self.assertEqual(self.signs(), [])
        self.assertNotEqual((display.GetWindow(), display.GetLevel()), (400.0, 40.0))
        self.assertIsNotNone(self.case.editor.activeEffect())
        self.interaction.SetCurrentInteractionMode(self.interaction.ViewTransform)
        click("Red", MIDDLE)
        self.assertEqual(self.signs(), [True])

    def test_only_the_mode_that_views_adds_points(self):
        interaction = self.interaction
        for mode in (interaction.Place, interaction.AdjustWindowLevel, interaction.Select):
            with self.subTest(mode=mode):
                interaction.SetCurrentInteractionMode(mode)
                click("Red", ASIDE)
                click("Red", MIDDLE, ["Control"])
                xy = xy_of("Red", MIDDLE)
                double_click("Red", xy, xy)
                self.assertEqual(self.signs(), [])
                self.assertIsNotNone(self.case.editor.activeEffect())
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self.let_go_of_segmentation()

    def test_keys_are_left_alone_in_other_modes(self):
        click("Red", MIDDLE)
        self.interaction.SetCurrentInteractionMode(self.interaction.AdjustWindowLevel)
        press_key("Red", (20, 20), "o", "o")
        self.assertTrue(self.case.effect.options.isInside())


class ModifierTest(MouseCase):
    def test_shift_drag_pans_and_adds_no_point(self):
        before = self.fov()
        drag_xy("Red", (120, 120), (170, 150), ["Shift"])
        self.assertNotEqual(self.fov(), before)
        click("Red", MIDDLE, ["Shift"])
        self.assertEqual(self.signs(), [])

    def test_control_drag_blends_and_adds_no_point(self):
        click("Red", MIDDLE)
        display = self.case.segmentation.GetDisplayNode()
        seen, released = self.seen("LeftButtonPressEvent"), self.seen("LeftButtonReleaseEvent")
        x, y = xy_of("Red", ASIDE)
        opacity = display.GetOpacity()
        drag_xy("Red", (x, y), (x - 40, y), ["Control"])
        self.assertEqual(self.signs(), [True])
        self.assertEqual(len(seen), 1)
        self.assertEqual(len(released), 1)
        self.assertLess(display.GetOpacity(), opacity)
        # There and back is a drag as well.
        drag_xy("Red", (x, y), (x + 3, y), ["Control"])
        self.there_and_back((x, y))
        self.assertEqual(self.signs(), [True])
        self.let_go_of_segmentation()

    def there_and_back(self, start):
        interactor = interactor_of("Red")
        for (x, y), event in (
            (start, "LeftButtonPressEvent"),
            ((start[0] + 30, start[1]), "MouseMoveEvent"),
            (start, "MouseMoveEvent"),
            (start, "LeftButtonReleaseEvent"),
        ):
            interactor.SetEventInformation(x, y, 1, 0, "\0", 0, None)
            interactor.InvokeEvent(event)
        interactor.SetControlKey(0)

    def test_control_click_adds_a_point_outside_even_if_the_hand_trembles(self):
        click("Red", MIDDLE)
        seen, released = self.seen("LeftButtonPressEvent"), self.seen("LeftButtonReleaseEvent")
        x, y = xy_of("Red", ASIDE)
        drag_xy("Red", (x, y), (x + 2, y), ["Control"])
        self.assertEqual(self.signs(), [True, False])
        self.assertEqual((seen, released), ([], []))  # Slicer began no blending

    def test_a_key_flips_inside_and_outside(self):
        press_key("Red", (20, 20), "o", "o")
        self.assertFalse(self.case.effect.options.isInside())
        self.assertTrue(self.case.effect.options.outsideButton.checked)
        click("Red", MIDDLE)
        press_key("Red", (20, 20), "O", "O")
        self.assertTrue(self.case.effect.options.isInside())
        click("Red", ASIDE)
        self.assertEqual(self.signs(), [False, True])

    def test_the_help_names_what_works(self):
        text = self.case.effect.helpText()
        for word in ("Ctrl-click", "<b>O</b>", "<b>Delete</b>"):
            self.assertIn(word, text)
        self.assertNotIn("Shift", text)
        self.assertNotIn("right click", text)


class DoubleClickTest(MouseCase):
    def setUp(self):
        super().setUp()
        self.layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        self.addCleanup(self.layout.RemoveAllMaximizedViewNodes)

    def test_without_the_effect_a_double_click_maximises_the_view(self):
        self.case.editor.setActiveEffect(None)
        xy = xy_of("Red", MIDDLE)
        double_click("Red", xy, xy)
        self.assertEqual(self.layout.GetNumberOfMaximizedViewNodes(), 1)

    def test_two_quick_clicks_are_two_points(self):
        x, y = xy_of("Red", MIDDLE)
        double_click("Red", (x, y), (x + 4, y))
        self.assertEqual(self.signs(), [True, True])
        self.assertEqual(self.layout.GetNumberOfMaximizedViewNodes(), 0)
        one, two = (c.position_ras for c in self.case.clicks())
        self.assertNotEqual(one, two)

    def test_a_double_click_at_one_place_is_one_point(self):
        xy = xy_of("Red", MIDDLE)
        double_click("Red", xy, xy)
        self.assertEqual(self.signs(), [True])
        self.assertEqual(self.layout.GetNumberOfMaximizedViewNodes(), 0)

    def test_two_quick_clicks_outside(self):
        click("Red", MIDDLE)
        seen = self.seen("LeftButtonDoubleClickEvent")
        x, y = xy_of("Red", ASIDE)
        double_click("Red", (x, y), (x + 4, y), control=1)
        self.assertEqual(self.signs(), [True, False, False])
        self.assertEqual(seen, [])  # Slicer would reset window and level

    def test_a_double_click_on_a_marker_is_slicers(self):
        xy = xy_of("Red", click("Red", MIDDLE))
        click_and_wait(self.case, ASIDE)
        seen = self.seen("LeftButtonDoubleClickEvent")
        hover("Red", xy)
        double_click("Red", xy, xy)
        self.assertEqual(self.signs(), [True, True])
        self.assertEqual(seen, ["LeftButtonDoubleClickEvent"])


class MarkerTest(MouseCase):
    def test_delete_and_backspace_take_back_the_point_under_the_mouse(self):
        hits = [click("Red", ras) for ras in (MIDDLE, ASIDE, (30.0, 44.0, 60.0))]
        self.case.settle()
        press_key("Red", xy_of("Red", hits[1]), "Delete", "\x7f")
        self.case.settle()
        left = [c.position_ras for c in self.case.clicks()]
        np.testing.assert_allclose(left, [hits[0], hits[2]], atol=1e-3)
        press_key("Red", xy_of("Red", hits[0]), "BackSpace", "\x08")
        self.case.settle()
        (last,) = self.case.clicks()
        np.testing.assert_allclose(last.position_ras, hits[2], atol=1e-3)
        self.case.editor.undo()
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_delete_away_from_points_passes_on(self):
        click("Red", MIDDLE)
        seen = self.seen("KeyPressEvent")
        press_key("Red", xy_of("Red", ASIDE), "Delete", "\x7f")
        self.assertEqual(self.signs(), [True])
        self.assertEqual(seen, ["KeyPressEvent"])

    def test_a_right_click_on_a_point_changes_nothing(self):
        xy = xy_of("Red", click("Red", MIDDLE))
        hover("Red", xy)
        widget = slicer.app.layoutManager().sliceWidget("Red")
        slicer.util.clickAndDrag(widget, button="Right", start=xy, end=xy, steps=1)
        self.assertEqual(self.signs(), [True])

    def test_the_hand_means_the_point_as_far_as_for_slicer(self):
        xy = xy_of("Red", click("Red", MIDDLE))
        self.case.settle()
        markers = self.case.effect.editor.markers
        display = markers.node(True).GetDisplayNode()
        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        self.addCleanup(node.SetScreenScaleFactor, node.GetScreenScaleFactor())
        window = slicer.app.layoutManager().sliceWidget("Red").sliceView().renderWindow()
        for scale in (0.1, 0.2, 0.5):
            node.SetScreenScaleFactor(scale)
            reached = []
            for distance in range(40):
                at = (xy[0] + distance, xy[1])
                hover("Red", (5, 5))
                hover("Red", at)
                slicers = display.GetActiveComponentType() == display.ComponentControlPoint
                reached.append((slicers, markers.nearest(node, window, at) == 0))
            with self.subTest(scale=scale):
                self.assertEqual([r[0] for r in reached], [r[1] for r in reached])
                self.assertTrue(reached[0][0])
                self.assertFalse(reached[-1][0])

    def test_a_point_of_another_slice_is_not_meant(self):
        xy = xy_of("Red", click("Red", MIDDLE))
        self.case.settle()
        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        node.SetSliceOffset(node.GetSliceOffset() + 2.5)  # 3 mm a slice: drawn there no more
        drag_xy("Red", xy, xy)
        self.assertEqual(self.signs(), [True, True])


class HiddenSegmentTest(MouseCase):
    def setUp(self):
        super().setUp()
        self.display = self.case.segmentation.GetDisplayNode()
        self.display.SetSegmentVisibility("organ", False)
        self.settings = slicer.app.settings()
        self.addCleanup(self.settings.remove, SETTING)

    def answer(self, button):
        """Press a button of the modal box that comes."""
        pressed = []

        def press():
            box = slicer.app.activeModalWidget()
            pressed.append(box.text)
            box.button(button).click()

        timer = later(press)
        self.addCleanup(timer.stop)
        return pressed

    def test_cancel_does_nothing_and_is_asked_again(self):
        for _ in range(2):
            pressed = self.answer(qt.QMessageBox.Cancel)
            click("Red", MIDDLE)
            self.assertEqual(len(pressed), 1)
            self.assertEqual(self.signs(), [])
            self.assertFalse(self.display.GetSegmentVisibility("organ"))

    def test_the_click_that_brought_the_question_adds_no_point(self):
        for button, shown in ((qt.QMessageBox.No, False), (qt.QMessageBox.Yes, True)):
            with self.subTest(shown=shown):
                self.case.editor.setCurrentSegmentID("other" if shown else "organ")
                self.display.SetSegmentVisibility("other", False)
                segment_id = self.case.node.GetSelectedSegmentID()
                pressed = self.answer(button)
                click_and_wait(self.case, MIDDLE)
                self.assertEqual(len(pressed), 1)
                self.assertEqual(len(self.case.clicks(segment_id)), 0)
                self.assertEqual(self.display.GetSegmentVisibility(segment_id), shown)
                click("Red", MIDDLE)  # not asked any more
                self.case.settle()
                self.assertEqual(len(self.case.clicks(segment_id)), 1)

    def test_an_answer_for_good_needs_no_further_click(self):
        self.settings.setValue(SETTING, YES_ROLE)
        click("Red", MIDDLE)
        self.assertEqual(self.signs(), [True])
        self.assertTrue(self.display.GetSegmentVisibility("organ"))

    def test_a_point_outside_asks_as_well(self):
        pressed = self.answer(qt.QMessageBox.Cancel)
        click("Red", MIDDLE, ["Control"])
        self.assertEqual(len(pressed), 1)
        self.assertEqual(self.signs(), [])

    def test_buttons_and_keys_ask_as_well(self):
        self.display.SetSegmentVisibility("organ", True)
        xy = xy_of("Red", click("Red", MIDDLE))
        self.case.settle()
        before = self.case.mask()
        self.display.SetSegmentVisibility("organ", False)
        options = self.case.effect.options
        for action in (
            options.undoButton.click,
            options.clearButton.click,
            options.smoothButton.click,
            lambda: press_key("Red", xy, "Delete", "\x7f"),
        ):
            pressed = self.answer(qt.QMessageBox.Cancel)
            action()
            self.assertEqual(len(pressed), 1)
            self.assertEqual(self.signs(), [True])
            np.testing.assert_array_equal(self.case.mask(), before)


class ThinVolumeTest(MouseCase):
    def test_the_effect_warns_in_the_words_of_the_panel(self):
        label, volume = self.case.effect.options.warningLabel, self.case.volume
        self.assertEqual(label.text, "")
        self.assertTrue(label.isHidden())
        volume.SetSpacing(2.0, 0.8, 3.0)
        self.assertIn("a field of view of 35.2 mm", label.text)
        self.assertFalse(label.isHidden())
        self.case.editor.setActiveEffectByName("")
        volume.SetSpacing(2.0, 2.0, 3.0)
        self.case.effect = self.case.activate("CT-SAM3D")
        self.assertTrue(label.isHidden())
