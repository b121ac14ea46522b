"""A point in the air round the body: answered, and told of in effect, panel and console."""

from __future__ import annotations

import slicer
from ctsam3d_case import ASIDE, MIDDLE
from mouse_case import MouseCase
from panel_case import StateTestCase
from view_mouse import click, click_and_wait

AIR = (8.0, 44.0, 60.0)
SAID = "The point lies in air outside the body (-1000 HU)"


class EffectTest(MouseCase):
    def test_a_warning_until_the_next_prompt(self):
        label = self.case.effect.options.statusLabel
        click_and_wait(self.case, AIR)
        self.assertTrue(label.text.startswith(SAID), label.text)
        self.assertIn("Prompts: 1.", label.text)
        self.assertNotEqual(label.styleSheet, "")
        click_and_wait(self.case, MIDDLE)
        self.assertNotIn(SAID, label.text)
        self.assertEqual(label.styleSheet, "")

    def test_it_is_told_at_once_and_gone_when_undone_in_the_editor(self):
        label = self.case.effect.options.statusLabel
        self.case.predictor.gate.clear()
        click("Red", AIR)
        self.assertTrue(label.text.startswith(SAID), label.text)
        self.assertIn("Segmenting", label.text)
        self.case.predictor.gate.set()
        self.case.settle()
        self.case.editor.undo()
        slicer.app.processEvents()
        self.assertEqual(label.text, "Click inside the structure.")
        self.assertEqual(label.styleSheet, "")

    def test_the_number_of_prompts_is_that_after_undo_and_redo(self):
        label = self.case.effect.options.statusLabel
        for place in (MIDDLE, ASIDE):
            click_and_wait(self.case, place)
        self.case.editor.undo()
        slicer.app.processEvents()
        self.assertEqual(label.text, "Prompts: 1.")
        self.case.editor.redo()
        slicer.app.processEvents()
        self.assertEqual(label.text, "Prompts: 2.")

    def test_none_for_a_point_outside_or_when_one_is_taken_back(self):
        click_and_wait(self.case, AIR, ["Control"])
        self.assertNotIn("air", self.case.effect.options.statusLabel.text)
        click("Red", AIR)
        click_and_wait(self.case, MIDDLE)
        self.case.effect.options.undoButton.click()
        self.case.settle()
        self.assertNotIn("air", self.case.effect.options.statusLabel.text)


class PanelTest(StateTestCase):
    def test_the_same_in_the_panel_and_when_all_are_computed_again(self):
        self.start()
        self.segment("liver", AIR)
        self.assertTrue(self.case.status.startswith(SAID), self.case.status)
        self.assertNotEqual(self.ui.statusLabel.styleSheet, "")
        self.case.press_and_wait("segmentAllButton")
        self.assertTrue(self.case.status.startswith(SAID), self.case.status)
        self.assertIn("Structures: 1.", self.case.status)


class ConsoleTest(StateTestCase):
    def test_the_log_tells(self):
        self.start()
        with self.assertLogs(level="WARNING") as logs:
            slicer.util.getModuleLogic("CTSAM3D").segment(
                self.case.volume, {"liver": {"positive": [list(AIR)]}}
            )
        self.assertIn(SAID, "\n".join(logs.output))
