"""The panel under the hands of a user: structures, clicks by the mouse, undo, table."""

from __future__ import annotations

import unittest

import numpy as np
import qt
import slicer
from event_loop import until
from panel_case import MIDDLE, PanelCase
from view_mouse import click, drag, xy_of

BESIDE = (60.0, 44.0, 60.0)
RIM = (56.0, 44.0, 60.0)


def press_key(widget, key):
    """Press and release a key in a widget."""
    for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
        slicer.app.sendEvent(widget, qt.QKeyEvent(kind, key, qt.Qt.NoModifier))


def double_click(view, item):
    """Double-click an item of a list."""
    point = view.visualItemRect(item).center()
    here = qt.QPointF(point.x(), point.y())
    left = qt.Qt.LeftButton
    for kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseButtonDblClick):
        event = qt.QMouseEvent(kind, here, here, left, left, qt.Qt.NoModifier)
        slicer.app.sendEvent(view.viewport(), event)


class PanelTestCase(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = PanelCase()
        self.ui = self.case.ui
        self.addCleanup(self.case.close)

    def visible_names(self):
        names = self.ui.anatomyList
        items = [names.item(row) for row in range(names.count)]
        return [item.text() for item in items if not item.isHidden()]

    def segment(self, name="liver", place=MIDDLE):
        """Add a structure and click inside."""
        segment_id = self.case.add(name)
        self.case.press("insideButton")
        hit = click("Red", place)
        self.case.settle()
        self.case.press("insideButton")
        return segment_id, hit

    def markers(self):
        """Return how many markers inside and outside are shown."""
        counts = []
        for name in ("CT-SAM3D inside", "CT-SAM3D outside"):
            nodes = slicer.mrmlScene.GetNodesByName(name)
            counts.append(
                sum(
                    nodes.GetItemAsObject(i).GetNumberOfDefinedControlPoints()
                    for i in range(nodes.GetNumberOfItems())
                )
            )
        return tuple(counts)

    def interaction(self):
        return slicer.app.applicationLogic().GetInteractionNode()


class StructureTest(PanelTestCase):
    def test_volume_of_the_views_is_taken(self):
        self.assertIs(self.ui.volumeSelector.currentNode(), self.case.volume)
        self.assertIsNone(self.ui.segmentationSelector.currentNode())
        self.assertFalse(self.ui.warningLabel.visible)

    def test_search_by_words_in_any_order(self):
        self.ui.searchBox.text = "ney lef"
        self.assertEqual(self.visible_names()[:2], ["Left kidney cyst", "Left kidney"])
        self.assertEqual(self.ui.anatomyList.currentItem().text(), "Left kidney")
        self.ui.searchBox.text = ""
        self.assertGreater(len(self.visible_names()), 100)
        self.assertFalse(self.ui.addButton.enabled)
        self.assertIn("type a name", self.ui.addButton.toolTip)

    def test_enter_adds_with_colour_and_code(self):
        self.ui.searchBox.text = "left kidney"
        press_key(self.ui.searchBox, qt.Qt.Key_Return)
        segment = self.case.segmentation.GetSegmentation().GetSegment(self.case.segment_id)
        self.assertEqual(segment.GetName(), "Left kidney")
        self.assertIn("SCT^64033007^Kidney", segment.GetTerminology())
        self.assertEqual(self.ui.searchBox.text, "")
        self.assertEqual(self.case.rows(), [("Left kidney", "0 / 0", "0.0")])

    def test_any_name_can_be_typed(self):
        self.ui.searchBox.text = "  my lesion "
        self.assertEqual(self.visible_names(), ['Other: "my lesion"'])
        self.ui.addButton.click()
        self.assertEqual(self.case.rows()[0][0], "my lesion")

    def test_part_of_a_name_can_be_a_name(self):
        self.ui.searchBox.text = "kidney"
        self.ui.anatomyList.currentRow = self.ui.anatomyList.count - 1
        self.ui.addButton.click()
        self.assertEqual(self.case.rows()[0][0], "kidney")

    def test_double_click_adds(self):
        item = self.ui.anatomyList.item(0)
        self.ui.anatomyList.setCurrentItem(item)
        double_click(self.ui.anatomyList, item)
        self.assertEqual(self.case.rows()[0][0], item.text())

    def test_a_structure_is_not_added_twice(self):
        first = self.case.add("liver")
        self.case.add("spleen")
        for again in ("liver", "Liver", "LIVER"):
            self.assertEqual(self.case.add(again), first)
        lesion = self.case.add("My lesion")
        self.case.add("liver")
        self.assertEqual(self.case.add("my LESION"), lesion)
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver", "Spleen", "My lesion"])

    def test_new_segmentation_lies_where_the_volume_lies(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.case.volume.SetAndObserveTransformNodeID(transform.GetID())
        self.case.add("liver")
        self.assertIs(self.case.segmentation.GetParentTransformNode(), transform)
        self.assertIs(self.ui.segmentationSelector.currentNode(), self.case.segmentation)
        self.assertEqual(self.case.segmentation.GetName(), "CT segmentation")

    def test_a_segmentation_made_in_the_selector_is_used(self):
        node = self.ui.segmentationSelector.addNode()
        self.case.add("liver")
        self.assertIs(self.case.segmentation, node)
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 1)

    def test_remove_is_undoable(self):
        self.segment()
        self.case.add("spleen")
        self.case.press("removeButton")
        self.case.settle()
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver"])
        self.case.press("undoButton")
        self.case.settle()
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver", "Spleen"])


class ClickTest(PanelTestCase):
    def test_click_gives_a_structure_round_the_mouse(self):
        _, hit = self.segment()
        (made,) = self.case.clicks()
        self.assertTrue(made.positive)
        np.testing.assert_allclose(made.position_ras, hit, atol=1e-3)
        kji = np.argwhere(self.case.mask()).mean(axis=0)
        np.testing.assert_allclose(kji[::-1] * (2, 2, 3), hit, atol=1.5)
        self.assertRegex(self.case.status, r"Prompts: 1\. Computed in \d+\.\d\d s on cpu\.")

    def test_placing_goes_on_until_the_button_is_pressed_again(self):
        self.case.add("liver")
        self.case.press("insideButton")
        self.assertTrue(self.ui.insideButton.checked)
        click("Red", MIDDLE)
        click("Red", BESIDE)
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)
        self.case.press("insideButton")
        self.assertFalse(self.ui.insideButton.checked)
        self.assertNotEqual(
            self.interaction().GetCurrentInteractionMode(), self.interaction().Place
        )
        click("Red", RIM)
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)

    def test_outside_click_takes_away(self):
        self.segment()
        before = self.case.mask()
        self.case.press("insideButton")
        self.case.press("outsideButton")
        self.assertFalse(self.ui.insideButton.checked)
        click("Red", RIM)
        self.case.settle()
        self.assertEqual([one.positive for one in self.case.clicks()], [True, False])
        self.assertLess(self.case.mask().sum(), before.sum())
        self.assertEqual(self.case.rows()[0][1], "1 / 1")
        self.assertEqual(self.markers(), (1, 1))

    def test_resting_mouse_prepares_the_click(self):
        self.case.add("liver")
        self.case.press("insideButton")
        view = slicer.app.layoutManager().sliceWidget("Red")
        xy = xy_of("Red", MIDDLE)
        slicer.util.clickAndDrag(view, button="None", start=xy, end=xy, steps=1)
        until(lambda: self.case.predictor.encoded, "the encoding")
        self.assertEqual((self.case.predictor.encoded, self.case.predictor.decoded), (1, 0))
        click("Red", MIDDLE)
        self.case.settle()
        self.assertEqual((self.case.predictor.encoded, self.case.predictor.decoded), (1, 1))

    def test_escape_ends_placing(self):
        self.case.add("liver")
        self.case.press("outsideButton")
        self.interaction().SetCurrentInteractionMode(self.interaction().ViewTransform)
        self.assertFalse(self.ui.outsideButton.checked)

    def test_another_structure_ends_placing(self):
        self.case.add("liver")
        self.case.press("insideButton")
        self.case.add("spleen")
        self.assertFalse(self.ui.insideButton.checked)
        self.assertEqual(
            self.interaction().GetCurrentInteractionMode(), self.interaction().ViewTransform
        )

    def test_points_of_the_user_stay_the_active_list(self):
        own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "own")
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetActivePlaceNodeID(own.GetID())
        self.segment()
        self.assertEqual(selection.GetActivePlaceNodeID(), own.GetID())
        self.assertEqual(own.GetNumberOfControlPoints(), 0)

    def test_leaving_ends_placing_and_hides_markers(self):
        self.segment()
        self.case.press("insideButton")
        self.assertEqual(self.markers(), (1, 0))
        self.case.panel.exit()
        self.assertEqual(self.markers(), (0, 0))
        self.assertFalse(self.ui.insideButton.checked)
        self.case.panel.enter()
        self.case.panel.enter()
        self.assertEqual(self.markers(), (1, 0))
        self.assertEqual(self.case.rows()[0][1], "1 / 0")

    def test_markers_follow_the_structure(self):
        liver, _ = self.segment("liver")
        self.case.add("spleen")
        self.assertEqual(self.markers(), (0, 0))
        self.ui.segmentsTable.selectRow(0)
        self.assertEqual(self.case.segment_id, liver)
        self.assertEqual(self.markers(), (1, 0))

    def test_a_marker_can_be_dragged(self):
        self.segment()
        before = self.case.mask()
        view = slicer.app.layoutManager().sliceWidget("Red")
        xy = xy_of("Red", MIDDLE)
        slicer.util.clickAndDrag(view, button="None", start=xy, end=xy, steps=1)
        drag("Red", MIDDLE, BESIDE)
        self.case.settle()
        np.testing.assert_allclose(self.case.clicks()[0].position_ras, BESIDE, atol=1.5)
        self.assertTrue((self.case.mask() & ~before).any())
        self.assertTrue((before & ~self.case.mask()).any())

    def test_remove_last_and_clear(self):
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        click("Red", BESIDE)
        self.case.settle()
        self.case.press("removeLastButton")
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), one)
        click("Red", BESIDE)  # still placing
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)
        self.case.press("clearButton")
        self.case.settle()
        self.assertEqual(self.case.rows(), [("Liver", "0 / 0", "0.0")])
        self.assertFalse(self.ui.clearButton.enabled)

    def test_other_structures_keep_their_voxels_and_the_users_setting_stays(self):
        node = self.case.logic.editorNode()
        self.assertEqual(node.GetOverwriteMode(), node.OverwriteAllSegments)
        liver, _ = self.segment("liver")
        before = self.case.mask(liver)
        self.segment("spleen", BESIDE)
        self.assertTrue((self.case.mask(liver) & self.case.mask()).any())
        np.testing.assert_array_equal(self.case.mask(liver), before)
        self.assertEqual(node.GetOverwriteMode(), node.OverwriteAllSegments)

    def test_the_users_defaults_of_the_segment_editor_count(self):
        scene, class_name = slicer.mrmlScene, "vtkMRMLSegmentEditorNode"
        scene.RemoveNode(self.case.logic.editorNode())
        defaults = slicer.vtkMRMLSegmentEditorNode()
        before = scene.GetDefaultNodeByClass(class_name) or slicer.vtkMRMLSegmentEditorNode()
        self.addCleanup(scene.AddDefaultNode, before)
        defaults.SetOverwriteMode(defaults.OverwriteNone)
        scene.AddDefaultNode(defaults)
        self.assertEqual(self.case.logic.editorNode().GetOverwriteMode(), defaults.OverwriteNone)

    def test_place_mode_of_the_toolbar_stays_as_it_was(self):
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self.case.add("liver")
        for persistence in (0, 1):
            interaction.SetPlaceModePersistence(persistence)
            self.case.press("insideButton")
            self.assertEqual(interaction.GetPlaceModePersistence(), 1)
            self.case.press("insideButton")
            self.assertEqual(interaction.GetPlaceModePersistence(), persistence)

    def test_volume_of_the_table(self):
        segment_id, _ = self.segment()
        expected = self.case.mask(segment_id).sum() * 12 / 1000
        self.assertEqual(self.case.rows()[0][2], f"{expected:.1f}")


