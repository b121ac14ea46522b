"""Writing into segmentations whose voxels are not those of the volume."""

from __future__ import annotations

import numpy as np
import pytest
from slow_values import slow

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")

from CTSAM3DLib.mrml.segments import SegmentTarget  # noqa: E402
from CTSAM3DLib.mrml.tags import get_prompts  # noqa: E402
from CTSAM3DLib.mrml.writing import write_segment  # noqa: E402
from CTSAM3DLib.prompts import Click, ClickHistory  # noqa: E402
from Testing.MRML.cases import (  # noqa: E402
    CONTAINER,
    EDIT,
    EDITOR,
    MOVED,
    NEIGHBOUR,
    NEW,
    OBLIQUE_LEFT_HANDED,
    OLD,
    SHAPE,
    TILTED,
    changed_box,
)
from Testing.MRML.mrml_scene import (  # noqa: E402
    layer_matrix,
    sorted_points,
    vtk_matrix,
    world_voxels,
)

GEOMETRY = "Reference image geometry"


class Grid:
    """A lattice given by spacing and origin in voxels of the volume."""

    def __init__(self, spacing, origin, size):
        self.to_volume = np.diag([*spacing, 1.0])
        self.to_volume[:3, 3] = origin
        self.shape = size[::-1]
        k, j, i = np.indices(self.shape)
        self.at_ijk = np.stack([i, j, k], axis=-1) @ self.to_volume[:3, :3].T + origin

    def sample(self, mask):
        """Return a mask of the volume at the voxel centres; False outside."""
        i, j, k = np.moveaxis(np.floor(self.at_ijk + 0.5).astype(int), -1, 0)
        inside = (i >= 0) & (j >= 0) & (k >= 0)
        inside &= (k < SHAPE[0]) & (j < SHAPE[1]) & (i < SHAPE[2])
        values = mask[np.where(inside, k, 0), np.where(inside, j, 0), np.where(inside, i, 0)]
        return values & inside


FINE = Grid((0.5, 0.5, 0.5), (-0.25, -0.25, -0.25), (48, 44, 40))
COARSE = Grid((1.7, 1.3, 0.6), (-3.13, -2.21, -1.17), (20, 22, 40))
CROPPED = Grid((1.0, 1.0, 1.0), (3.0, 2.0, 1.0), (21, 20, 19))


class Case:
    """A volume whose HU are 100 times i, a segmentation on any grid, and an editor."""

    def __init__(self, mrml, reference, stored, transforms=(None, None)):
        self.mrml = mrml
        hu = np.broadcast_to(100 * np.arange(SHAPE[2]), SHAPE).astype(np.int16)
        self.volume, self.segmentation = mrml.volume(hu, OBLIQUE_LEFT_HANDED), mrml.segmentation()
        above = [np.eye(4) if one is None else one for one in transforms]
        for node, matrix in zip((self.volume, self.segmentation), transforms, strict=True):
            if matrix is not None:
                mrml.linear(matrix, node)
        self.volume_to_world = above[0] @ OBLIQUE_LEFT_HANDED
        self.to_segmentation = np.linalg.inv(above[1]) @ self.volume_to_world
        if reference is not None:
            self.set_reference(reference)
        for name, (grid, mask) in stored.items():
            lattice = self.to_segmentation @ grid.to_volume
            mrml.stored_segment(self.segmentation, name, grid.sample(mask), lattice)
        self.logic = mrml.editor(self.segmentation, self.volume)
        self.node = self.logic.GetSegmentEditorNode()

    def set_reference(self, grid):
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*grid.shape[::-1])
        image.SetGeometryFromImageToWorldMatrix(vtk_matrix(self.to_segmentation @ grid.to_volume))
        text = slicer.vtkSegmentationConverter.SerializeImageGeometry(image)
        self.segmentation.GetSegmentation().SetConversionParameter(GEOMETRY, text)

    def write(self, mask, segment_id="organ", clicks=None):
        target = SegmentTarget(self.segmentation, segment_id, self.volume, self.logic)
        write_segment(target, mask, clicks)

    def check(self, segment_id, grid, expected):
        """Compare the stored voxels with a mask on a grid by their places in the world."""
        lattice = self.volume_to_world @ grid.to_volume
        places = sorted_points(np.argwhere(expected)[:, ::-1], lattice)
        found = world_voxels(self.segmentation, segment_id)
        assert found.shape == places.shape
        np.testing.assert_allclose(found, places, atol=1e-3)


