"""The key Delete at a stroke, a lasso or a box: reach, choice among several, undo."""

from __future__ import annotations

import numpy as np
import slicer
from ctsam3d_case import MIDDLE
from mouse_case import ShapeCase
from view_mouse import click, click_and_wait, drag_xy, hover, press_key, xy_of

PIXELS = 40


class DeleteCase(ShapeCase):
    def stroke(self, start=(-40, 0), stop=(40, 0)):
        press_key("Red", self.middle, "s", "s")
        (x, y) = self.middle
        drag_xy("Red", (x + start[0], y + start[1]), (x + stop[0], y + stop[1]))
        press_key("Red", self.middle, "s", "s")
        self.case.settle()

    def at(self, x, y):
        return (self.middle[0] + x, self.middle[1] + y)

    def delete(self, xy, view="Red", key=("Delete", "\x7f")):
        press_key(view, xy, *key)

    def slice_node(self, view="Red"):
        return slicer.app.layoutManager().sliceWidget(view).mrmlSliceNode()


class ShapesTest(DeleteCase):
    def test_each_shape_goes_with_undo_and_redo(self):
        drawn = {
            "scribble": (self.stroke, (10, 0)),
            "lasso": (self.lasso, (30, 0)),
            "box": (self.box, (40, 10)),
        }
        for kind, (draw, edge) in drawn.items():
            with self.subTest(kind=kind):
                click_and_wait(self.case, (20.0, 44.0, 60.0))
                before = self.case.mask().copy()
                draw()
                self.assertEqual(self.kinds(), [("click", True), (kind, True)])
                after = self.case.mask().copy()
                seen = self.seen("KeyPressEvent")
                self.delete(self.at(*edge))
                self.assertEqual(self.kinds(), [("click", True)])
                self.assertEqual(seen, [])
                np.testing.assert_array_equal(self.case.mask(), before)
                self.assertEqual(self.markups(kind), [])
                self.case.editor.undo()
                self.assertEqual(self.kinds(), [("click", True), (kind, True)])
                np.testing.assert_array_equal(self.case.mask(), after)
                self.assertEqual(len(self.markups(kind)), 1)
                self.case.editor.redo()
                self.assertEqual(self.kinds(), [("click", True)])
                self.case.effect.onClear()
                self.case.settle()

    def test_backspace_deletes_too_and_away_from_the_line_slicer_gets_the_key(self):
        self.box()
        seen = self.seen("KeyPressEvent")
        self.delete(self.middle)  # inside the box
        self.delete(self.at(80, 0))
        self.assertEqual(self.kinds(), [("box", True)])
        self.assertEqual(seen, ["KeyPressEvent"] * 2)
        self.delete(self.at(0, 30), key=("BackSpace", "\x08"))
        self.assertEqual(self.kinds(), [])

    def test_a_point_goes_before_the_stroke_that_it_lies_on(self):
        self.stroke()
        click("Red", MIDDLE)
        self.assertEqual(self.kinds(), [("scribble", True), ("click", True)])
        self.delete(self.middle)
        self.assertEqual(self.kinds(), [("scribble", True)])
        self.delete(self.middle)
        self.assertEqual(self.kinds(), [])

    def test_the_shape_of_this_slice_goes_before_the_same_one_of_another(self):
        node = self.slice_node()
        self.stroke((-40, 1), (40, 1))
        node.SetSliceOffset(66.0)
        self.stroke((-40, 0), (40, 0))
        ras = [prompt.line_ras[0][2] for prompt in self.case.clicks()]
        np.testing.assert_allclose(ras, [60.0, 66.0])
        node.SetSliceOffset(60.0)
        self.delete(self.at(20, 0))  # nearer to the other one, which is drawn faintly
        self.case.settle()
        (left,) = self.case.clicks()
        self.assertAlmostEqual(left.line_ras[0][2], 66.0)

    def test_a_line_is_deleted_where_another_slice_cuts_it(self):
        self.stroke()
        self.box((90, 60))
        self.case.settle()
        for kind in ("box", "scribble"):
            first = next(one for one in self.case.clicks() if one.kind == kind)
            if kind == "box":
                edges = np.array(first.edges_ras)
                place = np.array(first.middle_ras) + edges[np.abs(edges[:, 2]).argmax()] / 2
            else:
                place = np.array(first.line_ras).mean(axis=0)
            self.delete(xy_of("Green", place), "Green")
            self.case.settle()
            self.assertNotIn(kind, [one.kind for one in self.case.clicks()])

    def test_only_shapes_of_the_selected_segment(self):
        self.stroke()
        self.case.editor.setCurrentSegmentID("other")
        slicer.app.processEvents()
        self.delete(self.middle)
        self.case.editor.setCurrentSegmentID("organ")
        slicer.app.processEvents()
        self.assertEqual(self.kinds(), [("scribble", True)])


