"""The panel under the hands of a user: structures."""

from __future__ import annotations

import qt
import slicer
from panel_case import PanelTestCase


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


class StructureTest(PanelTestCase):
    def visible_names(self):
        names = self.ui.anatomyList
        items = [names.item(row) for row in range(names.count)]
        return [item.text() for item in items if not item.isHidden()]

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
        self.case.press_and_wait("removeButton")
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver"])
        self.case.press_and_wait("undoButton")
        self.assertEqual([row[0] for row in self.case.rows()], ["Liver", "Spleen"])
