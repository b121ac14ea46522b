"""Imported points, and structures computed again from their points."""

from __future__ import annotations

import numpy as np
import slicer
from panel_case import MIDDLE, PanelTestCase

from CTSAM3DLib.errors import BundleError

LEFT, RIGHT, RIM = (36.0, 44.0, 60.0), (60.0, 44.0, 60.0), (54.0, 44.0, 60.0)


def points(name, *places, labels=()):
    """Add a point list as a user would have made it."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for place in places:
        node.AddControlPointWorld(place)
    for index, label in enumerate(labels):
        node.SetNthControlPointLabel(index, label)
    return node


class WorkTestCase(PanelTestCase):
    def bring(self, node):
        """Choose a list and press the button."""
        self.ui.importSelector.setCurrentNode(node)
        self.case.press_and_wait("importButton")

    def counts(self):
        return {row[0]: row[1] for row in self.case.rows()}


class ImportTest(WorkTestCase):
    def test_list_without_a_name_goes_to_the_present_structure(self):
        self.case.add("my lesion")
        node = points("F", MIDDLE, RIM, labels=("F-1", "F negative-2"))
        self.bring(node)
        self.assertEqual(self.counts(), {"my lesion": "1 / 1"})
        self.assertTrue(self.case.mask().any())
        self.assertEqual(node.GetNumberOfControlPoints(), 2)

    def test_list_of_another_name_goes_to_the_present_structure(self):
        self.case.add("liver")
        self.bring(points("my points", MIDDLE))
        self.assertEqual(self.counts(), {"Liver": "1 / 0"})

    def test_anatomies_go_to_structures_of_their_own(self):
        self.case.add("my lesion")
        labels = ("liver-1", "spleen-2", "liver negative-3")
        self.bring(points("F", LEFT, RIGHT, MIDDLE, labels=labels))
        self.assertEqual(self.counts(), {"my lesion": "0 / 0", "Liver": "1 / 1", "Spleen": "1 / 0"})
        self.assertEqual(self.case.segment_id, "my lesion")

    def test_name_of_the_list_counts(self):
        self.bring(points("Left kidney", MIDDLE))
        self.assertEqual(self.counts(), {"Left kidney": "1 / 0"})

    def test_free_name_makes_a_structure_where_there_is_none(self):
        self.bring(points("tumour", MIDDLE))
        self.assertEqual(self.counts(), {"tumour": "1 / 0"})

    def test_free_name_of_a_structure_is_found(self):
        self.case.add("tumour")
        self.case.add("liver")
        self.bring(points("Tumour", MIDDLE))
        self.assertEqual(self.counts(), {"tumour": "1 / 0", "Liver": "0 / 0"})

    def test_twice_adds_nothing(self):
        self.case.add("liver")
        node = points("F", MIDDLE)
        self.bring(node)
        self.bring(node)
        self.assertEqual(self.counts(), {"Liver": "1 / 0"})

    def test_transform_of_the_list_counts(self):
        self.case.add("liver")
        node = points("F", MIDDLE)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[0, 3] = 8.0
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())
        self.bring(node)
        np.testing.assert_allclose(self.case.clicks()[0].position_ras, (56.0, 44.0, 60.0))

    def test_nothing_to_import(self):
        self.assertEqual(self.ui.importButton.toolTip, "Choose a point list first.")
        self.bring(points("F", MIDDLE))
        self.assertEqual(self.case.status, "The list names no structure: add one first.")
        self.case.add("liver")
        self.bring(points("G"))
        self.assertIn("expected placed points", self.case.status)
        self.bring(points("H", (200.0, 0.0, 0.0)))
        self.assertIn("control point 0", self.case.status)
        self.assertEqual(self.counts(), {"Liver": "0 / 0"})

    def test_our_markers_are_not_offered(self):
        self.segment("liver", MIDDLE)
        self.assertEqual(self.ui.importSelector.nodeCount(), 0)


class ScribbleTest(WorkTestCase):
    """Curves of Markups as strokes inside or outside."""

    def curve(self, name, *places):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode", name)
        node.SetCurveTypeToLinear()
        for place in places:
            node.AddControlPointWorld(place)
        return node

    def lines(self):
        """Return the ends of the lines that are shown, other than those of the user."""
        nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsCurveNode")
        shown = [node for node in nodes if node.GetName().startswith("CT-SAM3D")]
        return [slicer.util.arrayFromMarkupsControlPoints(node, world=True) for node in shown]

    def test_a_curve_is_one_prompt_and_one_step_of_undo(self):
        self.case.add("liver")
        self.bring(self.curve("C", LEFT, RIGHT))
        self.assertEqual(self.counts(), {"Liver": "1 / 0"})
        mask = self.case.mask()
        for i in (18, 24, 30):  # along the line, of which a click reaches a part
            self.assertTrue(mask[20, 22, i])
        (line,) = self.lines()
        np.testing.assert_allclose(line[[0, -1]], [LEFT, RIGHT], atol=1e-3)
        self.case.press_and_wait("undoButton")
        self.assertEqual((self.case.mask().sum(), len(self.case.clicks())), (0, 0))
        self.assertEqual(self.lines(), [])
        self.case.press_and_wait("redoButton")
        np.testing.assert_array_equal(self.case.mask(), mask)
        self.assertEqual(len(self.lines()), 1)

    def test_name_and_sign_of_a_curve(self):
        self.bring(self.curve("liver", LEFT, RIGHT))
        before = self.case.mask()
        self.bring(self.curve("liver negative", MIDDLE, (48.0, 52.0, 60.0)))
        self.assertEqual(self.counts(), {"Liver": "1 / 1"})
        self.assertLess(self.case.mask().sum(), before.sum())
        self.assertFalse(self.case.mask()[20, 22, 24])

    def test_clicks_after_a_scribble_leave_it_in_its_place(self):
        segment_id = self.case.add("liver")
        self.bring(self.curve("C", LEFT, MIDDLE))
        self.segment("liver", RIGHT)
        self.assertEqual([one.kind for one in self.case.clicks(segment_id)], ["scribble", "click"])
        markers = self.case.widget.panel.workplace.editor.markers.node(True)
        markers.SetNthControlPointPositionWorld(0, *RIM)
        markers.InvokeCustomModifiedEvent(markers.PointEndInteractionEvent)
        self.case.settle()
        scribble, click = self.case.clicks(segment_id)
        self.assertEqual(scribble.kind, "scribble")
        np.testing.assert_allclose(click.position_ras, RIM, atol=1e-6)
        self.case.press_and_wait("removeLastButton")
        self.assertEqual(self.counts(), {"Liver": "1 / 0"})

    def test_a_curve_out_of_the_volume(self):
        self.case.add("liver")
        self.bring(self.curve("C", MIDDLE, (500.0, 0.0, 0.0)))
        self.assertIn("expected a position inside", self.case.status)
        self.assertEqual(self.counts(), {"Liver": "0 / 0"})


class RecomputeTest(WorkTestCase):
    def test_segment_follows_the_points_alone(self):
        segment_id = self.segment("liver", MIDDLE)
        before = self.case.mask()
        self.paint(segment_id)
        self.assertGreater(self.case.mask().sum(), before.sum())
        self.case.press_and_wait("segmentButton")
        np.testing.assert_array_equal(self.case.mask(), before)
        self.assertEqual(self.counts(), {"Liver": "1 / 0"})
        self.case.press_and_wait("undoButton")
        self.assertGreater(self.case.mask().sum(), before.sum())

    def paint(self, segment_id):
        """Draw by hand."""
        self.case.logic.controller.process(
            self.case.widget.panel.workplace.nodes.target(segment_id), grown
        )

    def test_all_with_another_device(self):
        self.segment("liver", LEFT)
        self.case.add("stomach")
        self.segment("spleen", RIGHT)
        self.ui.deviceBox.currentIndex = 1
        self.case.predictor.gate.clear()
        self.case.press("segmentAllButton")
        self.assertEqual(self.ui.progressBar.maximum, 2)
        self.assertFalse(self.ui.progressBar.isHidden())
        self.assertEqual(self.case.status, "Segmenting Liver (1 of 2) ...")
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertEqual(self.ui.segmentButton.toolTip, "Wait for the result, or cancel.")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertRegex(self.case.status, r"Structures: 2\. Computed in \d+\.\d\d s on cpu\.")
        self.assertTrue(self.ui.progressBar.isHidden())
        self.assertEqual(self.case.loaded[-1], (None, "cpu"))
        self.assertEqual(self.counts(), {"Liver": "1 / 0", "Stomach": "0 / 0", "Spleen": "1 / 0"})

    def test_clicks_go_on_after_it(self):
        self.segment("liver", MIDDLE)
        self.case.press_and_wait("segmentButton")
        before = self.case.mask()
        self.segment("liver", RIGHT)
        self.assertEqual(self.counts(), {"Liver": "2 / 0"})
        self.assertTrue((self.case.mask() & before).any())
        self.assertGreater(self.case.mask().sum(), before.sum())

    def test_cancel(self):
        first, second = self.segment("liver", LEFT), self.segment("spleen", RIGHT)
        for segment_id in (first, second):
            self.paint(segment_id)
        before = [self.case.mask(one) for one in (first, second)]
        self.case.predictor.gate.clear()
        self.case.press("segmentAllButton")
        self.case.press("cancelButton")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(self.case.status, "Cancelled; nothing was changed.")
        for one, mask in zip((first, second), before, strict=True):
            np.testing.assert_array_equal(self.case.mask(one), mask)
        self.assertTrue(self.ui.segmentAllButton.enabled)

    def test_cancel_between_two_tells_how_many_are_computed(self):
        first, second = self.segment("liver", LEFT), self.segment("spleen", RIGHT)
        for segment_id in (first, second):
            self.paint(segment_id)
        before = [self.case.mask(one).sum() for one in (first, second)]
        finished = self.case.logic.controller.finished

        def cancel_once(_outcome):
            finished.remove(cancel_once)
            self.case.press("cancelButton")

        finished.append(cancel_once)
        self.case.press_and_wait("segmentAllButton")
        told = "Cancelled; 1 of 2 structures are computed, the others stay."
        self.assertEqual(self.case.status, told)
        self.assertNotEqual(self.case.mask(first).sum(), before[0])
        self.assertEqual(self.case.mask(second).sum(), before[1])

    def test_one_that_fails_does_not_stop_the_rest(self):
        first, second = self.segment("liver", LEFT), self.segment("spleen", RIGHT)
        del first
        expected = self.case.mask(second)
        self.paint(second)
        self.case.predictor.fail_next = BundleError("the model is damaged")
        self.case.press_and_wait("segmentAllButton")
        self.assertEqual(self.case.status, "Liver: the model is damaged")
        np.testing.assert_array_equal(self.case.mask(second), expected)

    def test_what_changes_meanwhile_is_left_alone(self):
        segment_id = self.segment("liver", MIDDLE)
        self.case.predictor.gate.clear()
        self.case.press("segmentButton")
        self.case.press("removeLastButton")
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertFalse(self.case.mask(segment_id).any())
        self.assertEqual(self.counts(), {"Liver": "0 / 0"})

    def test_scene_is_closed_meanwhile(self):
        self.segment("liver", MIDDLE)
        self.case.predictor.gate.clear()
        self.case.press("segmentAllButton")
        slicer.mrmlScene.Clear()
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(self.case.rows(), [])
        self.assertEqual(self.case.status, "Choose a CT volume first.")

    def test_nothing_to_compute(self):
        self.case.add("liver")
        self.assertEqual(self.ui.segmentButton.toolTip, "The structure has no points yet.")
        self.assertEqual(self.ui.segmentAllButton.toolTip, "No structure has points yet.")


def grown(mask):
    """Return a mask with its box filled: what a hand might have drawn."""
    return type(mask)(np.ones_like(mask.mask_kji), mask.bbox)
