"""Following a structure in the panel: what is told when it is ended on the way."""

from __future__ import annotations

from bar_case import START, BarPredictor, bar_volume, click_and_see_the_first_part, go_on
from panel_case import StateTestCase
from view_mouse import click_and_wait


class GrowingTest(StateTestCase):
    def setUp(self):
        super().setUp()
        self.start(volume=bar_volume()[0], predictor=BarPredictor())
        self.ui.growBox.checked = True

    def test_cancel_and_undo_tell_of_the_parts_that_they_keep(self):
        for name, button in (("liver", "cancelButton"), ("spleen", "undoButton")):
            with self.subTest(button=button):
                self.case.add(name)
                self.case.press("insideButton")
                click_and_see_the_first_part(self.case, self.case.logic.controller)
                shown = self.case.mask().sum()
                self.case.press(button)
                go_on(self.case)
                self.assertEqual(self.case.mask().sum(), shown)
                self.assertIn("Stopped; what was found so far is kept", self.case.status)
                self.case.press_and_wait("undoButton")
                self.assertFalse(self.case.mask().any())
                self.case.predictor.permits = None

    def test_a_mask_that_ends_where_nobody_has_looked_is_told_by_name(self):
        self.ui.growBox.checked = False
        told = "The mask ends in a straight cut (4 cm2): click beyond it."
        for name in ("liver", "spleen"):
            self.case.add(name)
            self.case.press("insideButton")
            click_and_wait(self.case, START)
            self.assertEqual(self.case.status, told)
        self.case.press_and_wait("segmentAllButton")
        for name in ("Liver", "Spleen"):
            self.assertIn(f"{name}: {told}", self.case.status)
