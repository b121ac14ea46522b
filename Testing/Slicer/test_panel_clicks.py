"""The panel under the hands of a user: points by the mouse, their markers and the table."""

from __future__ import annotations

import numpy as np
import slicer
from event_loop import until
from panel_case import MIDDLE, PanelTestCase
from view_mouse import click, click_and_wait, drag, xy_of

BESIDE = (60.0, 44.0, 60.0)
RIM = (56.0, 44.0, 60.0)


class ClickTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.interaction = slicer.app.applicationLogic().GetInteractionNode()

    def test_click_gives_a_structure_round_the_mouse(self):
        self.case.add("liver")
        self.case.press("insideButton")
        hit = click_and_wait(self.case, MIDDLE)
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
        click_and_wait(self.case, BESIDE)
        self.assertEqual(len(self.case.clicks()), 2)
        self.case.press("insideButton")
        self.assertFalse(self.ui.insideButton.checked)
        self.assertNotEqual(self.interaction.GetCurrentInteractionMode(), self.interaction.Place)
        click_and_wait(self.case, RIM)
        self.assertEqual(len(self.case.clicks()), 2)

    def test_outside_click_takes_away(self):
        self.segment()
        before = self.case.mask()
        self.case.press("insideButton")
        self.case.press("outsideButton")
        self.assertFalse(self.ui.insideButton.checked)
        click_and_wait(self.case, RIM)
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
        click_and_wait(self.case, MIDDLE)
        self.assertEqual((self.case.predictor.encoded, self.case.predictor.decoded), (1, 1))

    def test_escape_ends_placing(self):
        self.case.add("liver")
        self.case.press("outsideButton")
        self.interaction.SetCurrentInteractionMode(self.interaction.ViewTransform)
        self.assertFalse(self.ui.outsideButton.checked)

    def test_another_structure_ends_placing(self):
        self.case.add("liver")
        self.case.press("insideButton")
        self.case.add("spleen")
        self.assertFalse(self.ui.insideButton.checked)
        self.assertEqual(
            self.interaction.GetCurrentInteractionMode(), self.interaction.ViewTransform
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
        liver = self.segment("liver")
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
        click_and_wait(self.case, BESIDE)
        self.case.press_and_wait("removeLastButton")
        np.testing.assert_array_equal(self.case.mask(), one)
        click("Red", BESIDE)  # still placing
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 2)
        self.case.press_and_wait("clearButton")
        self.assertEqual(self.case.rows(), [("Liver", "0 / 0", "0.0")])
        self.assertFalse(self.ui.clearButton.enabled)

    def test_other_structures_keep_their_voxels_and_the_users_setting_stays(self):
        node = self.case.logic.editorNode()
        self.assertEqual(node.GetOverwriteMode(), node.OverwriteAllSegments)
        liver = self.segment("liver")
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
        interaction = self.interaction
        self.case.add("liver")
        for persistence in (0, 1):
            interaction.SetPlaceModePersistence(persistence)
            self.case.press("insideButton")
            self.assertEqual(interaction.GetPlaceModePersistence(), 1)
            self.case.press("insideButton")
            self.assertEqual(interaction.GetPlaceModePersistence(), persistence)

    def test_volume_of_the_table(self):
        segment_id = self.segment()
        expected = self.case.mask(segment_id).sum() * 12 / 1000
        self.assertEqual(self.case.rows()[0][2], f"{expected:.1f}")