class UndoTest(PanelTestCase):
    def test_undo_and_redo_bring_back_points_and_voxels(self):
        self.assertFalse(self.ui.undoButton.enabled)
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        click("Red", BESIDE)
        self.case.settle()
        two = self.case.mask()
        self.case.press("undoButton")
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), one)
        self.assertEqual(self.case.rows()[0][1], "1 / 0")
        self.assertEqual(self.markers(), (1, 0))
        self.case.press("redoButton")
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), two)
        self.assertEqual(self.markers(), (2, 0))
        self.assertFalse(self.ui.redoButton.enabled)

    def test_ten_steps(self):
        self.case.add("liver")
        self.case.press("insideButton")
        for number in range(11):
            click("Red", (30.0 + 4 * number, 44.0, 60.0))
            self.case.settle()
        for _ in range(10):
            self.case.press("undoButton")
            self.case.settle()
        self.assertEqual(len(self.case.clicks()), 1)

    def test_undo_while_computing_takes_back_what_is_computed(self):
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        self.case.predictor.gate.clear()
        click("Red", BESIDE)
        self.assertEqual(self.markers(), (2, 0))
        self.case.press("undoButton")
        self.case.predictor.gate.set()
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), one)
        self.assertEqual(self.markers(), (1, 0))

    def test_undo_of_quick_clicks_takes_back_the_newest_alone(self):
        self.segment()
        one = self.case.mask()
        self.case.press("insideButton")
        self.case.predictor.gate.clear()
        for number in (1, 2, 3):
            click("Red", (BESIDE[0] + 8.0 * number, *BESIDE[1:]))
        self.case.press("undoButton")
        self.assertEqual(self.markers(), (3, 0))
        self.assertEqual(self.case.status, "Segmenting ...")
        self.case.press("undoButton")
        self.assertEqual(self.markers(), (2, 0))
        self.case.predictor.gate.set()
        self.case.settle()
        self.assertEqual(self.case.rows()[0][1], "2 / 0")
        self.assertGreater(self.case.mask().sum(), one.sum())
        self.case.press("undoButton")
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), one)

    def test_tidying_up_is_undoable(self):
        self.segment()
        before = self.case.mask()
        before[2:5, 2:5, 2:5] = True  # an island
        before[20, 22, 20] = False  # a hole
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            before.astype(np.uint8), self.case.segmentation, self.case.segment_id, self.case.volume
        )
        for name in ("keepButton", "fillButton", "smoothButton"):
            with self.subTest(name=name):
                self.ui.smoothingBox.value = 4.0
                self.case.press(name)
                self.assertIn("Undo", self.case.status)
                self.case.press("undoButton")
                self.case.settle()
                np.testing.assert_array_equal(self.case.mask(), before)

    def test_tidying_up_that_changes_nothing_is_told_and_no_step_of_undo(self):
        self.segment()
        for name in ("keepButton", "fillButton"):
            with self.subTest(name=name):
                self.case.press(name)
                told = "There is nothing to tidy up; nothing was changed."
                self.assertEqual(self.case.status, told)
        self.case.press("undoButton")
        self.case.settle()
        self.assertFalse(self.case.mask().any())


if __name__ == "__main__":
    unittest.main()
