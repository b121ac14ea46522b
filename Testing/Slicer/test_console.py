"""Segmentation in one call, as scripts and the Python console make it."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from console_case import INSIDE, OBLIQUE_LEFT_HANDED, OTHER, ConsoleCase
from segmentation_case import ball_volume

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import NodeError
from CTSAM3DLib.mrml import click_from_world_ras, get_prompts
from CTSAM3DLib.prompts import Click, ClickHistory


class ResultTest(ConsoleCase):
    def test_new_segmentation_has_a_segment_for_each_anatomy(self):
        volume = ball_volume()
        node = self.logic.segment(
            volume,
            {
                "kidney_left": {"positive": [INSIDE], "negative": []},
                "my lesion": {"positive": [list(OTHER)]},
            },
        )
        segmentation = node.GetSegmentation()
        names = [
            segmentation.GetNthSegment(n).GetName()
            for n in range(segmentation.GetNumberOfSegments())
        ]
        self.assertEqual(names, ["Left kidney", "my lesion"])
        self.assertIn("SCT^64033007^Kidney", segmentation.GetNthSegment(0).GetTerminology())
        self.assertEqual(node.GetName(), "CT segmentation")
        self.assertIsNotNone(node.GetDisplayNode())
        self.assertEqual(
            get_prompts(node, self.segment_id(node)), ClickHistory([Click(INSIDE, True)])
        )
        centre = self.voxel_centre(node, volume)
        np.testing.assert_allclose(centre, np.array(INSIDE) / (2, 2, 3), atol=0.7)

    def test_volume_without_a_name(self):
        volume = ball_volume()
        for name in ("", None):
            volume.SetName(name)
            node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
            self.assertTrue(node.GetName().startswith("volume segmentation"))

    def test_names_that_are_not_in_utf_8(self):
        volume = ball_volume()
        volume.SetName(b"CT Th\xfcring")
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        points.SetName(b"l\xe9sion")
        points.AddControlPointWorld(INSIDE)
        node = self.logic.segment(volume, points)
        node.GetSegmentation().GetNthSegment(0).SetName(b"l\xe9sion")  # as an old file has it
        self.logic.segment(volume, {"liver": {"positive": [OTHER]}}, node)
        self.logic.segment(volume, points, node)
        self.assertEqual(list(self.logic.volumesCm3(node)), ["l\ufffdsion", "Liver"])
        self.assertEqual(node.GetName(), "CT Th\ufffdring segmentation")

    def test_structures_may_overlap(self):
        volume = ball_volume()
        near = (INSIDE[0] + 6, *INSIDE[1:])
        node = self.logic.segment(
            volume, {"liver": {"positive": [INSIDE]}, "spleen": {"positive": [near]}}
        )
        both = self.mask(node, volume, 0) & self.mask(node, volume, 1)
        self.assertGreater(both.sum(), 50)

    def test_negative_click_takes_away(self):
        volume = ball_volume()
        beside = [INSIDE[0] + 8, *INSIDE[1:]]
        plain = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        less = self.logic.segment(volume, {"liver": {"positive": [INSIDE], "negative": [beside]}})
        self.assertLess(self.mask(less, volume).sum(), self.mask(plain, volume).sum())
        self.assertEqual(less.GetName(), "CT segmentation_1")

    def test_same_call_gives_what_an_interactive_session_gives(self):
        from CTSAM3DLib.api import segment
        from CTSAM3DLib.mrml import volume_from_node

        volume = ball_volume()
        clicks = {"liver": {"clicks": [[*INSIDE, 1], [*OTHER, 0], [50, 50, 70, 1]]}}
        node = self.logic.segment(volume, clicks)
        expected = segment(volume_from_node(volume), clicks, self.predictor).mask("liver")
        np.testing.assert_array_equal(self.mask(node, volume), expected)

    def test_inference_runs_on_the_one_thread(self):
        self.logic.segment(ball_volume(), {"liver": {"positive": [INSIDE]}})
        (thread,) = self.predictor.threads
        self.assertTrue(thread.startswith("CTSAM3D inference"))

    def test_choice_is_used(self):
        self.logic.segment(
            ball_volume(), {"liver": {"positive": [INSIDE]}}, device="cpu", model="m"
        )
        self.assertEqual(self.loaded, [("m", "cpu")])
        self.assert_engine_at_rest()

    def test_volumes(self):
        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        node.GetSegmentation().AddEmptySegment("empty", "empty")
        expected = self.mask(node, volume).sum() * 12 / 1000
        self.assertEqual(self.logic.volumesCm3(node), {"Liver": expected, "empty": 0.0})

    def test_volumes_of_segments_with_one_name(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        for segment_id in ("a", "b"):
            node.GetSegmentation().AddEmptySegment(segment_id, "liver")
        self.assertEqual(self.logic.volumesCm3(node), {"liver": 0.0, "liver (b)": 0.0})

    def test_result_under_settings_of_the_segment_editor(self):
        # Masks and overwrite mode of a user's editor are for the user's hands.
        editor = self.logic.editorNode()
        editor.SetOverwriteMode(editor.OverwriteAllSegments)
        editor.SetSourceVolumeIntensityMask(True)
        editor.SetSourceVolumeIntensityMaskRange(4000, 5000)
        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        before = self.mask(node, volume)
        self.assertTrue(before.any())
        self.logic.segment(volume, {"spleen": {"positive": [INSIDE]}}, node)
        np.testing.assert_array_equal(self.mask(node, volume, 0), before)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")), 1)


class PlaceTest(ConsoleCase):
    def check(self, volume, ijk=(26, 20, 18), node=None):
        """Click a voxel in the world; the ball is round that voxel."""
        clicks = {"liver": {"positive": [self.world(volume, ijk)]}}
        node = self.logic.segment(volume, clicks, node)
        np.testing.assert_allclose(self.voxel_centre(node, volume), ijk, atol=0.7)
        return node

    def test_oblique_left_handed_volume(self):
        self.assertLess(np.linalg.det(OBLIQUE_LEFT_HANDED[:3, :3]), 0)
        self.check(ball_volume(OBLIQUE_LEFT_HANDED))

    def test_linear_transform(self):
        volume = ball_volume(OBLIQUE_LEFT_HANDED)
        self.under_linear(volume)
        node = self.check(volume)
        self.assertIs(node.GetParentTransformNode(), volume.GetParentTransformNode())

    def test_chain_of_linear_and_grid_transforms(self):
        volume = ball_volume()
        grid = self.under_grid(volume)
        linear = self.linear()
        grid.SetAndObserveTransformNodeID(linear.GetID())
        node = self.check(volume)
        self.assertIs(node.GetParentTransformNode(), grid)

    def test_segmentation_outside_a_grid_transform_is_refused(self):
        volume = ball_volume()
        node = self.logic.segment(volume, {"spleen": {"positive": [INSIDE]}})
        self.under_grid(volume)
        clicks = {"liver": {"positive": [self.world(volume, (26, 20, 18))]}}
        self.assert_scene_untouched(
            NodeError,
            "under the same transform",
            lambda: self.logic.segment(volume, clicks, node),
        )

    def test_segmentation_on_another_grid(self):
        volume = ball_volume()
        coarse = self.coarse_segmentation()
        before = self.mask(coarse, volume)
        self.under_linear(volume)
        coarse.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        clicks = {"liver": {"positive": [self.world(volume, (26, 20, 18))]}}
        self.logic.segment(volume, clicks, coarse)
        np.testing.assert_allclose(self.voxel_centre(coarse, volume, 1), (26, 20, 18), atol=0.7)
        np.testing.assert_array_equal(self.mask(coarse, volume), before)

    def test_empty_segmentation_is_put_in_place(self):
        volume = ball_volume()
        self.under_linear(volume)
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node = self.check(volume, node=empty)
        self.assertIs(node, empty)
        self.assertIs(node.GetParentTransformNode(), volume.GetParentTransformNode())

    def coarse_segmentation(self):
        """Return a segmentation with a painted segment on voxels of 5 mm."""
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(20, 20, 24)
        image.SetSpacing(5, 5, 5)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().GetScalars().Fill(0)
        for k in range(5, 9):
            image.SetScalarComponentFromDouble(10, 10, k, 0, 1)
        segment = slicer.vtkSegment()
        segment.SetName("painted")
        segment.AddRepresentation("Binary labelmap", image)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.GetSegmentation().AddSegment(segment, "painted")
        return node

    def linear(self):
        matrix = vtk.vtkTransform()
        matrix.Translate(100, -30, 20)
        matrix.RotateWXYZ(50, 1, 2, 3)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(matrix.GetMatrix())
        return node

    def under_linear(self, volume):
        node = self.linear()
        volume.SetAndObserveTransformNodeID(node.GetID())
        return node

    def under_grid(self, volume):
        """Shift by 0 to 12 mm along R, the more the higher."""
        grid = vtk.vtkImageData()
        grid.SetDimensions(3, 3, 4)
        grid.SetOrigin(-200, -200, -200)
        grid.SetSpacing(200, 200, 150)
        grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
        for k in range(4):
            for j in range(3):
                for i in range(3):
                    for component, value in enumerate((4.0 * k, 0.0, 0.0)):
                        grid.SetScalarComponentFromDouble(i, j, k, component, value)
        transform = slicer.vtkOrientedGridTransform()
        transform.SetDisplacementGridData(grid)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
        node.SetAndObserveTransformToParent(transform)
        volume.SetAndObserveTransformNodeID(node.GetID())
        return node


class RefiningTest(ConsoleCase):
    def test_same_clicks_again_change_nothing(self):
        volume = ball_volume()
        clicks = {"liver": {"positive": [INSIDE, OTHER]}}
        node = self.logic.segment(volume, clicks)
        before = self.mask(node, volume)
        self.assertIs(self.logic.segment(volume, clicks, node), node)
        np.testing.assert_array_equal(self.mask(node, volume), before)
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 1)

    def test_other_clicks_replace_tag_and_voxels(self):
        volume = ball_volume()
        node = self.logic.segment(
            volume, {"liver": {"positive": [INSIDE]}, "spleen": {"positive": [INSIDE]}}
        )
        spleen = self.mask(node, volume, 1)
        self.logic.segment(volume, {"Liver": {"positive": [OTHER]}}, node)
        np.testing.assert_allclose(
            self.voxel_centre(node, volume), np.array(OTHER) / (2, 2, 3), atol=0.7
        )
        self.assertEqual(
            get_prompts(node, self.segment_id(node)), ClickHistory([Click(OTHER, True)])
        )
        np.testing.assert_array_equal(self.mask(node, volume, 1), spleen)

    def test_painted_segment_is_what_clicks_go_on_from(self):
        volume = ball_volume()
        painted = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        painted.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        painted.GetSegmentation().AddEmptySegment("liver", "liver")
        mask = np.zeros((40, 44, 48), np.uint8)
        mask[18:23, 10:14, 8:12] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, painted, "liver", volume)
        self.logic.segment(volume, {"liver": {"positive": [INSIDE]}}, painted)
        now = self.mask(painted, volume)
        self.assertTrue(now[18:23, 10:14, 8:12].mean() > 0.9)
        self.assertGreater(now.sum(), mask.sum() + 100)

    def test_negative_clicks_alone_refine_a_segment(self):
        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        before = self.mask(node, volume).sum()
        clicks = {"liver": {"clicks": [[*INSIDE, 1], [INSIDE[0] + 8, *INSIDE[1:], 0]]}}
        self.logic.segment(volume, clicks, node)
        self.assertLess(self.mask(node, volume).sum(), before)

    def test_user_may_go_on_by_hand_and_has_no_undo_step_of_ours(self):
        from CTSAM3DModuleLib.editing.target import EditTarget

        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        before = self.mask(node, volume)
        editor = self.logic.editorNode()
        editor.SetAndObserveSegmentationNode(node)
        editor.SetAndObserveSourceVolumeNode(volume)
        target = EditTarget(node, self.segment_id(node), volume, editor)
        click = click_from_world_ras(OTHER, volume)
        prompts = target.stored_prompts().added(click)
        self.logic.controller.put(target, prompts, ModelChoice())
        self.logic.controller.wait()
        self.assertEqual(len(get_prompts(node, self.segment_id(node))), 2)
        undo = self.logic.controller.undo.editor_logic(editor)
        undo.Undo()
        np.testing.assert_array_equal(self.mask(node, volume), before)
        self.assertFalse(undo.CanUndo())

    def test_failure_while_writing_takes_all_back(self):
        from unittest import mock

        from CTSAM3DModuleLib.scripting import segment as console

        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        before = self.mask(node, volume)
        clicks = {"liver": {"positive": [OTHER]}, "spleen": {"positive": [OTHER]}}
        real, calls = console.write_segment, []

        def failing(*arguments, **keywords):
            calls.append(arguments)
            if len(calls) == 2:
                raise NodeError("no more")
            real(*arguments, **keywords)

        with mock.patch.object(console, "write_segment", failing):
            self.assert_scene_untouched(
                NodeError, "no more", lambda: self.logic.segment(volume, clicks, node)
            )
            calls.clear()
            self.assert_scene_untouched(
                NodeError, "no more", lambda: self.logic.segment(volume, clicks)
            )
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 1)
        np.testing.assert_array_equal(self.mask(node, volume), before)
        self.assertEqual(
            get_prompts(node, self.segment_id(node)), ClickHistory([Click(INSIDE, True)])
        )
