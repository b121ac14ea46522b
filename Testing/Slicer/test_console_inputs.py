"""What the console takes, refuses and tells: errors, progress, Markups."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import slicer
import vtk
from console_case import INSIDE, OTHER, OUTSIDE, ConsoleCase
from segmentation_case import ball_volume

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.errors import (
    ClickOutsideVolumeError,
    ClicksFileError,
    DeviceError,
    GeometryError,
    NodeError,
    VolumeError,
)
from CTSAM3DLib.mrml import get_prompts
from CTSAM3DLib.prompts import Click, ClickHistory, Scribble


class ScribbleTest(ConsoleCase):
    """Prompts in the world, in files (RAS of the volume) and as Markups mean the same."""

    def test_same_stroke_in_every_way(self):
        volume = ball_volume()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, 3] = (5.0, -3.0, 2.0)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        line_ras = np.array([OTHER, INSIDE])
        line_world = (line_ras + matrix[:3, 3]).tolist()
        curve = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode", "stroke")
        curve.SetCurveTypeToLinear()
        for corner in line_world:
            curve.AddControlPointWorld(corner)
        stroke = Scribble(tuple(map(tuple, line_ras)))
        ways = [
            {"liver": {"scribbles": [{"line": line_world, "positive": True}]}},
            {"liver": ClickHistory([stroke])},
            {"liver": curve},
        ]
        for clicks in ways:
            node = self.logic.segment(volume, clicks)
            (kept,) = get_prompts(node, self.segment_id(node))
            np.testing.assert_allclose(np.array(kept.line_ras)[[0, -1]], line_ras, atol=1e-4)
            mask = self.mask(node, volume)
            self.assertTrue(mask[20, 22, 15])
            self.assertTrue(mask[20, 22, 23])

    def test_same_lasso_and_box_in_every_way(self):
        volume = ball_volume()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, 3] = (5.0, -3.0, 2.0)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        corners_ras = np.add(INSIDE, [(-3, -3, 0), (3, -3, 0), (0, 3, 0)])
        corners_world = (corners_ras + matrix[:3, 3]).tolist()
        closed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsClosedCurveNode", "curve")
        closed.SetCurveTypeToLinear()
        for corner in corners_world:
            closed.AddControlPointWorld(corner)
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
        roi.SetSize(40.0, 40.0, 40.0)
        middle_world = np.array(INSIDE) + matrix[:3, 3]
        roi.SetCenterWorld(middle_world)
        edges = np.diag([40.0] * 3).tolist()
        box = {"middle": middle_world.tolist(), "edges": edges, "positive": True}
        ways = [
            {"liver": [roi, closed]},
            {
                "liver": {
                    "prompts": [
                        {"kind": "box", **box},
                        {"kind": "lasso", "line": corners_world, "positive": True},
                    ]
                }
            },
        ]
        for clicks in ways:
            node = self.logic.segment(volume, clicks)
            kept_box, kept_lasso = get_prompts(node, self.segment_id(node))
            np.testing.assert_allclose(kept_box.middle_ras, INSIDE, atol=1e-4)
            np.testing.assert_allclose(kept_box.edges_ras, edges, atol=1e-4)
            for corner in corners_ras:
                gaps = np.linalg.norm(np.array(kept_lasso.line_ras) - corner, axis=1)
                self.assertLess(gaps.min(), 1e-3)
            self.assertTrue(self.mask(node, volume).any())

    def test_stroke_that_leaves_the_volume(self):
        volume = ball_volume()
        clicks = {"liver": {"scribbles": [{"line": [INSIDE, OUTSIDE], "positive": True}]}}
        self.assert_scene_untouched(
            ClickOutsideVolumeError,
            "structure 'liver', click 1: ",
            lambda: self.logic.segment(volume, clicks),
        )


class RefusalTest(ConsoleCase):
    def refused(self, error, pattern, clicks, **options):
        volume = ball_volume()
        self.assert_scene_untouched(
            error, pattern, lambda: self.logic.segment(volume, clicks, **options)
        )

    def test_click_outside(self):
        good = {"positive": [INSIDE]}
        self.refused(
            ClickOutsideVolumeError,
            "structure 'spleen', click 2: ",
            {"liver": good, "spleen": {"positive": [INSIDE, OUTSIDE]}},
        )
        self.assertEqual(self.predictor.encoded, 0)

    def test_malformed_clicks(self):
        for clicks, pattern in (
            ({}, "at least one structure"),
            ([], "got nothing"),
            (3, "got int"),
            ({"": {"positive": [INSIDE]}}, "a name for every structure"),
            ({"\ud800": {"positive": [INSIDE]}}, "a name in Unicode"),
            ({"liver": {"positive": []}}, "expected clicks, got none"),
            ({"liver": {"positive": [[1, 2]]}}, "expected 3 numbers"),
            ({"liver": [[1, 2, 3]]}, "structure 'liver': expected an object, got a list"),
            ({"liver": {"negative": [INSIDE]}}, "has no positive click"),
            (
                {"liver": {"positive": [INSIDE]}, "Liver": {"positive": [INSIDE]}},
                "expected every structure once, got 'liver' and 'Liver'",
            ),
            ("no such file.json", "expected a readable clicks file"),
        ):
            with self.subTest(pattern):
                self.refused(ClicksFileError, pattern, clicks)

    def test_unknown_device(self):
        self.refused(DeviceError, "tpu", {"liver": {"positive": [INSIDE]}}, device="tpu")
        self.assert_engine_at_rest()

    def test_failing_model(self):
        self.predictor.fail_next = RuntimeError("out of memory")
        self.refused(RuntimeError, "out of memory", {"liver": {"positive": [INSIDE]}})

    def test_missing_torch(self):
        def load(model, device):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

        self.logic.setEngine(SegmentationEngine(load))
        self.refused(ImportError, "PyTorch is needed", {"liver": {"positive": [INSIDE]}})

    def test_wrong_nodes(self):
        clicks = {"liver": {"positive": [INSIDE]}}
        with self.assertRaisesRegex(NodeError, "a node of the scene, got None"):
            self.logic.segment(None, clicks)
        with self.assertRaisesRegex(VolumeError, "without an image"):
            empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
            self.logic.segment(empty, clicks)
        volume = ball_volume()
        with self.assertRaisesRegex(NodeError, "expected a vtkMRMLSegmentationNode"):
            self.logic.segment(volume, clicks, volume)
        with self.assertRaisesRegex(NodeError, "a node of the scene, got 'S'"):
            self.logic.segment(volume, clicks, "S")

    def test_nodes_of_another_kind(self):
        clicks = {"liver": {"positive": [INSIDE]}}
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "liver")
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        for node in (points, segmentation):
            with self.assertRaisesRegex(VolumeError, "a volume node, got vtkMRML"):
                self.logic.segment(node, clicks)
            with self.assertRaisesRegex(VolumeError, "a volume node, got vtkMRML"):
                self.logic.segmentSequence([node], clicks)
        for node in ("CT", 3, np.zeros((3, 3, 3))):
            with self.assertRaisesRegex(NodeError, "expected a node of the scene, got"):
                self.logic.segment(node, clicks)
        for node in (None, "CT", points):
            with self.assertRaisesRegex(NodeError, "expected a vtkMRMLSegmentationNode"):
                self.logic.volumesCm3(node)

    def test_segmentation_of_surfaces(self):
        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        node.CreateClosedSurfaceRepresentation()
        node.GetSegmentation().SetSourceRepresentationName("Closed surface")
        with self.assertRaisesRegex(NodeError, "to be stored as"):
            self.logic.segment(volume, {"spleen": {"positive": [INSIDE]}}, node)
        with self.assertRaisesRegex(NodeError, "to be stored as"):
            self.logic.volumesCm3(node)

    def test_voxels_that_are_no_hu_are_told(self):
        volume = ball_volume()
        slicer.util.updateVolumeFromArray(volume, np.full((40, 44, 48), 7, np.int16))
        with self.assertLogs(level="WARNING") as log:
            self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        self.assertIn('"CT": all voxels alike', log.output[0])


class ProgressTest(ConsoleCase):
    CLICKS = {name: {"positive": [INSIDE]} for name in ("liver", "spleen", "aorta")}  # noqa: RUF012

    def test_progress(self):
        told = []
        self.logic.segment(ball_volume(), self.CLICKS, progress=lambda *step: told.append(step))
        self.assertEqual(told, [("liver", 1, 3), ("spleen", 2, 3), ("aorta", 3, 3)])

    def test_cancel_writes_nothing(self):
        volume = ball_volume()
        before = self.scene_text()
        told = []
        node = self.logic.segment(
            volume, self.CLICKS, progress=lambda *step: told.append(step) or len(told) < 2
        )
        self.assertIsNone(node)
        self.assertEqual(len(told), 2)
        self.assertEqual(self.scene_text(), before)
        self.assert_engine_at_rest()

    def test_nodes_that_are_removed_in_progress(self):
        volume = ball_volume()
        node = self.logic.segment(volume, {"liver": {"positive": [INSIDE]}})
        for removed in (node, volume):
            with self.assertRaisesRegex(NodeError, "a node of the scene, got"):
                self.logic.segment(
                    volume,
                    {"spleen": {"positive": [INSIDE]}},
                    node if removed is node else None,
                    progress=lambda *_, removed=removed: slicer.mrmlScene.RemoveNode(removed),
                )
            self.assertFalse(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))

    def test_failing_progress_writes_nothing(self):
        def progress(name, done, total):
            raise ZeroDivisionError

        volume = ball_volume()
        self.assert_scene_untouched(
            ZeroDivisionError,
            "",
            lambda: self.logic.segment(volume, self.CLICKS, progress=progress),
        )


class MarkupsTest(ConsoleCase):
    def points(self, name, *positions):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        for position in positions:
            node.AddControlPointWorld(position)
        return node

    def clicks(self, node, number=0):
        return list(get_prompts(node, self.segment_id(node, number)))

    def test_lists_that_name_their_structures(self):
        volume = ball_volume()
        inside = self.points("liver", INSIDE, OTHER)
        outside = self.points("liver negative", (50, 50, 60))
        spleen = self.points("spleen", INSIDE)
        node = self.logic.segment(volume, [inside, outside, spleen])
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertEqual(
            self.clicks(node), [Click(INSIDE), Click(OTHER), Click((50, 50, 60), False)]
        )

    def test_one_list(self):
        node = self.logic.segment(ball_volume(), self.points("liver", INSIDE))
        self.assertEqual(self.clicks(node), [Click(INSIDE)])

    def test_names_given_apart(self):
        volume = ball_volume()
        inside, outside = self.points("F", INSIDE), self.points("F negative", OTHER)
        node = self.logic.segment(volume, {"liver": [inside, outside], "spleen": inside})
        self.assertEqual(self.clicks(node), [Click(INSIDE), Click(OTHER, False)])
        self.assertEqual(self.clicks(node, 1), [Click(INSIDE)])

    def test_transforms_of_points_and_volume(self):
        volume = ball_volume()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 100.0)
        transform.SetMatrixTransformToParent(matrix)
        points = self.points("liver", INSIDE)
        points.SetAndObserveTransformNodeID(transform.GetID())
        volume.SetAndObserveTransformNodeID(transform.GetID())
        self.assertEqual(self.clicks(self.logic.segment(volume, points)), [Click(INSIDE)])

    def test_other_markups_and_nameless_lists_are_refused(self):
        volume = ball_volume()
        line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "liver")
        line.AddControlPointWorld(INSIDE)
        nameless = self.points("F", INSIDE)
        outside = self.points("spleen", OUTSIDE)
        unplaced = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
        for clicks, error, pattern in (
            (line, ClicksFileError, "expected a point list"),
            ({"liver": line}, ClicksFileError, "expected a point list"),
            (nameless, ClicksFileError, "expected the structure as its label"),
            (outside, ClickOutsideVolumeError, "structure 'spleen', click 1"),
            ({"spleen": outside}, ClickOutsideVolumeError, "'spleen', .*control point 0"),
            ({"spleen": unplaced}, GeometryError, "structure 'spleen', \"R\": a box needs"),
            (unplaced, ClicksFileError, "a point list, .* comes with the name of its structure"),
            (self.points("liver"), ClicksFileError, "at least one structure"),
        ):
            with self.subTest(pattern):
                self.assert_scene_untouched(
                    error, pattern, lambda clicks=clicks: self.logic.segment(volume, clicks)
                )

    def test_unplaced_points_are_passed_over(self):
        points = self.points("liver", INSIDE, OTHER)
        points.UnsetNthControlPointPosition(1)
        node = self.logic.segment(ball_volume(), points)
        self.assertEqual(self.clicks(node), [Click(INSIDE)])

    def test_clicks_file_is_in_the_frame_of_the_volume(self):
        volume = ball_volume()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(1, 3, -300.0)
        transform.SetMatrixTransformToParent(matrix)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        content = {
            "coordinate_system": "RAS",
            "structures": {"liver": {"positive": [list(INSIDE)]}},
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "clicks.json")
            path.write_text(json.dumps(content))
            node = self.logic.segment(volume, path)
            self.assertEqual(self.clicks(node), [Click(INSIDE)])
            node = self.logic.segment(volume, {"liver": ClickHistory([Click(INSIDE)])})
            self.assertEqual(self.clicks(node), [Click(INSIDE)])
            content["structures"]["liver"]["positive"] = [OUTSIDE]
            path.write_text(json.dumps(content))
            self.assert_scene_untouched(
                ClickOutsideVolumeError,
                "structure 'liver', click 1",
                lambda: self.logic.segment(volume, str(path)),
            )