VOLUME = Grid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), SHAPE[::-1])
RANGE = (730, 1580)


def set_mask(case, mask, grid):
    """Limit editing; return where it is allowed on a grid, by numpy."""
    if mask == "inside":
        case.node.SetMaskMode(EDIT.EditAllowedInsideSingleSegment)
        case.node.SetMaskSegmentID("container")
        return grid.sample(CONTAINER)
    if mask == "outside":
        case.node.SetMaskMode(EDIT.EditAllowedOutsideAllSegments)
        return ~grid.sample(CONTAINER)
    if mask == "intensity":
        case.node.SetSourceVolumeIntensityMask(True)
        case.node.SetSourceVolumeIntensityMaskRange(*RANGE)
        hu = 100 * grid.at_ijk[..., 0]
        assert np.abs(np.subtract.outer(hu, RANGE)).min() > 1  # interpolation rounds to int16
        return (hu > RANGE[0]) & (hu < RANGE[1])
    return np.ones(grid.shape, dtype=bool)


def parts():
    return pytest.mark.parametrize("part", ["full", "cropped"])


def masks():
    return pytest.mark.parametrize("mask", ["inside", "intensity", *slow("none", "outside")])


def given(part):
    return NEW if part == "full" else changed_box(OLD, NEW)


@parts()
@masks()
@pytest.mark.parametrize("transforms", [(None, None), (MOVED, TILTED)])
def test_oversampled_segmentations_are_exact(mrml, transforms, mask, part):
    stored = {"organ": (FINE, OLD), "container": (FINE, CONTAINER)}
    case = Case(mrml, FINE, stored, transforms)
    editable = set_mask(case, mask, FINE)

    case.write(given(part))

    case.check("organ", FINE, np.where(editable, FINE.sample(NEW), FINE.sample(OLD)))
    case.check("container", FINE, FINE.sample(CONTAINER))


@parts()
@masks()
@pytest.mark.parametrize("grid", [COARSE, CROPPED, FINE], ids=["coarse", "cropped", "fine"])
@pytest.mark.parametrize("transforms", [(None, None), (MOVED, TILTED)])
def test_a_segment_stored_elsewhere_keeps_its_grid_and_leaves_no_ghost(
    mrml, transforms, grid, mask, part
):
    stored = {"container": (VOLUME, CONTAINER), "organ": (grid, OLD)}
    case = Case(mrml, VOLUME, stored, transforms)
    editable = set_mask(case, mask, grid)
    before = layer_matrix(case.segmentation, "organ")

    case.write(given(part))

    case.check("organ", grid, np.where(editable, grid.sample(NEW), grid.sample(OLD)))
    case.check("container", VOLUME, CONTAINER)
    np.testing.assert_allclose(layer_matrix(case.segmentation, "organ"), before, atol=1e-9)


def test_segments_on_another_grid_give_way_on_their_own_grid(mrml):
    stored = {"organ": (VOLUME, OLD), "neighbour": (COARSE, NEIGHBOUR)}
    case = Case(mrml, VOLUME, stored)
    case.node.SetOverwriteMode(EDITOR.OverwriteAllSegments)
    before = layer_matrix(case.segmentation, "neighbour")

    case.write(NEW)

    case.check("organ", VOLUME, NEW)
    case.check("neighbour", COARSE, COARSE.sample(NEIGHBOUR) & ~COARSE.sample(NEW))
    np.testing.assert_allclose(layer_matrix(case.segmentation, "neighbour"), before, atol=1e-9)


def test_taking_from_another_grid_honours_the_mask(mrml):
    stored = {"organ": (VOLUME, OLD), "neighbour": (COARSE, NEIGHBOUR)}
    case = Case(mrml, VOLUME, stored)
    case.node.SetOverwriteMode(EDITOR.OverwriteAllSegments)
    editable = set_mask(case, "intensity", VOLUME)

    case.write(NEW)

    after = np.where(editable, NEW, OLD)
    case.check("organ", VOLUME, after)
    case.check("neighbour", COARSE, COARSE.sample(NEIGHBOUR) & ~COARSE.sample(after))


