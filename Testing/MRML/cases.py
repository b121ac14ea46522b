"""A volume with three segments and an editor, on which the writing of segments is tested."""

from __future__ import annotations

import numpy as np
import slicer

from CTSAM3DLib.geometry.grid import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml.segments import SegmentTarget
from CTSAM3DLib.prompts import Click, ClickHistory
from Testing.MRML.mrml_scene import rigid

OBLIQUE_LEFT_HANDED = rigid((1, 2, 3), 25, (10, -20, 30)) @ np.diag([-0.8, 0.9, 2.5, 1])
MOVED = rigid((3, 1, -2), 70, (100, 30, -80))
TILTED = rigid((0, 1, 0), -35, (-15, 5, 60))
SHAPE = (20, 22, 24)
EDITOR = slicer.vtkMRMLSegmentEditorNode
EDIT = slicer.vtkMRMLSegmentationNode


def box(k, j, i):
    """Return a mask of SHAPE that is True between the given (start, stop) pairs."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[slice(*k), slice(*j), slice(*i)] = True
    return mask


def ball(centre_kji, radius):
    grid = np.indices(SHAPE).reshape(3, -1).T - np.array(centre_kji)
    return (np.linalg.norm(grid, axis=1) <= radius).reshape(SHAPE)


OLD, NEW = ball((8, 9, 10), 6.2), ball((10, 12, 13), 6.2)
CONTAINER = box((5, 18), (7, 21), (4, 16))
NEIGHBOUR = box((9, 12), (9, 20), (15, 22))


def history(*positions):
    """Return positive clicks at these RAS positions."""
    return ClickHistory([Click(position) for position in positions])


def changed_box(old, new):
    """Return what a session returns for a step from one mask to the next."""
    bbox = BoundingBox.from_mask(old ^ new)
    return MaskUpdate(new[bbox.slices_kji], bbox)


class Case:
    """A volume, a segmentation with a segment, a container and a neighbour, and an editor."""

    def __init__(self, mrml, on_volume=None, on_segmentation=None, ijk_to_ras=OBLIQUE_LEFT_HANDED):
        self.mrml = mrml
        self.hu = np.random.default_rng(2).integers(-1000, 1000, SHAPE).astype(np.int16)
        self.volume = mrml.volume(self.hu, ijk_to_ras)
        self.segmentation = mrml.segmentation()
        above_volume, above_segmentation = np.eye(4), np.eye(4)
        if on_volume is not None:
            mrml.linear(on_volume, self.volume)
            above_volume = on_volume
        if on_segmentation is not None:
            mrml.linear(on_segmentation, self.segmentation)
            above_segmentation = on_segmentation
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.ijk_to_world = above_volume @ ijk_to_ras
        self.ijk_to_segmentation = np.linalg.inv(above_segmentation) @ self.ijk_to_world
        for name, mask in [("organ", OLD), ("container", CONTAINER), ("neighbour", NEIGHBOUR)]:
            mrml.stored_segment(self.segmentation, name, mask, self.ijk_to_segmentation)
        self.logic = mrml.editor(self.segmentation, self.volume)
        self.node = self.logic.GetSegmentEditorNode()
        self.target = self.of("organ")

    def of(self, segment_id):
        return SegmentTarget(self.segmentation, segment_id, self.volume, self.logic)

    def read(self, segment_id="organ"):
        """Return a segment on the volume as Slicer exports it."""
        reference = self.volume
        parents = (self.volume.GetParentTransformNode(), self.segmentation.GetParentTransformNode())
        if None not in parents and parents[0] is not parents[1]:
            # Slicer's export takes two different linear parents for a warp and resamples twice:
            # wrong at the border. So give it the volume in the frame of the segmentation.
            reference = self.mrml.volume(self.hu, self.ijk_to_segmentation)
            reference.SetAndObserveTransformNodeID(parents[1].GetID())
        return self.mrml.exported(self.segmentation, segment_id, reference)

    def share_labelmaps(self):
        self.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)

    def layers(self):
        segmentation = self.segmentation.GetSegmentation()
        return segmentation.GetNumberOfLayers()


def set_mask(case, mask):
    """Limit editing; return where it is allowed, by numpy."""
    if mask == "inside":
        case.node.SetMaskMode(EDIT.EditAllowedInsideSingleSegment)
        case.node.SetMaskSegmentID("container")
        return CONTAINER
    if mask == "outside":
        case.node.SetMaskMode(EDIT.EditAllowedOutsideAllSegments)
        return ~(CONTAINER | NEIGHBOUR)
    if mask == "intensity":
        case.node.SetSourceVolumeIntensityMask(True)
        case.node.SetSourceVolumeIntensityMaskRange(-300, 500)
        return (case.hu >= -300) & (case.hu <= 500)
    return np.ones(SHAPE, dtype=bool)
