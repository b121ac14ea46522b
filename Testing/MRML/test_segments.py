"""Preparing segmentations and reading segments on a volume."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")
import vtk  # noqa: E402

from CTSAM3DLib.errors import NodeError, VolumeError  # noqa: E402
from CTSAM3DLib.geometry.box import BoundingBox  # noqa: E402
from CTSAM3DLib.mrml.segments import (  # noqa: E402
    add_segment,
    check_binary_labelmap,
    prepare_segmentation,
    read_segment,
    read_segment_in,
)
from Testing.MRML.cases import (  # noqa: E402
    CONTAINER,
    MOVED,
    OBLIQUE_LEFT_HANDED,
    OLD,
    SHAPE,
    TILTED,
    Case,
)
from Testing.MRML.mrml_scene import rigid  # noqa: E402


def whole(update):
    """Return an update as a mask of the whole volume."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[update.bbox.slices_kji] = update.mask_kji
    return mask


def geometry_text(segmentation):
    return segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")


def test_a_new_segmentation_gets_place_and_voxels_of_the_volume(mrml):
    volume, segmentation = (
        mrml.volume(OLD.astype(np.int16), OBLIQUE_LEFT_HANDED),
        mrml.segmentation(),
    )
    transform = mrml.linear(MOVED, volume)

    prepare_segmentation(segmentation, volume)

    assert segmentation.GetParentTransformNode() is transform
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(
        geometry_text(segmentation), image, False
    )
    image.GetImageToWorldMatrix(matrix)
    stored = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
    np.testing.assert_allclose(stored, OBLIQUE_LEFT_HANDED, atol=1e-4)
    assert image.GetDimensions() == SHAPE[::-1]


def test_a_used_segmentation_or_an_empty_volume_is_refused(mrml):
    case = Case(mrml, MOVED)
    before = geometry_text(case.segmentation)
    with pytest.raises(NodeError, match='expected "Segmentation" without segments, got 3'):
        prepare_segmentation(case.segmentation, case.volume)
    assert case.segmentation.GetParentTransformNode() is None
    assert geometry_text(case.segmentation) == before
    empty = mrml.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(VolumeError, match="without an image"):
        prepare_segmentation(mrml.segmentation(), empty)


@pytest.mark.parametrize("on_segmentation", [None, TILTED])
def test_a_part_of_a_segment_is_as_in_the_whole(mrml, on_segmentation):
    case = Case(mrml, MOVED, on_segmentation)
    other_lattice = case.ijk_to_segmentation @ rigid((1, 1, 3), 20, (3, -2, 1))
    mrml.stored_segment(case.segmentation, "turned", OLD, other_lattice)
    rng = np.random.default_rng(0)
    for name in ("organ", "container", "turned"):
        mask = whole(read_segment(case.segmentation, name, case.volume))
        assert mask.any()
        for _ in range(20):
            low, high = np.sort(rng.integers(0, np.array(SHAPE[::-1]) + 1, (2, 3)), axis=0)
            box = BoundingBox(tuple(low.tolist()), tuple(high.tolist()))
            part = read_segment_in(case.segmentation, name, case.volume, box)
            np.testing.assert_array_equal(part, mask[box.slices_kji])


@pytest.mark.parametrize("on_volume", [None, MOVED])
@pytest.mark.parametrize("on_segmentation", [None, TILTED])
def test_reading_is_exact_under_every_transform(mrml, on_volume, on_segmentation):
    case = Case(mrml, on_volume, on_segmentation)
    case.share_labelmaps()

    np.testing.assert_array_equal(whole(read_segment(case.segmentation, "organ", case.volume)), OLD)
    update = read_segment(case.segmentation, "container", case.volume)
    np.testing.assert_array_equal(whole(update), CONTAINER)
    assert update.bbox.shape_kji == (13, 14, 12)  # tight


def test_voxels_outside_the_volume_are_left_out(mrml):
    case = Case(mrml)
    shifted = case.ijk_to_segmentation.copy()
    shifted[:3, 3] += shifted[:3, :3] @ [10, 0, -5]
    mrml.stored_segment(case.segmentation, "moved", np.ones(SHAPE, dtype=bool), shifted)

    mask = whole(read_segment(case.segmentation, "moved", case.volume))

    expected = np.zeros(SHAPE, dtype=bool)
    expected[:15, :, 10:] = True
    np.testing.assert_array_equal(mask, expected)
    far = shifted.copy()
    far[:3, 3] += 1000
    mrml.stored_segment(case.segmentation, "far", np.ones(SHAPE, dtype=bool), far)
    assert read_segment(case.segmentation, "far", case.volume).bbox.is_empty


def test_empty_segments_are_empty(mrml):
    case = Case(mrml)
    segment_id = add_segment(case.segmentation, "liver")
    assert read_segment(case.segmentation, segment_id, case.volume).bbox.is_empty


def test_what_cannot_be_read_is_named(mrml):
    case = Case(mrml)
    with pytest.raises(NodeError, match="got 'gone'"):
        read_segment(case.segmentation, "gone", case.volume)
    mrml.non_linear(vtk.vtkThinPlateSplineTransform(), case.volume)
    with pytest.raises(NodeError, match='got no transform and "Warp" with a non-linear transform'):
        read_segment(case.segmentation, "organ", case.volume)
    case.segmentation.GetSegmentation().SetSourceRepresentationName("Planar contour")
    with pytest.raises(NodeError, match="stored as 'Binary labelmap', got 'Planar contour'"):
        check_binary_labelmap(case.segmentation)
