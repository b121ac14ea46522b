"""Lassos and boxes drawn with the mouse, beside strokes: place, sign, undo, memory, display."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
import vtk
from ctsam3d_case import ASIDE, MIDDLE
from mouse_case import ShapeCase
from view_mouse import (
    click,
    click_and_wait,
    drag_xy,
    hover,
    interactor_of,
    press_key,
    ras_of,
    xy_of,
)

from CTSAM3DLib.mrml import shape_from_markup


class DrawingTest(ShapeCase):
    def test_a_lasso_lies_where_the_mouse_went_and_its_inside_counts(self):
        self.lasso()
        self.assertEqual(self.kinds(), [("lasso", True)])
        (lasso,) = self.case.clicks()
        for xy, corner in zip(self.way(), lasso.line_ras, strict=True):
            np.testing.assert_allclose(corner, ras_of("Red", xy), atol=1e-3)
        mask = self.case.mask()
        self.assertTrue(mask[20, 22, 24])
        self.assertGreater(mask[20].sum(), 1)

    def test_a_box_is_as_deep_as_its_longer_side(self):
        self.box()
        self.assertEqual(self.kinds(), [("box", True)])
        (box,) = self.case.clicks()
        x, y = self.middle
        corners = [ras_of("Red", (x + a * 40, y + b * 30)) for a in (-1, 1) for b in (-1, 1)]
        size = np.ptp(corners, axis=0)
        lengths = sorted(np.linalg.norm(box.edges_ras, axis=1))
        np.testing.assert_allclose(lengths, sorted([size[0], size[1], max(size)]), rtol=1e-5)
        np.testing.assert_allclose(box.middle_ras, np.mean(corners, axis=0), atol=1e-4)
        # It is cut on the voxels of the model, 2 mm. Its size depends on that of the view.
        lengths = np.linalg.norm(box.edges_ras, axis=1, keepdims=True)
        reached = replace(box, edges_ras=np.array(box.edges_ras) * (1.0 + 2.0 * 2.0 / lengths))
        inside = reached.contains_ras(np.argwhere(self.case.mask())[:, ::-1] * (2.0, 2.0, 3.0))
        self.assertGreater(len(inside), 0)
        self.assertTrue(inside.all())

    def test_a_box_dragged_from_any_corner_is_the_same(self):
        found = []
        x, y = self.middle
        press_key("Red", self.middle, "x", "x")
        for a, b in ((1, 1), (1, -1), (-1, 1)):
            drag_xy("Red", (x + a * 30, y + b * 20), (x - a * 30, y - b * 20))
            self.case.settle()
            found.append(self.case.clicks()[0])
            self.case.effect.onClear()
            self.case.settle()
        for box in found[1:]:
            np.testing.assert_allclose(box.middle_ras, found[0].middle_ras, atol=1e-6)
            for one in (box, found[0]):
                self.assertTrue(one.contains_ras([ras_of("Red", (x + 29, y - 19))]).all())

    def test_outside_and_undo_and_redo(self):
        for tool, kind in ((self.lasso, "lasso"), (self.box, "box")):
            with self.subTest(kind=kind):
                click_and_wait(self.case, MIDDLE)
                before = self.case.mask().copy()
                press_key("Red", self.middle, "o", "o")
                tool()
                self.assertEqual(self.kinds(), [("click", True), (kind, False)])
                after = self.case.mask().copy()
                self.assertLess(after.sum(), before.sum())
                self.assertEqual(len(self.markups(kind)), 1)
                self.case.editor.undo()
                self.assertEqual(self.kinds(), [("click", True)])
                np.testing.assert_array_equal(self.case.mask(), before)
                self.assertEqual(self.markups(kind), [])
                self.case.editor.redo()
                self.assertEqual(self.kinds(), [("click", True), (kind, False)])
                np.testing.assert_array_equal(self.case.mask(), after)
                self.assertEqual(len(self.markups(kind)), 1)
                press_key("Red", self.middle, "o", "o")
                self.case.effect.onClear()
                self.case.settle()

    def test_the_keys_change_the_tool_and_bring_points_back(self):
        options = self.case.effect.options
        for key, tool in (("s", "scribble"), ("l", "lasso"), ("x", "box"), ("x", "point")):
            press_key("Red", self.middle, key, key)
            self.assertEqual(options.tool(), tool)
        options.toolButtons["lasso"].click()
        self.assertEqual(options.tool(), "lasso")

    def test_the_hint_fits_the_buttons_that_are_down(self):
        options = self.case.effect.options
        self.assertEqual(options.statusLabel.text, "Click inside the structure.")
        for key, text in (
            ("o", "Click outside the structure."),
            ("x", "Draw outside the structure."),
            ("o", "Draw a box around the structure."),
            ("l", "Draw inside the structure."),
        ):
            press_key("Red", self.middle, key, key)
            self.assertEqual(options.statusLabel.text, text)
        press_key("Red", self.middle, "l", "l")
        click_and_wait(self.case, MIDDLE)
        press_key("Red", self.middle, "o", "o")
        self.assertEqual(options.statusLabel.text, "Click outside the structure.")
        self.case.predictor.gate.clear()
        click("Red", ASIDE)
        press_key("Red", self.middle, "o", "o")
        self.assertEqual(options.statusLabel.text, "Segmenting ...")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertIn("Prompts: 2.", options.statusLabel.text)
        press_key("Red", self.middle, "o", "o")
        self.case.editor.undo()
        self.case.editor.undo()
        slicer.app.processEvents()
        self.assertEqual(options.statusLabel.text, "Click outside the structure.")

    def test_a_press_without_a_drag_is_a_point(self):
        for key in ("l", "x"):
            press_key("Red", self.middle, key, key)
            click("Red", MIDDLE)
        self.assertEqual(self.kinds(), [("click", True)] * 2)

    def test_a_lasso_without_an_area_and_one_out_of_the_volume_are_refused(self):
        press_key("Red", self.middle, "l", "l")
        self.draw_along(self.way([(-20, 0), (-10, 0), (0, 0), (20, 0)]))
        self.assertIn("surround an area", self.case.effect.editor.status.text)
        outside = xy_of("Red", (-10.0, 44.0, 60.0))
        self.draw_along([*self.way(), outside])
        self.assertIn("outside the CT", self.case.effect.editor.status.text)
        self.assertEqual(self.kinds(), [])

    def test_a_shape_lies_in_the_slice_in_which_it_was_begun(self):
        press_key("Red", self.middle, "l", "l")
        interactor, way = interactor_of("Red"), self.way()
        hover("Red", way[0])
        interactor.LeftButtonPressEvent()
        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        for xy in way[1:]:
            hover("Red", xy)
            node.SetSliceOffset(node.GetSliceOffset() + 0.5)
        interactor.LeftButtonReleaseEvent()
        self.assertEqual(self.kinds(), [("lasso", True)])
        np.testing.assert_allclose(np.array(self.case.clicks()[0].line_ras)[:, 2], 60.0)


class MemoryTest(ShapeCase):
    def test_shapes_are_kept_with_the_scene_and_go_on_from_there(self):
        self.lasso()
        self.box((70, 60))
        self.assertEqual(self.kinds(), [("lasso", True), ("box", True)])
        before, mask = self.case.clicks(), self.case.mask().copy()
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "scene.mrb"))
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(path)
            self.assertEqual(self.markups("lasso") + self.markups("box"), [])  # not saved
            (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            self.case.continued(segmentation, volume)
        self.assertEqual(self.case.clicks(), before)
        np.testing.assert_array_equal(self.case.mask(), mask)
        self.assertEqual(len(self.markups("lasso")), 1)
        self.assertEqual(len(self.markups("box")), 1)
        click("Red", ASIDE)
        self.assertEqual([kind for kind, _ in self.kinds()], ["lasso", "box", "click"])

    def test_only_the_shapes_of_the_selected_segment_are_shown(self):
        self.lasso()
        self.case.settle()
        self.assertEqual(len(self.markups("lasso")), 1)
        self.case.editor.setCurrentSegmentID("other")
        slicer.app.processEvents()
        self.assertEqual(self.markups("lasso"), [])
        self.case.editor.setCurrentSegmentID("organ")
        slicer.app.processEvents()
        self.assertEqual(len(self.markups("lasso")), 1)

    def test_points_and_shapes_move_with_the_volume(self):
        click("Red", ASIDE)
        press_key("Red", self.middle, "s", "s")
        drag_xy("Red", self.middle, (self.middle[0] + 40, self.middle[1]))
        self.lasso()
        self.box()
        self.case.settle()
        prompts = self.case.clicks()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.case.volume.SetAndObserveTransformNodeID(transform.GetID())
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 30.0)
        transform.SetMatrixTransformToParent(matrix)
        slicer.app.processEvents()
        for prompt in prompts[1:]:
            (node,) = self.markups(prompt.kind)
            shown = shape_from_markup(node, self.case.volume)
            np.testing.assert_allclose(shown.anchor_ras, prompt.anchor_ras, atol=1.0)
        markers = self.case.effect.editor.markers.node(True)
        at = [0.0, 0.0, 0.0]
        markers.GetNthControlPointPositionWorld(0, at)
        np.testing.assert_allclose(at, np.add(prompts[0].position_ras, (30, 0, 0)), atol=1e-4)
        self.assertEqual(self.case.clicks(), prompts)


class LostReleaseTest(ShapeCase):
    def setUp(self):
        super().setUp()
        press_key("Red", self.middle, "s", "s")
        hover("Red", self.middle)

    def press(self, held):
        buttons = qt.Qt.LeftButton if held else qt.Qt.NoButton
        return mock.patch.object(qt.QApplication, "mouseButtons", return_value=buttons)

    def test_a_move_without_the_button_ends_the_stroke(self):
        interactor, (x, y) = interactor_of("Red"), self.middle
        with self.press(held=True):
            interactor.LeftButtonPressEvent()
            hover("Red", (x + 20, y))
        with self.press(held=False):
            hover("Red", (x + 60, y + 60))
            interactor.LeftButtonReleaseEvent()
        self.assertEqual(self.kinds(), [])

    def test_a_move_with_the_button_goes_on(self):
        interactor, (x, y) = interactor_of("Red"), self.middle
        with self.press(held=True):
            interactor.LeftButtonPressEvent()
            hover("Red", (x + 20, y))
            hover("Red", (x + 40, y))
        with self.press(held=False):
            interactor.LeftButtonReleaseEvent()
        self.assertEqual(self.kinds(), [("scribble", True)])

    def test_a_move_in_another_view_ends_the_stroke(self):
        interactor, (x, y) = interactor_of("Red"), self.middle
        interactor.LeftButtonPressEvent()
        hover("Red", (x + 20, y))
        hover("Green", (x + 60, y))
        hover("Red", (x + 60, y + 60))
        interactor.LeftButtonReleaseEvent()
        self.assertEqual(self.kinds(), [])

    def test_a_press_with_ctrl_after_a_lost_release_adds_a_point_alone(self):
        interactor_of("Red").LeftButtonPressEvent()
        hover("Red", (self.middle[0] + 20, self.middle[1]))
        click("Red", MIDDLE, ["Control"])
        self.assertEqual(self.kinds(), [("click", False)])
