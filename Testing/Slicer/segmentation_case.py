"""A volume, a segmentation and a Segment Editor on it; the same here and in Slicer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import slicer

SHAPE_KJI = (40, 44, 48)
SPACING = (2.0, 2.0, 3.0)


@lru_cache(maxsize=1)
def _ball() -> np.ndarray:
    kji = np.indices(SHAPE_KJI)
    centre = np.array(SHAPE_KJI).reshape(3, 1, 1, 1) / 2
    return np.where(np.linalg.norm(kji - centre, axis=0) < 15, 50, -1000).astype(np.int16)


def ball_volume(ijk_to_ras: np.ndarray | None = None) -> Any:
    """Add a volume that is -1000 outside and 50 inside a ball, shown in the slice views."""
    matrix = np.diag([*SPACING, 1.0]) if ijk_to_ras is None else ijk_to_ras
    volume = slicer.util.addVolumeFromArray(_ball(), matrix, "CT")
    volume.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


class SegmentationCase:
    """A segmentation with the segments "organ" and "other" in an editor widget of its own."""

    def __init__(self, volume: Any | None = None) -> None:
        self.volume = volume or ball_volume()
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        for name in ("organ", "other"):
            self.segmentation.GetSegmentation().AddEmptySegment(name, name)
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.node.SetOverwriteMode(self.node.OverwriteNone)
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.editor.setMRMLSegmentEditorNode(self.node)
        self.editor.setSegmentationNode(self.segmentation)
        self.editor.setSourceVolumeNode(self.volume)
        self.editor.setCurrentSegmentID("organ")

    def activate(self, name: str = "Headless example") -> Any:
        """Activate an effect and return its Python object."""
        self.editor.setActiveEffectByName(name)
        effect = self.editor.activeEffect()
        return effect.self() if effect is not None else None

    def mask(self, segment_id: str = "organ") -> np.ndarray:
        """Return a segment as bool array on the volume."""
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(
            self.segmentation, segment_id, self.volume
        )
        return labels > 0

    def centre_ras(self, segment_id: str = "organ") -> np.ndarray:
        """Return the centre of gravity of a segment in RAS."""
        ijk = np.argwhere(self.mask(segment_id)).mean(axis=0)[::-1]
        matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras(self.volume))
        return matrix[:3, :3] @ ijk + matrix[:3, 3]

    def close(self) -> None:
        """End the editor: one that stays follows the scene of every later test."""
        self.editor.setActiveEffect(None)
        self.editor.setMRMLScene(None)
        self.editor.deleteLater()


def ijk_to_ras(volume: Any) -> Any:
    """Return the matrix of a volume."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix
