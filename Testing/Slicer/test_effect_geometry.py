"""The effect on volumes and segmentations that lie awkwardly; the oracle is Slicer itself."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from ctsam3d_case import CTSAM3DCase
from segmentation_case import SHAPE_KJI, ball_volume, ijk_to_ras
from view_mouse import click_and_wait

OBLIQUE_LEFT_HANDED = np.array(
    [[-1.9, 0.6, 0.0, 40.0], [0.6, 1.9, 0.0, -30.0], [0.0, 0.0, 3.0, 20.0], [0, 0, 0, 1.0]]
)
PERMUTED = np.array([[0, 0, 2.5, -20.0], [2.0, 0, 0, 10.0], [0, -2.0, 0, 30.0], [0, 0, 0, 1.0]])
SHIFT_AND_TURN = np.array(
    [[0.9063, -0.4226, 0.0, 60.0], [0.4226, 0.9063, 0.0, -20.0], [0, 0, 1.0, 15.0], [0, 0, 0, 1.0]]
)


def linear(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def warp(size_mm=4.0):
    """Return a grid transform that bends smoothly."""
    grid = vtk.vtkImageData()
    grid.SetDimensions(6, 6, 6)
    grid.SetOrigin(-60, -60, -60)
    grid.SetSpacing(60, 60, 60)
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    array = vtk.util.numpy_support.vtk_to_numpy(grid.GetPointData().GetScalars())
    k, j, i = np.indices((6, 6, 6)).reshape(3, -1)
    array[:] = size_mm * np.stack([np.sin(j), np.cos(k), np.sin(i)], axis=1)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetInterpolationModeToLinear()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    node.SetAndObserveTransformFromParent(transform)
    return node


class GeometryTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = None

    def tearDown(self):
        if self.case is not None:
            self.case.close()

    def start(self, matrix=None, volume_transform=None, segmentation_transform=None):
        volume = ball_volume(matrix)
        volume.SetAndObserveTransformNodeID(volume_transform and volume_transform.GetID())
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.case = CTSAM3DCase(volume)
        parent = segmentation_transform
        self.case.segmentation.SetAndObserveTransformNodeID(parent and parent.GetID())
        self.case.settle()
        return self.world([n / 2 for n in SHAPE_KJI[::-1]])

    def world(self, ijk):
        """Return where a voxel of the volume lies in the world, by Slicer's own transform."""
        ras = ijk_to_ras(self.case.volume).MultiplyPoint([*ijk, 1.0])[:3]
        parent = self.case.volume.GetParentTransformNode()
        if parent is None:
            return np.array(ras)
        to_world = vtk.vtkGeneralTransform()
        parent.GetTransformToWorld(to_world)
        return np.array(to_world.TransformPoint(ras))

    def found(self):
        """Return the centre of the segment in the world, by Slicer's own functions."""
        centre = [0.0, 0.0, 0.0]
        segmentation = self.case.segmentation
        segmentation.GetSegmentCenter("organ", centre)
        parent = segmentation.GetParentTransformNode()
        if parent is None:
            return np.array(centre)
        to_world = vtk.vtkGeneralTransform()
        parent.GetTransformToWorld(to_world)
        return np.array(to_world.TransformPoint(centre))

    def check(self, middle, tolerance_mm=3.0):
        hit = click_and_wait(self.case, middle)
        self.assertEqual(self.case.effect.editor.status.kind, "done")
        np.testing.assert_allclose(self.found(), hit, atol=tolerance_mm)
        (made,) = self.case.clicks()
        ijk = np.linalg.inv(slicer.util.arrayFromVTKMatrix(ijk_to_ras(self.case.volume))) @ [
            *made.position_ras,
            1.0,
        ]
        np.testing.assert_allclose(self.world(ijk[:3]), hit, atol=0.01)
        marker = [0.0, 0.0, 0.0]
        self.case.effect.editor.markers.node(True).GetNthControlPointPositionWorld(0, marker)
        np.testing.assert_allclose(marker, hit, atol=0.01)

    def test_volumes_that_lie_in_any_way(self):
        for name, matrix in (("oblique", OBLIQUE_LEFT_HANDED), ("permuted", PERMUTED)):
            with self.subTest(name=name):
                self.tearDown()
                slicer.mrmlScene.Clear()
                self.check(self.start(matrix))

    def test_linear_transforms_on_volume_and_segmentation(self):
        for on_volume in (False, True):
            for on_segmentation in (False, True):
                with self.subTest(on_volume=on_volume, on_segmentation=on_segmentation):
                    self.tearDown()
                    slicer.mrmlScene.Clear()
                    first = linear(SHIFT_AND_TURN) if on_volume else None
                    second = linear(SHIFT_AND_TURN @ SHIFT_AND_TURN) if on_segmentation else None
                    self.check(self.start(None, first, second))

    def test_a_bent_volume_with_its_segmentation_under_the_same_transform(self):
        bent = warp()
        self.check(self.start(None, bent, bent), tolerance_mm=4.0)

    def test_a_bent_volume_alone_is_refused_in_words(self):
        middle = self.start(None, warp(), None)
        click_and_wait(self.case, middle)
        status = self.case.effect.editor.status
        self.assertEqual(status.kind, "error")
        self.assertIn("same transform", status.text)
        self.assertEqual(len(self.case.clicks()), 0)
        self.assertEqual(self.case.effect.editor.markers.node(True).GetNumberOfControlPoints(), 0)

    def test_moving_the_volume_moves_the_clicks_along(self):
        middle = self.start()
        self.check(middle)
        parent = linear(SHIFT_AND_TURN)
        for node in (self.case.volume, self.case.segmentation):
            node.SetAndObserveTransformNodeID(parent.GetID())
        moved = SHIFT_AND_TURN @ [*middle, 1.0]
        self.case.effect.editor.refresh()
        marker = [0.0, 0.0, 0.0]
        self.case.effect.editor.markers.node(True).GetNthControlPointPositionWorld(0, marker)
        np.testing.assert_allclose(marker, moved[:3], atol=1.5)
        np.testing.assert_allclose(self.found(), moved[:3], atol=3.0)

    def test_a_segmentation_with_finer_voxels(self):
        middle = self.start()
        logic = slicer.vtkSlicerSegmentationGeometryLogic()
        logic.SetInputSegmentationNode(self.case.segmentation)
        logic.SetSourceGeometryNode(self.case.volume)
        logic.SetOversamplingFactor(2.0)
        logic.CalculateOutputGeometry()
        logic.SetReferenceImageGeometryInSegmentationNode()
        self.check(middle)
        labelmap = slicer.vtkOrientedImageData()
        self.case.segmentation.GetBinaryLabelmapRepresentation("organ", labelmap)
        np.testing.assert_allclose(labelmap.GetSpacing(), (1.0, 1.0, 1.5), atol=1e-6)
        click_and_wait(self.case, np.add(middle, (16.0, 0.0, 0.0)))
        self.assertEqual(len(self.case.clicks()), 2)
        self.assertGreater(self.found()[0], middle[0] + 3.0)
