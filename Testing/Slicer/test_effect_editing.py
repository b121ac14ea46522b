"""The effect together with other ways to edit: masks, boxes, drawing, tidying up, files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import slicer
from ctsam3d_case import ASIDE, MIDDLE, NAME, CTSAM3DCase, EffectTestCase
from segmentation_case import SHAPE_KJI, ijk_to_ras
from view_mouse import click, click_and_wait


def write(case, mask, segment_id="organ"):
    """Put voxels into a segment as another tool would."""
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), case.segmentation, segment_id, case.volume
    )


def box(*slices):
    mask = np.zeros(SHAPE_KJI, dtype=bool)
    mask[slices] = True
    return mask


class EditingTest(EffectTestCase):
    # ---- what the Segment Editor allows

    def test_intensity_range_and_editable_area_are_honoured(self):
        self.case.node.SetSourceVolumeIntensityMask(True)
        self.case.node.SetSourceVolumeIntensityMaskRange(0, 100)
        self.click((20.0, 44.0, 60.0))
        bright = slicer.util.arrayFromVolume(self.case.volume) > 0
        mask = self.case.mask()
        self.assertTrue(mask.any())
        self.assertFalse((mask & ~bright).any())
        # A further click goes on from what the model found, not from what the mask left of it.
        self.click((30.0, 44.0, 60.0))
        self.assertFalse((self.case.mask() & ~bright).any())
        self.assertTrue(self.case.mask()[mask].all())

    def test_masked_by_another_segment(self):
        allowed = box(slice(None), slice(None), slice(0, 24))
        write(self.case, allowed, "other")
        node = self.case.node
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        node.SetMaskSegmentID("other")
        self.click(MIDDLE)
        self.assertTrue(self.case.mask().any())
        self.assertFalse((self.case.mask() & ~allowed).any())
        np.testing.assert_array_equal(self.case.mask("other"), allowed)

    def test_box_limits_the_work(self):
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        roi.SetCenter(40.0, 44.0, 60.0)
        roi.SetSize(20.0, 200.0, 200.0)
        self.case.effect.options.roiBox.setCurrentNode(roi)
        self.click((45.0, 44.0, 60.0))
        i = np.argwhere(self.case.mask())[:, 2] * 2.0
        self.assertGreater(i.size, 0)
        self.assertLessEqual(i.max(), 50.0)
        self.assertGreaterEqual(i.min(), 30.0)
        before = self.case.mask()
        self.click(ASIDE)
        self.assertIn("inside the box", self.case.effect.editor.status.text)
        np.testing.assert_array_equal(self.case.mask(), before)
        self.assertEqual(len(self.case.clicks()), 1)
        across = [(45.0, 44.0, 60.0), (45.0, 50.0, 60.0), ASIDE]
        self.assertFalse(self.case.effect.editor.draw("scribble", across, True))
        self.assertIn("inside the box", self.case.effect.editor.status.text)
        self.assertTrue(self.case.effect.editor.draw("scribble", across[:2], True))
        self.case.settle()
        self.assertEqual([one.kind for one in self.case.clicks()], ["click", "scribble"])
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), before)

    def test_a_marker_dragged_out_of_the_box_comes_back(self):
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        roi.SetCenter(*MIDDLE)
        roi.SetSize(20.0, 200.0, 200.0)
        self.case.effect.options.roiBox.setCurrentNode(roi)
        self.click(MIDDLE)
        before, clicks = self.case.mask(), self.case.clicks()
        markers = self.case.effect.editor.markers.node(True)
        markers.SetNthControlPointPositionWorld(0, *ASIDE)
        markers.InvokeCustomModifiedEvent(markers.PointEndInteractionEvent)
        self.case.settle()
        self.assertIn("inside the box", self.case.effect.editor.status.text)
        self.assertEqual(self.case.clicks(), clicks)
        np.testing.assert_array_equal(self.case.mask(), before)
        np.testing.assert_allclose(
            markers.GetNthControlPointPositionWorld(0), clicks[0].position_ras, atol=1e-4
        )

    # ---- what others have drawn

    def test_refining_an_imported_segment_starts_from_its_mask(self):
        imported = box(slice(12, 28), slice(15, 29), slice(16, 32))
        write(self.case, imported)
        hit = self.click(MIDDLE, modifiers=["Control"])
        after = self.case.mask()
        self.assertFalse((after & ~imported).any())
        removed = np.argwhere(imported & ~after)
        self.assertGreater(len(removed), 0)
        near = removed[:, ::-1] * (2.0, 2.0, 3.0) - hit
        self.assertLess(np.linalg.norm(near, axis=1).max(), 14.0)
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), imported)
        self.case.settle()
        self.click(MIDDLE)
        self.assertTrue(self.case.mask()[14, 16, 17])  # a corner that no ball reaches

    def test_drawing_between_clicks_is_kept(self):
        self.click(MIDDLE)
        drawn = self.case.mask() | box(slice(2, 5), slice(2, 5), slice(2, 5))
        write(self.case, drawn)
        self.click(ASIDE)
        after = self.case.mask()
        self.assertTrue(after[drawn].all())
        self.assertTrue(after[20, 22, 35])
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), drawn)

    def test_erasing_everything_between_clicks_is_respected(self):
        self.click(MIDDLE)
        write(self.case, np.zeros(SHAPE_KJI, bool))
        self.click((20.0, 44.0, 60.0))
        self.assertFalse(self.case.mask()[20, 22, 34])
        self.assertTrue(self.case.mask()[20, 22, 10])

    # ---- tidying up

    def test_tidying_up_is_undoable_and_keeps_the_clicks(self):
        self.click(MIDDLE)
        clean = self.case.mask() | box(slice(20, 21), slice(22, 23), slice(8, 24))  # a thin rod
        spoilt = clean | box(slice(1, 3), slice(1, 3), slice(1, 3))
        spoilt[20, 22, 20] = False
        write(self.case, spoilt)
        options = self.case.effect.options
        options.keepButton.click()
        self.assertFalse(self.case.mask()[2, 2, 2])
        options.fillButton.click()
        np.testing.assert_array_equal(self.case.mask(), clean)
        options.smoothingBox.value = 6.0
        options.smoothButton.click()
        self.assertFalse(np.array_equal(self.case.mask(), clean))
        self.assertTrue(self.case.mask()[20, 22, 24])
        self.assertEqual(len(self.case.clicks()), 1)
        for expected in (clean, None, spoilt):
            self.case.editor.undo()
            if expected is not None:
                np.testing.assert_array_equal(self.case.mask(), expected)

    def test_tidying_up_nothing_does_nothing(self):
        for button in ("keepButton", "fillButton", "smoothButton"):
            getattr(self.case.effect.options, button).click()
            told = self.case.effect.options.statusLabel.text
            self.assertEqual(told, "There is nothing to tidy up; nothing was changed.")
        self.assertEqual(self.case.mask().sum(), 0)
        self.click(MIDDLE)
        self.case.effect.options.keepButton.click()
        self.case.editor.undo()
        self.assertEqual(self.case.mask().sum(), 0)  # of the click: keeping was no step

    # ---- files

    def saved_and_loaded(self, suffix):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / f"saved{suffix}")
            if suffix == ".mrb":
                self.assertTrue(slicer.util.saveScene(path))
                slicer.mrmlScene.Clear()
                slicer.util.loadScene(path)
                return (
                    slicer.util.getFirstNodeByClassByName("vtkMRMLSegmentationNode", "Organs"),
                    slicer.util.getFirstNodeByClassByName("vtkMRMLScalarVolumeNode", "CT"),
                )
            self.assertTrue(slicer.util.saveNode(self.case.segmentation, path))
            slicer.mrmlScene.RemoveNode(self.case.segmentation)
            return slicer.util.loadSegmentation(path), self.case.volume

    def test_editing_goes_on_after_saving_and_loading(self):
        for suffix in (".seg.nrrd", ".mrb"):
            with self.subTest(suffix=suffix):
                self.case.close()
                slicer.mrmlScene.Clear()
                self.case = CTSAM3DCase()
                self.case.segmentation.SetName("Organs")
                self.click(MIDDLE)
                self.click(ASIDE)
                before, clicks = self.case.mask(), self.case.clicks()
                segmentation, volume = self.saved_and_loaded(suffix)
                again = self.case.continued(segmentation, volume)
                self.assertEqual(again.clicks(), clicks)
                np.testing.assert_array_equal(again.mask(), before)
                markers = again.effect.editor.markers.node(True)
                self.assertEqual(markers.GetNumberOfControlPoints(), 2)
                click("Red", (30.0, 44.0, 60.0))
                again.settle()
                self.assertEqual(len(again.clicks()), 3)
                self.assertTrue(again.mask()[before].all())
                again.effect.editor.remove_last()
                again.settle()
                np.testing.assert_array_equal(again.mask(), before)

    def test_clicks_of_another_volume_are_not_taken_for_this_one(self):
        self.click(MIDDLE)
        before = self.case.mask()
        array = slicer.util.arrayFromVolume(self.case.volume)
        moved = slicer.util.arrayFromVTKMatrix(ijk_to_ras(self.case.volume))
        moved[:3, 3] += (10.0, 0.0, 0.0)
        other = slicer.util.addVolumeFromArray(np.array(array), moved, "Another CT")
        self.case.editor.setSourceVolumeNode(other)
        self.case.settle()
        markers = self.case.effect.editor.markers.node(True)
        self.assertEqual(markers.GetNumberOfControlPoints(), 0)
        click_and_wait(self.case, ASIDE)
        (made,) = self.case.clicks()
        np.testing.assert_allclose(made.position_ras, ASIDE, atol=1.5)
        label, told = self.case.effect.options.statusLabel, "Prompts on another volume (1)"
        self.assertTrue(label.text.startswith(told), label.text)
        # What was there goes in as the earlier mask, by way of the model's own voxels.
        self.assertGreater(self.case.mask()[before].mean(), 0.97)
        click_and_wait(self.case, MIDDLE)
        self.assertNotIn(told, label.text)

    def test_the_choice_of_options_is_kept_in_the_scene(self):
        self.assertTrue(self.case.effect.options.growBox.checked)
        self.case.effect.options.growBox.checked = False
        self.case.effect.options.smoothingBox.value = 3.5
        self.case.editor.setActiveEffect(None)
        self.case.effect = self.case.activate(NAME)
        self.assertFalse(self.case.effect.options.growBox.checked)
        self.assertEqual(self.case.node.GetAttribute(f"{NAME}.SmoothingMm"), "3.5")
        self.assertFalse(self.case.effect.editor.choice.grow)
