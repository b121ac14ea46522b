"""The stand-in as host of a scripted effect: order of calls, clicks, masks, undo, parameters."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from segmentation_case import SHAPE_KJI, SegmentationCase, ball_volume
from view_mouse import click, xy_of

NAME = "Headless example"
MIDDLE = (48.0, 44.0, 60.0)
RADIUS = 6.0
OBLIQUE_LEFT_HANDED = np.array(
    [[-1.9, 0.6, 0.0, 40.0], [0.6, 1.9, 0.0, -30.0], [0.0, 0.0, 3.0, 20.0], [0, 0, 0, 1.0]]
)


class EffectTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = SegmentationCase()
        self.addCleanup(self.case.close)

    def test_effect_is_registered_once(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        factory = effects.qSlicerSegmentEditorEffectFactory.instance()
        again = effects.qSlicerSegmentEditorScriptedEffect(None)
        again.name = NAME
        self.assertFalse(factory.registerEffect(again))
        self.assertEqual([e.name for e in factory.registeredEffects()].count(NAME), 1)
        self.assertIn(NAME, self.case.editor.availableEffectNames())

    def test_every_editor_has_its_own_clone(self):
        other = SegmentationCase(self.case.volume)
        self.addCleanup(other.close)
        mine, theirs = self.case.activate(), other.activate()
        self.assertIsNot(mine, theirs)
        mine.slider.value = 11.0
        self.assertEqual(mine.scriptedEffect.doubleParameter("Radius"), 11.0)
        self.assertEqual(theirs.scriptedEffect.doubleParameter("Radius"), RADIUS)

    def test_order_of_activation(self):
        effect = self.case.editor.effectByName(NAME).self()
        effect.calls.clear()
        self.case.activate()
        self.case.editor.setActiveEffect(None)
        expected = ["updateGUIFromMRML active=True", "activate options=True", "deactivate"]
        self.assertEqual(effect.calls, expected)
        self.assertIsNone(self.case.editor.activeEffect())
        self.assertTrue(effect.scriptedEffect.optionsFrame().isHidden())

    def test_no_effect_without_volume_or_segmentation(self):
        self.case.editor.setSourceVolumeNode(None)
        self.assertIsNone(self.case.activate())
        self.case.editor.setSourceVolumeNode(self.case.volume)
        self.case.editor.setSegmentationNode(None)
        self.assertIsNone(self.case.activate())

    def test_click_writes_where_the_mouse_is(self):
        for view, ras in [
            ("Red", (40.0, 50.0, 60.0)),
            ("Yellow", (50.0, 38.0, 70.0)),
            ("Green", (60.0, 44.0, 50.0)),
        ]:
            with self.subTest(view=view):
                slicer.mrmlScene.Clear()
                self.case = SegmentationCase()
                self.case.activate()
                hit = click(view, ras)
                np.testing.assert_allclose(hit, ras, atol=1.0)
                expected = 4 / 3 * np.pi * RADIUS**3 / 12
                self.assertAlmostEqual(self.case.mask().sum(), expected, delta=0.15 * expected)
                np.testing.assert_allclose(self.case.centre_ras(), hit, atol=1.0)
                self.case.close()

    def test_click_in_an_oblique_left_handed_volume(self):
        self.case.close()
        slicer.mrmlScene.Clear()
        self.case = SegmentationCase(ball_volume(OBLIQUE_LEFT_HANDED))
        self.case.activate()
        middle = OBLIQUE_LEFT_HANDED @ [*(np.array(SHAPE_KJI)[::-1] / 2), 1.0]
        hit = click("Red", middle[:3])
        np.testing.assert_allclose(self.case.centre_ras(), hit, atol=1.0)

    def test_shift_click_erases(self):
        self.case.activate()
        click("Red", MIDDLE)
        self.assertGreater(self.case.mask().sum(), 0)
        click("Red", MIDDLE, modifiers=["Shift"])
        self.assertEqual(self.case.mask().sum(), 0)

    def test_undo_and_redo(self):
        self.case.activate()
        click("Red", MIDDLE)
        first = self.case.mask()
        click("Red", (70.0, 44.0, 60.0))
        second = self.case.mask()
        self.assertGreater(second.sum(), first.sum())
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), first)
        self.case.editor.undo()
        self.assertEqual(self.case.mask().sum(), 0)
        self.case.editor.redo()
        self.case.editor.redo()
        np.testing.assert_array_equal(self.case.mask(), second)

    def test_number_of_undo_states(self):
        self.case.editor.maximumNumberOfUndoStates = 2
        self.case.activate()
        for x in (40.0, 50.0, 60.0, 70.0):
            click("Red", (x, 44.0, 60.0))
        before = self.case.mask().sum()
        for _ in range(5):
            self.case.editor.undo()
        self.assertLess(self.case.mask().sum(), before)
        self.assertGreater(self.case.mask().sum(), 0)

    def test_other_segments_are_kept_or_overwritten(self):
        self.case.activate()
        click("Red", MIDDLE)
        organ = self.case.mask()
        self.case.editor.setCurrentSegmentID("other")
        click("Red", (54.0, 44.0, 60.0))
        np.testing.assert_array_equal(self.case.mask(), organ)
        self.assertTrue((self.case.mask("other") & organ).any())
        self.case.node.SetOverwriteMode(self.case.node.OverwriteAllSegments)
        click("Red", (54.0, 44.0, 60.0))
        self.assertFalse((self.case.mask("other") & self.case.mask()).any())

    def test_intensity_mask(self):
        self.case.node.SetSourceVolumeIntensityMask(True)
        self.case.node.SetSourceVolumeIntensityMaskRange(0, 100)
        self.case.activate()
        click("Red", (18.0, 44.0, 60.0))
        inside = slicer.util.arrayFromVolume(self.case.volume) > 0
        mask = self.case.mask()
        self.assertTrue(mask.any())
        self.assertFalse((mask & ~inside).any())

    def test_event_that_is_handled_stops(self):
        effect = self.case.activate()
        interactor = slicer.app.layoutManager().sliceWidget("Red").sliceView().interactor()
        seen = []
        tag = interactor.AddObserver("LeftButtonPressEvent", lambda c, e: seen.append(e))
        self.addCleanup(interactor.RemoveObserver, tag)
        click("Red", MIDDLE)
        self.assertEqual(seen, [])
        effect.result = False
        click("Red", MIDDLE)
        self.assertEqual(seen, ["LeftButtonPressEvent"])

    def test_inactive_effect_gets_no_events(self):
        effect = self.case.activate()
        self.case.editor.setActiveEffect(None)
        effect.calls.clear()
        click("Red", MIDDLE)
        self.assertEqual(effect.calls, [])

    def test_parameters_live_in_the_editor_node(self):
        effect = self.case.activate()
        effect.slider.value = 8.25
        self.assertEqual(self.case.node.GetAttribute(f"{NAME}.Radius"), "8.25")
        effect.scriptedEffect.setParameter("Radius", 3)
        self.assertEqual(effect.slider.value, 3.0)
        effect.scriptedEffect.setParameterDefault("Radius", 99)
        self.assertEqual(effect.scriptedEffect.integerParameter("Radius"), 3)
        effect.scriptedEffect.setCommonParameter("Shared", "yes")
        self.assertEqual(effect.scriptedEffect.parameter("Shared"), "yes")
        with self.assertRaisesRegex(KeyError, "no parameter Missing"):
            effect.scriptedEffect.parameter("Missing")
        with self.assertRaisesRegex(TypeError, "takes str, int or float"):
            effect.scriptedEffect.setParameter("Radius", True)

    def test_changes_of_parameters_do_not_modify_the_node(self):
        effect = self.case.activate()
        seen = []
        node = self.case.node
        tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda c, e: seen.append(e))
        effect.scriptedEffect.setParameter("Radius", 4)
        node.RemoveObserver(tag)
        self.assertEqual(seen, [])

    def test_effect_is_told_of_another_volume(self):
        effect = self.case.activate()
        effect.calls.clear()
        other = ball_volume(np.diag([1.0, 1.0, 1.0, 1.0]))
        self.case.editor.setSourceVolumeNode(other)
        self.assertIn("sourceVolumeNodeChanged", effect.calls)

    def test_place_mode_ends_an_effect_that_does_not_listen(self):
        self.case.activate()
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.assertIsNone(self.case.editor.activeEffect())
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def test_place_mode_does_not_end_an_effect_that_listens(self):
        effect = self.case.activate()
        effect.interactionNodeModified = lambda node: None
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.assertIsNotNone(self.case.editor.activeEffect())
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def test_coordinates_there_and_back(self):
        effect = self.case.activate()
        widget = slicer.app.layoutManager().sliceWidget("Green")
        xy = xy_of("Green", MIDDLE)
        ras = effect.xyToRas(xy, widget)
        np.testing.assert_allclose(ras, MIDDLE, atol=1.0)
        back = effect.rasToXy(ras, widget)
        np.testing.assert_allclose(back, xy, atol=1)
        image = effect.scriptedEffect.sourceVolumeImageData()
        ijk = effect.xyToIjk(xy, widget, image)
        np.testing.assert_allclose(ijk, np.array(MIDDLE) / (2, 2, 3), atol=1)
        self.assertEqual(effect.scriptedEffect.viewNode(widget).GetLayoutName(), "Green")

    def test_scene_close_ends_the_effect_and_a_new_scene_works(self):
        self.case.activate()
        slicer.mrmlScene.Clear()
        click("Red", MIDDLE)
        self.assertIsNone(self.case.editor.segmentationNode())
        self.case.close()
        self.case = SegmentationCase()
        self.case.activate()
        click("Red", MIDDLE)
        self.assertGreater(self.case.mask().sum(), 0)