@pytest.mark.parametrize("start", [15, 20])
def test_a_new_segment_does_not_resample_the_labelmap_that_it_shares(mrml, start):
    neighbour = np.zeros(SHAPE, dtype=bool)
    neighbour[:3, :, start:] = True  # from 20 on, Slicer by itself would not see the two apart
    case = Case(mrml, VOLUME, {"neighbour": (COARSE, neighbour)})
    before = layer_matrix(case.segmentation, "neighbour")
    segmentation = case.segmentation.GetSegmentation()
    segmentation.AddEmptySegment("organ")
    layers = [
        segmentation.GetSegment(one).GetRepresentation("Binary labelmap")
        for one in ("organ", "neighbour")
    ]
    assert layers[0] is layers[1]

    case.write(NEW)

    case.check("organ", VOLUME, NEW)
    case.check("neighbour", COARSE, COARSE.sample(neighbour))
    np.testing.assert_allclose(layer_matrix(case.segmentation, "neighbour"), before, atol=1e-9)


@pytest.mark.parametrize("grid", [COARSE, FINE, CROPPED], ids=["coarse", "fine", "cropped"])
def test_a_changed_box_changes_no_centre_outside_it(mrml, grid):
    case = Case(mrml, grid, {"organ": (grid, OLD)})
    hole = np.zeros(SHAPE, dtype=bool)
    hole[7:11, 8:11, 8:13] = True
    assert (OLD & hole).sum() == hole.sum()

    case.write(changed_box(hole, np.zeros(SHAPE, dtype=bool)))

    case.check("organ", grid, grid.sample(OLD & ~hole))


def test_a_new_segment_beside_imported_ones_takes_their_grid(mrml):
    case = Case(mrml, None, {"neighbour": (COARSE, NEIGHBOUR)})
    case.segmentation.GetSegmentation().AddEmptySegment("organ")

    case.write(NEW)

    case.check("organ", COARSE, COARSE.sample(NEW))
    case.check("neighbour", COARSE, COARSE.sample(NEIGHBOUR))


def test_mates_in_a_shared_labelmap_on_another_grid_stay(mrml):
    apart = np.zeros(SHAPE, dtype=bool)
    apart[1:3, 1:5, 1:5] = True
    case = Case(mrml, VOLUME, {"organ": (COARSE, apart), "neighbour": (COARSE, NEIGHBOUR)})
    segmentation = case.segmentation.GetSegmentation()
    segmentation.CollapseBinaryLabelmaps(False)
    assert segmentation.GetNumberOfLayers() == 1

    case.write(NEW)

    case.check("organ", COARSE, COARSE.sample(NEW))
    case.check("neighbour", COARSE, COARSE.sample(NEIGHBOUR))


@pytest.mark.parametrize("mask", ["outside", "intensity"])
def test_masks_hold_beyond_the_reference_geometry(mrml, mask):
    small = Grid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (14, 12, 11))
    corner = np.zeros(SHAPE, dtype=bool)
    corner[:2, :2, :2] = True
    case = Case(mrml, small, {"container": (Grid((1, 1, 1), (0, 0, 0), (3, 3, 3)), corner)})
    case.segmentation.GetSegmentation().AddEmptySegment("organ")
    editable = set_mask(case, "intensity", VOLUME)
    if mask == "outside":
        case.node.SetMaskMode(EDIT.EditAllowedOutsideAllSegments)

    case.write(NEW)

    case.check("organ", VOLUME, NEW & editable)


def test_a_write_to_another_grid_is_one_step_to_undo(mrml):
    stored = {"container": (VOLUME, CONTAINER), "organ": (COARSE, OLD)}
    case = Case(mrml, VOLUME, stored)
    editable = set_mask(case, "inside", COARSE)
    clicks = ClickHistory([Click((1, 2, 3))])

    case.write(NEW, clicks=clicks)
    case.logic.Undo()
    case.check("organ", COARSE, COARSE.sample(OLD))
    case.check("container", VOLUME, CONTAINER)
    assert not case.logic.CanUndo()
    assert get_prompts(case.segmentation, "organ") == ClickHistory()

    case.logic.Redo()
    case.check("organ", COARSE, np.where(editable, COARSE.sample(NEW), COARSE.sample(OLD)))
    assert get_prompts(case.segmentation, "organ") == clicks
    assert case.node.GetMaskMode() == EDIT.EditAllowedInsideSingleSegment
