"""Writing segments on the voxels of the volume: transforms, masks, overwriting."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from slow_values import slow

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")
import vtk  # noqa: E402

from CTSAM3DLib.errors import NodeError  # noqa: E402
from CTSAM3DLib.geometry.grid import BoundingBox  # noqa: E402
from CTSAM3DLib.geometry.volume import MaskUpdate  # noqa: E402
from CTSAM3DLib.mrml.segments import SegmentTarget, prepare_segmentation  # noqa: E402
from CTSAM3DLib.mrml.writing import write_segment  # noqa: E402
from Testing.MRML.cases import (  # noqa: E402
    CONTAINER,
    EDITOR,
    MOVED,
    NEIGHBOUR,
    NEW,
    OBLIQUE_LEFT_HANDED,
    OLD,
    SHAPE,
    TILTED,
    Case,
    box,
    changed_box,
    set_mask,
)
from Testing.MRML.mrml_scene import sorted_points, world_voxels  # noqa: E402

TRANSFORMS = {
    "none": (None, None),
    "volume": (MOVED, None),
    "segmentation": (None, TILTED),
    "both": (MOVED, TILTED),
}


@pytest.mark.parametrize("part", ["full", "cropped"])
@pytest.mark.parametrize("mask", ["none", "outside", *slow("inside", "intensity")])
@pytest.mark.parametrize("transforms", TRANSFORMS)
def test_writing_is_exact_under_every_transform_and_mask(mrml, transforms, mask, part):
    case = Case(mrml, *TRANSFORMS[transforms])
    editable = set_mask(case, mask)

    write_segment(case.target, NEW if part == "full" else changed_box(OLD, NEW))

    expected = np.where(editable, NEW, OLD)
    np.testing.assert_array_equal(case.read(), expected)
    np.testing.assert_array_equal(case.read("container"), CONTAINER)
    np.testing.assert_array_equal(case.read("neighbour"), NEIGHBOUR)
    ijk = np.argwhere(expected)[:, ::-1]
    positions = world_voxels(case.segmentation, "organ")
    np.testing.assert_allclose(positions, sorted_points(ijk, case.ijk_to_world), atol=1e-4)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_any_orientation_of_the_axes(mrml, order, flip):
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for column, row in enumerate(order):
        matrix[row, column] = flip[column] * (0.7, 1.1, 3.0)[column]
    matrix[:3, 3] = (30, -12, 250)
    case = Case(mrml, ijk_to_ras=matrix)

    write_segment(case.target, changed_box(OLD, NEW))

    np.testing.assert_array_equal(case.read(), NEW)
    expected = sorted_points(np.argwhere(NEW)[:, ::-1], matrix)
    np.testing.assert_allclose(world_voxels(case.segmentation, "organ"), expected, atol=1e-4)


def test_protected_voxels_outside_the_changed_box_stay(mrml):
    case = Case(mrml)
    set_mask(case, "inside")
    speck = BoundingBox((10, 9, 8), (11, 10, 9))

    write_segment(case.target, MaskUpdate(np.zeros((1, 1, 1), dtype=bool), speck))

    expected = OLD.copy()
    expected[8, 9, 10] = False
    np.testing.assert_array_equal(case.read(), expected)


def test_a_changed_box_leaves_what_the_user_painted_elsewhere(mrml):
    case = Case(mrml)
    painted = OLD | box((0, 2), (0, 2), (20, 24))
    write_segment(case.target, painted)

    write_segment(case.target, changed_box(OLD, NEW))

    np.testing.assert_array_equal(case.read(), NEW | box((0, 2), (0, 2), (20, 24)))


def test_a_segment_can_be_emptied_and_filled_again(mrml):
    case = Case(mrml)
    write_segment(case.target, np.zeros(SHAPE, dtype=bool))
    assert not case.read().any()

    write_segment(case.target, NEW)
    np.testing.assert_array_equal(case.read(), NEW)


def test_voxels_at_all_borders_of_the_volume(mrml):
    case = Case(mrml, MOVED, TILTED)
    write_segment(case.target, np.ones(SHAPE, dtype=bool))
    assert case.read().all()


@pytest.mark.parametrize("shared", [False, True])
def test_overwriting_none_keeps_overlaps(mrml, shared):
    case = Case(mrml)
    if shared:
        case.share_labelmaps()
    write_segment(case.target, NEW)

    assert (NEW & NEIGHBOUR).any()
    np.testing.assert_array_equal(case.read(), NEW)
    np.testing.assert_array_equal(case.read("neighbour"), NEIGHBOUR)
    np.testing.assert_array_equal(case.read("container"), CONTAINER)


@pytest.mark.parametrize("shared", [False, True])
def test_overwriting_all_takes_from_every_other_segment(mrml, shared):
    case = Case(mrml)
    if shared:
        case.share_labelmaps()
    case.node.SetOverwriteMode(EDITOR.OverwriteAllSegments)
    write_segment(case.target, NEW)

    np.testing.assert_array_equal(case.read(), NEW)
    np.testing.assert_array_equal(case.read("neighbour"), NEIGHBOUR & ~NEW)
    np.testing.assert_array_equal(case.read("container"), CONTAINER & ~NEW)


@pytest.mark.parametrize("part", ["full", "cropped"])
def test_a_target_may_spare_others_whatever_the_editor_is_set_to(mrml, part):
    case = Case(mrml)
    case.share_labelmaps()
    case.node.SetOverwriteMode(EDITOR.OverwriteAllSegments)

    target = replace(case.target, overwrites=False)
    write_segment(target, NEW if part == "full" else changed_box(OLD, NEW))

    np.testing.assert_array_equal(case.read(), NEW)
    np.testing.assert_array_equal(case.read("container"), CONTAINER)
    np.testing.assert_array_equal(case.read("neighbour"), NEIGHBOUR)
    assert case.node.GetOverwriteMode() == EDITOR.OverwriteAllSegments


def test_overwriting_visible_spares_hidden_segments(mrml):
    case = Case(mrml)
    case.node.SetOverwriteMode(EDITOR.OverwriteVisibleSegments)
    case.segmentation.GetDisplayNode().SetSegmentVisibility("neighbour", False)
    write_segment(case.target, NEW)

    np.testing.assert_array_equal(case.read("neighbour"), NEIGHBOUR)
    np.testing.assert_array_equal(case.read("container"), CONTAINER & ~NEW)


def test_without_a_display_node_no_segment_counts_as_visible(mrml):
    case = Case(mrml)
    case.node.SetOverwriteMode(EDITOR.OverwriteVisibleSegments)
    case.segmentation.SetAndObserveDisplayNodeID(None)
    write_segment(case.target, NEW)

    np.testing.assert_array_equal(case.read(), NEW)
    np.testing.assert_array_equal(case.read("container"), CONTAINER)


def test_segments_that_share_a_labelmap_do_not_disturb_each_other(mrml):
    case = Case(mrml)
    apart = box((16, 19), (1, 4), (1, 4))
    write_segment(case.target, apart)
    case.segmentation.GetSegmentation().RemoveSegment("container")
    case.share_labelmaps()
    assert case.layers() == 1

    write_segment(case.target, changed_box(apart, NEW))

    np.testing.assert_array_equal(case.read(), NEW)
    np.testing.assert_array_equal(case.read("neighbour"), NEIGHBOUR)


def test_the_mask_leaves_out_the_written_segment_whatever_is_selected(mrml):
    case = Case(mrml)
    set_mask(case, "outside")
    case.node.SetSelectedSegmentID("container")

    write_segment(case.target, NEW)

    np.testing.assert_array_equal(case.read(), np.where(CONTAINER | NEIGHBOUR, OLD, NEW))
    assert case.node.GetSelectedSegmentID() == "container"


def test_a_segment_without_voxels_in_a_segmentation_without_geometry(mrml):
    volume = mrml.volume(np.zeros(SHAPE, dtype=np.int16), OBLIQUE_LEFT_HANDED)
    segmentation = mrml.segmentation()
    segment_id = segmentation.GetSegmentation().AddEmptySegment("organ")
    logic = mrml.editor(segmentation, None)

    write_segment(SegmentTarget(segmentation, segment_id, volume, logic), NEW)

    np.testing.assert_array_equal(mrml.exported(segmentation, segment_id, volume), NEW)


def test_the_same_warp_above_both_is_exact(mrml):
    case = Case(mrml)
    warp = vtk.vtkThinPlateSplineTransform()
    source, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        source.InsertNextPoint(*(np.array(corner) * 40.0))
        moved.InsertNextPoint(*(np.array(corner) * 42.0 + (corner[1] * 5, 0, 3)))
    warp.SetSourceLandmarks(source)
    warp.SetTargetLandmarks(moved)
    warp.SetBasisToR()
    node = mrml.non_linear(warp, case.volume)

    with pytest.raises(NodeError, match='"Segmentation" under the same transform as "CT", got no'):
        write_segment(case.target, NEW)

    case.segmentation.SetAndObserveTransformNodeID(node.GetID())
    write_segment(case.target, changed_box(OLD, NEW))
    case.segmentation.SetAndObserveTransformNodeID(None)
    expected = sorted_points(np.argwhere(NEW)[:, ::-1], OBLIQUE_LEFT_HANDED)
    np.testing.assert_allclose(world_voxels(case.segmentation, "organ"), expected, atol=1e-4)


def test_a_new_segmentation_follows_a_warped_volume(mrml):
    volume = mrml.volume(np.zeros(SHAPE, dtype=np.int16), OBLIQUE_LEFT_HANDED)
    warp = mrml.non_linear(vtk.vtkThinPlateSplineTransform(), volume)
    segmentation = mrml.segmentation()
    prepare_segmentation(segmentation, volume)
    assert segmentation.GetParentTransformNode() is warp
    segment_id = segmentation.GetSegmentation().AddEmptySegment("organ")
    logic = mrml.editor(segmentation, volume)

    write_segment(SegmentTarget(segmentation, segment_id, volume, logic), NEW)

    segmentation.SetAndObserveTransformNodeID(None)
    expected = sorted_points(np.argwhere(NEW)[:, ::-1], OBLIQUE_LEFT_HANDED)
    np.testing.assert_allclose(world_voxels(segmentation, segment_id), expected, atol=1e-4)
