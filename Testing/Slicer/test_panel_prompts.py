"""The list of prompts in the panel: rows, going there, deleting."""

from __future__ import annotations

import numpy as np
import slicer
from event_loop import until
from panel_case import MIDDLE, StateTestCase
from view_mouse import click_and_wait, drag_xy, xy_of

ASIDE = (70.0, 44.0, 60.0)


class PromptsTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start()
        self.ui.promptsSection.collapsed = False
        self.addCleanup(setattr, self.ui.promptsSection, "collapsed", True)
        self.liver = self.case.add("liver")
        self.case.press("insideButton")
        click_and_wait(self.case, MIDDLE)
        self.case.press("outsideButton")
        click_and_wait(self.case, ASIDE)
        self.spleen = self.case.add("spleen")
        self.case.press("boxButton")
        self.case.press("insideButton")
        x, y = xy_of("Red", MIDDLE)
        drag_xy("Red", (x - 30, y - 30), (x + 30, y + 30))
        self.case.press("insideButton") if self.ui.insideButton.checked else None
        self.case.settle()

    def rows(self):
        table = self.ui.promptsTable
        return [
            tuple(table.item(row, column).text() for column in range(3))
            for row in range(table.rowCount)
        ]

    def test_one_row_a_prompt_in_the_words_of_the_buttons(self):
        self.assertEqual(
            self.rows(),
            [
                ("Point", "Inside", "Liver"),
                ("Point", "Outside", "Liver"),
                ("Box", "Inside", "Spleen"),
            ],
        )
        self.assertFalse(self.ui.goToButton.enabled)
        self.assertEqual(self.ui.deletePromptButton.toolTip, "Select a prompt in the list.")

    def test_going_there_selects_the_structure(self):
        for signal in ("button", "double click"):
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 10.0, 20.0, 30.0, 0)
            self.ui.promptsTable.selectRow(1)
            if signal == "button":
                self.case.press("goToButton")
            else:
                self.ui.promptsTable.cellDoubleClicked.emit(1, 0)
            self.assertEqual(self.case.segment_id, self.liver)
            for name, axis in (("Red", 2), ("Green", 1), ("Yellow", 0)):
                node = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
                matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
                np.testing.assert_allclose(matrix[axis, 3], ASIDE[axis], atol=1.5)
                np.testing.assert_allclose(matrix[:3, 3], ASIDE, atol=1.5)

    def test_deleting_is_one_step_of_undo_also_of_another_structure(self):
        self.case.press_and_wait("segmentAllButton")
        before = self.case.mask(self.liver)
        self.ui.promptsTable.selectRow(1)
        self.assertEqual(self.case.segment_id, self.spleen)
        self.case.press_and_wait("deletePromptButton")
        kinds = [("Point", "Inside", "Liver"), ("Box", "Inside", "Spleen")]
        self.assertEqual(self.rows(), kinds)
        self.assertEqual([one.positive for one in self.case.clicks(self.liver)], [True])
        self.case.press_and_wait("undoButton")
        self.assertEqual(len(self.rows()), 3)
        np.testing.assert_array_equal(self.case.mask(self.liver), before)

    def test_the_list_follows_undo_and_an_empty_scene(self):
        self.case.press_and_wait("undoButton")
        self.assertEqual(len(self.rows()), 2)
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.assertEqual(self.rows(), [])

    def test_where_next_takes_the_views_there_and_says_why(self):
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 10.0, 20.0, 30.0, 0)
        self.ui.segmentsTable.selectRow(0)
        self.case.press("nextButton")
        until(lambda: "border" in self.case.status or "face" in self.case.status, "the reason")
        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        at = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3]
        self.assertGreater(np.linalg.norm(at - (10.0, 20.0, 30.0)), 5.0)
        self.assertEqual(len(self.case.clicks(self.liver)), 2)

    def test_a_late_answer_leaves_the_line_of_a_button_that_was_pressed_since(self):
        self.ui.segmentsTable.selectRow(0)
        self.case.press("nextButton")
        self.case.press("insideButton")
        told = self.case.status
        until(lambda: not self.case.logic.controller.questions._asked, "the answer")
        self.assertEqual(self.case.status, told)

    def test_where_next_needs_a_prompt(self):
        self.case.add("kidney left")
        self.assertFalse(self.ui.nextButton.enabled)
        self.assertEqual(self.ui.nextButton.toolTip, "There are no points yet.")