class ReachTest(DeleteCase):
    """Slicer's own cursor is the measure: a Markups of the same form that is not locked."""

    def compare(self, twin, way, offsets):
        display, node = twin.GetDisplayNode(), self.slice_node()
        window = slicer.app.layoutManager().sliceWidget("Red").sliceView().renderWindow()
        self.addCleanup(node.SetScreenScaleFactor, node.GetScreenScaleFactor())
        shapes = self.case.effect.editor.shapes
        for scale in (0.1, 0.2, 0.5):
            node.SetScreenScaleFactor(scale)
            for offset in offsets:
                node.SetSliceOffset(60.0 + offset)
                slicers, ours = [], []
                for distance in range(PIXELS):
                    hover("Red", (5, 5))
                    hover("Red", self.at(*way(distance)))
                    slicers.append(display.GetActiveComponentType() != display.ComponentNone)
                    ours.append(shapes.nearest(node, window, self.at(*way(distance))) is not None)
                with self.subTest(scale=scale, offset=offset):
                    self.assertEqual(ours, slicers)
                    self.assertFalse(ours[-1])
                    self.assertEqual(ours[0], abs(offset) < 10)

    def twin(self, kind):
        """Return an unlocked copy of what shows the shape; the shape itself hears no mouse."""
        (shown,) = self.markups(kind)
        twin = slicer.mrmlScene.AddNewNodeByClass(shown.GetClassName())
        twin.CreateDefaultDisplayNodes()
        twin.SetCurveTypeToLinear()
        points = slicer.util.arrayFromMarkupsControlPoints(shown, world=True)
        slicer.util.updateMarkupsControlPointsFromArray(twin, points, world=True)
        for node in (twin.GetDisplayNode(),):
            node.SetGlyphScale(shown.GetDisplayNode().GetGlyphScale())
            node.SetLineThickness(shown.GetDisplayNode().GetLineThickness())
        return twin

    def test_a_stroke(self):
        self.stroke()
        self.compare(self.twin("scribble"), lambda far: (10, -far), (0, 1.6, 5, -9.5, 12))

    def test_a_lasso(self):
        self.lasso()
        self.case.settle()
        self.compare(self.twin("lasso"), lambda far: (30 + far, 0), (0, 5, -12))

    test_a_lasso.slow = True

    def test_a_line_across_the_slice_is_met_where_it_is_drawn(self):
        from CTSAM3DLib.mrml import prompt_from_world_ras
        from CTSAM3DLib.prompts import Scribble

        target = self.case.effect.editor.target
        line = Scribble([(30.0, 44.0, 30.0), (66.0, 44.0, 90.0)])  # 50 mm farther in 60 mm of depth
        prompt = prompt_from_world_ras(line, target.volume_node)
        self.case.effect.editor.shapes.show([prompt], target.volume_node)
        window = slicer.app.layoutManager().sliceWidget("Red").sliceView().renderWindow()
        shapes, node = self.case.effect.editor.shapes, self.slice_node()

        def met(ras_r):
            xy = xy_of("Red", (ras_r, 44.0, 60.0))
            return shapes.nearest(node, window, xy) is prompt

        reach_mm = 10 * 36 / 60  # it is drawn up to 10 mm off the slice
        self.assertTrue(met(48.0))
        self.assertTrue(met(48.0 + reach_mm - 0.5))
        self.assertFalse(met(30.0))
        self.assertFalse(met(66.0))
