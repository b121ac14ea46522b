"""The stand-in's MRML widgets: selectors, placing of points, tables, the editor's signals."""

from __future__ import annotations

import unittest

import numpy as np
import qt
import slicer
from segmentation_case import SegmentationCase, ball_volume
from view_mouse import click

FIDUCIAL = "vtkMRMLMarkupsFiducialNode"


def add(node_class, name=""):
    return slicer.mrmlScene.AddNewNodeByClass(node_class, name)


class NodeComboBoxTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.box = slicer.qMRMLNodeComboBox()
        self.box.nodeTypes = [FIDUCIAL]
        self.box.noneEnabled = True
        self.box.setMRMLScene(slicer.mrmlScene)
        self.addCleanup(self.box.setMRMLScene, None)
        self.seen = []

    def names(self):
        return [self.box.nodeFromIndex(i).GetName() for i in range(self.box.nodeCount())]

    def test_follows_the_scene(self):
        first, second = add(FIDUCIAL, "a"), add(FIDUCIAL, "b")
        add("vtkMRMLModelNode", "other class")
        self.assertEqual(self.names(), ["a", "b"])
        self.box.setCurrentNode(second)
        slicer.mrmlScene.RemoveNode(first)
        self.assertEqual(self.names(), ["b"])
        self.assertIs(self.box.currentNode(), second)
        slicer.mrmlScene.Clear()
        self.assertEqual(self.names(), [])
        self.assertIsNone(self.box.currentNode())

    def test_signals_come_once_a_change(self):
        node = add(FIDUCIAL)
        self.box.connect("currentNodeChanged(vtkMRMLNode*)", self.seen.append)
        self.box.connect("currentNodeChanged(bool)", self.seen.append)
        self.box.connect("currentNodeIDChanged(QString)", self.seen.append)
        self.box.setCurrentNode(node)
        self.box.setCurrentNode(node)
        add(FIDUCIAL)
        self.assertEqual(self.seen, [node, True, node.GetID()])
        self.box.currentNodeID = ""
        self.assertEqual(self.seen[3:], [None, False, ""])

    def test_without_none_only_a_new_scene_chooses_a_node(self):
        self.box.noneEnabled = False
        first, second = add(FIDUCIAL), add(FIDUCIAL)
        self.assertIsNone(self.box.currentNode())
        self.box.setCurrentNode(second)
        slicer.mrmlScene.RemoveNode(second)
        self.assertIs(self.box.currentNode(), first)
        other = slicer.qMRMLNodeComboBox()
        other.nodeTypes = [FIDUCIAL]
        other.setMRMLScene(slicer.mrmlScene)
        self.addCleanup(other.setMRMLScene, None)
        self.assertIs(other.currentNode(), first)

    def test_hidden_nodes_and_child_classes(self):
        hidden = add(FIDUCIAL, "hidden")
        hidden.SetHideFromEditors(True)
        self.box.showHidden = False
        self.box.nodeTypes = ["vtkMRMLMarkupsNode"]
        add("vtkMRMLMarkupsLineNode", "line")
        self.assertEqual(self.names(), ["line"])
        self.box.showHidden = True
        self.assertEqual(self.names(), ["hidden", "line"])
        self.box.showChildNodeTypes = False
        self.assertEqual(self.names(), [])

    def test_filter_by_attribute(self):
        marked = add(FIDUCIAL, "marked")
        marked.SetAttribute("Clicks", "positive")
        add(FIDUCIAL, "plain")
        self.box.addAttribute(FIDUCIAL, "Clicks", "positive")
        self.assertEqual(self.names(), ["marked"])
        self.assertEqual(self.box.addNode().GetAttribute("Clicks"), "positive")

    def test_create_new(self):
        self.box.baseName = "Clicks"
        self.box.connect("nodeAddedByUser(vtkMRMLNode*)", self.seen.append)
        choices = self.box.findChildren(qt.QComboBox)[0]
        entry = choices.findText("Create new", qt.Qt.MatchStartsWith)
        choices.setCurrentIndex(entry)
        choices.activated.emit(entry)
        node = self.box.currentNode()
        self.assertEqual(self.seen, [node])
        self.assertTrue(node.GetName().startswith("Clicks"))


class PlaceWidgetTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.volume = ball_volume()
        self.node = add(FIDUCIAL, "points")
        self.node.CreateDefaultDisplayNodes()
        self.place = slicer.qSlicerMarkupsPlaceWidget()
        self.place.setMRMLScene(slicer.mrmlScene)
        self.place.setCurrentNode(self.node)
        self.addCleanup(self.place.setMRMLScene, None)
        self.addCleanup(self.place.setPlaceModeEnabled, False)
        self.place.placeMultipleMarkups = self.place.ForcePlaceSingleMarkup
        self.seen = []
        self.place.connect("activeMarkupsFiducialPlaceModeChanged(bool)", self.seen.append)

    def test_mouse_places_a_point(self):
        self.place.placeModeEnabled = True
        self.assertEqual(self.seen, [True])
        hit = click("Red", (40.0, 50.0, 60.0))
        self.assertEqual(self.node.GetNumberOfDefinedControlPoints(), 1)
        placed = self.node.GetNthControlPointPositionWorld(0)
        np.testing.assert_allclose(placed, hit, atol=1e-3)
        # One point a click unless more are asked for.
        self.assertFalse(self.place.placeModeEnabled)
        self.assertEqual(self.seen, [True, False])

    def test_several_points(self):
        self.place.placeMultipleMarkups = self.place.ForcePlaceMultipleMarkups
        self.place.placeModeEnabled = True
        for y in (40.0, 46.0, 52.0):
            click("Green", (50.0, y, 60.0))
        self.assertEqual(self.node.GetNumberOfDefinedControlPoints(), 3)
        self.place.placeModeEnabled = False
        click("Green", (60.0, 40.0, 60.0))
        self.assertEqual(self.node.GetNumberOfDefinedControlPoints(), 3)

    def test_another_node_is_not_placed_into_until_asked(self):
        others = add(FIDUCIAL, "others")
        self.place.placeModeEnabled = True
        self.place.setCurrentNode(others)
        self.assertFalse(self.place.placeModeEnabled)
        self.assertEqual(self.seen, [True, False])
        click("Red", (40.0, 50.0, 60.0))
        self.assertEqual(others.GetNumberOfDefinedControlPoints(), 0)
        self.assertEqual(self.node.GetNumberOfDefinedControlPoints(), 1)
        self.place.placeModeEnabled = True
        click("Red", (44.0, 50.0, 60.0))
        self.assertEqual(others.GetNumberOfDefinedControlPoints(), 1)

    def test_without_node_nothing_is_placed(self):
        self.place.setCurrentNode(None)
        self.place.placeModeEnabled = True
        self.assertFalse(self.place.placeModeEnabled)


class SegmentWidgetsTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = SegmentationCase()
        self.addCleanup(self.case.close)
        self.segments = self.case.segmentation.GetSegmentation()
        self.seen = []

    def test_table_follows_segments(self):
        table = slicer.qMRMLSegmentsTableView()
        table.setSegmentationNode(self.case.segmentation)
        self.addCleanup(table.setSegmentationNode, None)
        self.assertEqual(table.displayedSegmentIDs(), ("organ", "other"))
        table.connect(
            "selectionChanged(QItemSelection,QItemSelection)",
            lambda: self.seen.append(table.selectedSegmentIDs()),
        )
        table.setSelectedSegmentIDs(["other"])
        self.segments.AddEmptySegment("third", "Third")
        self.assertEqual(table.segmentCount, 3)
        self.assertEqual(table.selectedSegmentIDs(), ("other",))
        self.segments.RemoveSegment("other")
        self.assertEqual(table.displayedSegmentIDs(), ("organ", "third"))
        self.assertEqual(self.seen[0], ("other",))
        self.assertEqual(self.seen[-1], ())
        self.segments.GetSegment("third").SetName("Renamed")
        self.assertEqual(table.tableWidget().item(1, 1).text(), "Renamed")

    def test_the_colour_is_seen_in_a_selected_row(self):
        table = slicer.qMRMLSegmentsTableView()
        self.segments.GetSegment("organ").SetColor(1.0, 0.0, 0.0)
        table.setSegmentationNode(self.case.segmentation)
        item = table.tableWidget().item(0, 0)
        self.assertEqual(item.data(qt.Qt.DecorationRole).name(), "#ff0000")

    def test_selector(self):
        selector = slicer.qMRMLSegmentSelectorWidget()
        selector.setMRMLScene(slicer.mrmlScene)
        self.addCleanup(selector.setMRMLScene, None)
        selector.connect("currentSegmentChanged(QString)", self.seen.append)
        selector.setCurrentNode(self.case.segmentation)
        self.assertEqual(selector.segmentIDs(), ("organ", "other"))
        selector.setCurrentSegmentID("other")
        self.assertEqual(self.seen, ["organ", "other"])
        self.segments.RemoveSegment("other")
        self.assertEqual(selector.currentSegmentID(), "organ")

    def test_signals_of_the_editor(self):
        editor = self.case.editor
        editor.connect("currentSegmentIDChanged(QString)", self.seen.append)
        editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", self.seen.append)
        editor.connect("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", self.seen.append)
        editor.setCurrentSegmentID("other")
        self.assertEqual(self.seen, ["other"])
        volume = ball_volume()
        editor.setSourceVolumeNode(volume)
        self.assertEqual(self.seen[1:], [volume])
        other = add("vtkMRMLSegmentationNode")
        editor.setSegmentationNode(other)
        self.assertIn(other, self.seen[2:])
        self.assertIs(editor.segmentationNode(), other)
        self.assertEqual(editor.sourceVolumeNodeID(), volume.GetID())

    def test_volume_of_the_segmentation_is_chosen(self):
        self.case.editor.setSegmentationNode(None)
        self.case.editor.setSourceVolumeNode(None)
        self.case.editor.setSegmentationNode(self.case.segmentation)
        self.assertIs(self.case.editor.sourceVolumeNode(), self.case.volume)

    def test_show_in_3d(self):
        self.case.activate()
        click("Red", (48.0, 44.0, 60.0))
        button = slicer.qMRMLSegmentationShow3DButton()
        button.setSegmentationNode(self.case.segmentation)
        self.addCleanup(button.setSegmentationNode, None)
        button.click()
        self.assertTrue(self.segments.ContainsRepresentation("Closed surface"))
        button.click()
        self.assertFalse(self.segments.ContainsRepresentation("Closed surface"))


class CtkWidgetsTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def test_slider_widget(self):
        import ctk

        slider = ctk.ctkSliderWidget()
        slider.minimum, slider.maximum, slider.decimals = -10, 10, 1
        seen = []
        slider.connect("valueChanged(double)", seen.append)
        slider.value = 2.5
        slider.setValue(99)
        self.assertEqual(seen, [2.5, 10.0])

    def test_collapsible_button(self):
        import ctk

        button = ctk.ctkCollapsibleButton()
        layout = qt.QVBoxLayout(button)
        label = qt.QLabel("inside")
        layout.addWidget(label)
        seen = []
        button.connect("contentsCollapsed(bool)", seen.append)
        button.collapsed = True
        self.assertTrue(label.isHidden())
        button.checked = True
        self.assertFalse(label.isHidden())
        self.assertEqual(seen, [True, False])

    def test_what_is_added_to_a_folded_group_box_is_hidden(self):
        import ctk

        box = ctk.ctkCollapsibleGroupBox()
        box.collapsed = True
        label = qt.QLabel("inside")
        qt.QVBoxLayout(box).addWidget(label)
        box.show()
        self.assertTrue(label.isHidden())
        box.checked = True
        self.assertFalse(label.isHidden())
        box.hide()

    def test_combo_box_and_path(self):
        import ctk

        combo = ctk.ctkComboBox()
        combo.addItem("A", "a")
        combo.addItem("B", "b")
        combo.setCurrentUserDataAsString("b")
        self.assertEqual((combo.currentText, combo.currentUserDataAsString), ("B", "b"))
        path = ctk.ctkPathLineEdit()
        seen = []
        path.connect("currentPathChanged(QString)", seen.append)
        path.currentPath = "/x"
        self.assertEqual(seen, ["/x"])
