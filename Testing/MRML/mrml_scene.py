"""A MRML scene and independent ways to fill and read it; imports slicer and vtk."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

LABELMAP = "Binary labelmap"


class MrmlScene:
    """A scene and ways to fill it that do not go through the code under test."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self.application.GetColorLogic().SetMRMLScene(self.scene)
        self.logics = [
            self._logic(name, application=self.application)
            for name in ("vtkSlicerMarkupsLogic", "vtkSlicerSegmentationsModuleLogic")
        ]
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

    def _logic(self, name: str, application: Any) -> Any:
        logic = getattr(slicer, name)()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(self.scene)
        return logic

    def volume(self, array_kji: np.ndarray, ijk_to_ras: np.ndarray, name: str = "CT") -> Any:
        """Add a scalar volume with these voxels at this place."""
        image = vtk.vtkImageData()
        image.SetDimensions(*array_kji.shape[::-1])
        values = numpy_to_vtk(np.ascontiguousarray(array_kji).ravel(), deep=True)
        image.GetPointData().SetScalars(values)
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras))
        node.SetAndObserveImageData(image)
        return node

    def points(self, name: str = "F") -> Any:
        """Add a point list."""
        return self.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)

    def linear(self, matrix: np.ndarray, *nodes: Any, parent: Any = None) -> Any:
        """Add a linear transform above the nodes."""
        node = self.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Linear")
        node.SetMatrixTransformToParent(vtk_matrix(matrix))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        for one in nodes:
            one.SetAndObserveTransformNodeID(node.GetID())
        return node

    def non_linear(self, transform: Any, *nodes: Any) -> Any:
        """Add a non-linear transform to parent above the nodes."""
        node = self.scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
        node.SetAndObserveTransformToParent(transform)
        for one in nodes:
            one.SetAndObserveTransformNodeID(node.GetID())
        return node

    def segmentation(self, volume: Any = None) -> Any:
        """Add a segmentation with a display node; with the reference geometry of a volume."""
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
        node.CreateDefaultDisplayNodes()
        if volume is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        return node

    def editor(self, segmentation: Any, volume: Any, overwrite: int | None = None) -> Any:
        """Return a segment editor logic with its own editor node; overwrites nothing."""
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        if overwrite is None:
            overwrite = slicer.vtkMRMLSegmentEditorNode.OverwriteNone
        node.SetOverwriteMode(overwrite)
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLScene(self.scene)
        logic.SetSegmentEditorNode(node)
        logic.SetSegmentationNode(segmentation)
        logic.SetSourceVolumeNode(volume)
        return logic

    def stored_segment(
        self, segmentation: Any, name: str, mask_kji: np.ndarray, ijk_to_segmentation: np.ndarray
    ) -> str:
        """Add a segment whose labelmap has this content and place."""
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*mask_kji.shape[::-1])
        image.SetGeometryFromImageToWorldMatrix(vtk_matrix(ijk_to_segmentation))
        labels = np.ascontiguousarray(mask_kji, dtype=np.uint8).ravel()
        image.GetPointData().SetScalars(numpy_to_vtk(labels, deep=True))
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation(LABELMAP, image)
        assert segmentation.GetSegmentation().AddSegment(segment, name)
        return name

    def exported(self, segmentation: Any, segment_id: str, volume: Any) -> np.ndarray:
        """Return a segment on the voxels of a volume, resampled by Slicer (the oracle)."""
        label = self.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        ids = vtk.vtkStringArray()
        ids.InsertNextValue(segment_id)
        done = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
            segmentation, ids, label, volume
        )
        assert done
        image = label.GetImageData()
        shape = image.GetDimensions()[::-1]
        array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) > 0
        self.scene.RemoveNode(label)
        assert shape == volume.GetImageData().GetDimensions()[::-1]
        return array


def vtk_matrix(values: np.ndarray) -> Any:
    """Return a (4, 4) array as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(values[row][column]))
    return matrix


def rigid(axis: tuple[float, float, float], degrees: float, shift: tuple[float, float, float]):
    """Return a rotation about an axis followed by a shift, (4, 4)."""
    transform = vtk.vtkTransform()
    transform.Translate(*shift)
    transform.RotateWXYZ(degrees, *axis)
    matrix = transform.GetMatrix()
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def world_voxels(segmentation: Any, segment_id: str) -> np.ndarray:
    """Return the world positions of a segment's stored voxels, sorted, by matrices alone."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    labels = vtk_to_numpy(image.GetPointData().GetScalars())
    labels = labels.reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    k, j, i = np.nonzero(labels == segment.GetLabelValue())
    to_world = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(to_world)
    parent = segmentation.GetParentTransformNode()
    if parent is not None:
        above = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(above)
        vtk.vtkMatrix4x4.Multiply4x4(above, to_world, to_world)
    matrix = np.array([[to_world.GetElement(r, c) for c in range(4)] for r in range(4)])
    return sorted_points(np.stack([i + i0, j + j0, k + k0], axis=-1), matrix)


def sorted_points(ijk: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return voxels through a matrix, in an order that rounding does not change."""
    points = ijk @ matrix[:3, :3].T + matrix[:3, 3]
    key = np.round(points @ [1.0, 1e3, 1e6], 1)
    return points[np.argsort(key)]


def layer_matrix(segmentation: Any, segment_id: str) -> np.ndarray:
    """Return the voxel -> segmentation RAS matrix of a segment's stored labelmap."""
    image = segmentation.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
