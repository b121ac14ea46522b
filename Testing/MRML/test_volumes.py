"""Volume nodes as volumes: voxels, geometry, identity, refusals."""

from __future__ import annotations

import gc

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")
import vtk  # noqa: E402

from CTSAM3DLib.errors import GeometryError, VolumeError  # noqa: E402
from CTSAM3DLib.mrml.volumes import (  # noqa: E402
    volume_from_node,
    volume_identity,
)
from Testing.MRML.mrml_scene import rigid  # noqa: E402

OBLIQUE_LEFT_HANDED = rigid((1, 2, 3), 25, (10, -20, 30)) @ np.diag([-0.8, 0.9, 2.5, 1])
PERMUTED = np.array([[0, 0, 3.0, 5], [-0.7, 0, 0, 6], [0, 0.9, 0, 7], [0, 0, 0, 1]])


def random_ct(shape=(4, 5, 6), dtype=np.int16):
    return np.random.default_rng(3).integers(-1000, 2000, shape).astype(dtype)


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE_LEFT_HANDED, PERMUTED])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_each_voxel_lies_where_the_node_puts_it(mrml, matrix, dtype):
    array = np.abs(random_ct()).astype(dtype)
    node = mrml.volume(array, matrix)

    volume = volume_from_node(node)

    assert volume.array_kji.dtype == dtype
    assert volume.name == "CT"
    image, stored = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(stored)
    for ijk in [(0, 0, 0), (5, 4, 3), (1, 2, 3)]:
        i, j, k = ijk
        assert volume.array_kji[k, j, i] == image.GetScalarComponentAsDouble(i, j, k, 0)
        position_ras = stored.MultiplyPoint((*ijk, 1.0))[:3]
        np.testing.assert_allclose(volume.geometry.ras_from_ijk(ijk), position_ras, atol=1e-9)
        np.testing.assert_allclose(position_ras, (matrix @ [*ijk, 1])[:3], atol=1e-9)


def test_a_parent_transform_does_not_move_the_volume_itself(mrml):
    node = mrml.volume(random_ct(), OBLIQUE_LEFT_HANDED)
    mrml.linear(rigid((0, 0, 1), 40, (100, 0, 0)), node)

    ijk_to_ras = volume_from_node(node).geometry.ijk_to_ras

    np.testing.assert_allclose(ijk_to_ras, OBLIQUE_LEFT_HANDED, atol=1e-9)


def test_voxels_are_shared_read_only_and_outlive_the_node(mrml):
    node = mrml.volume(random_ct((30, 40, 50)), np.eye(4))
    scalars = node.GetImageData().GetPointData().GetScalars()
    volume = volume_from_node(node)

    scalars.SetTuple1(7, 1234)
    assert volume.array_kji.ravel()[7] == 1234
    with pytest.raises(ValueError, match="read-only"):
        volume.array_kji[0, 0, 0] = 1

    expected = volume.array_kji.copy()
    mrml.scene.RemoveNode(node)
    del node, scalars
    gc.collect()
    rubbish = [np.full(expected.shape, 77, dtype=np.int16) for _ in range(20)]
    assert len(rubbish) == 20
    np.testing.assert_array_equal(volume.array_kji, expected)


def test_a_node_without_voxels_is_refused(mrml):
    node = mrml.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    with pytest.raises(VolumeError, match='got node "Empty" without an image'):
        volume_from_node(node)

    node.SetAndObserveImageData(vtk.vtkImageData())
    with pytest.raises(VolumeError, match=r'got "Empty" of size \(0, 0, 0\)'):
        volume_from_node(node)

    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    node.SetAndObserveImageData(image)
    with pytest.raises(VolumeError, match='expected 27 voxels in "Empty", got 0'):
        volume_from_node(node)


def test_several_values_a_voxel_are_refused(mrml):
    node = mrml.volume(random_ct(), np.eye(4), name="4D")
    node.GetImageData().AllocateScalars(vtk.VTK_SHORT, 3)

    with pytest.raises(VolumeError, match='expected one value a voxel in "4D", got 3'):
        volume_from_node(node)


def test_other_nodes_are_refused(mrml):
    with pytest.raises(
        VolumeError, match=r"expected a vtkMRMLScalarVolumeNode, got .*Segmentation"
    ):
        volume_from_node(mrml.segmentation())


def test_bits_and_nan_are_refused(mrml):
    node = mrml.volume(random_ct(dtype=np.float32), np.eye(4))
    node.GetImageData().GetPointData().GetScalars().SetTuple1(5, float("nan"))
    with pytest.raises(VolumeError, match="expected finite voxels, got 1 NaN"):
        volume_from_node(node)

    node.GetImageData().AllocateScalars(vtk.VTK_BIT, 1)
    with pytest.raises(VolumeError, match="a packed mask"):
        volume_from_node(node)


def test_an_image_that_does_not_begin_at_zero_is_refused(mrml):
    node = mrml.volume(random_ct(), np.eye(4))
    node.GetImageData().SetExtent(1, 6, 0, 4, 0, 3)

    with pytest.raises(VolumeError, match=r"first voxel of .*, got \(1, 0, 0\)"):
        volume_from_node(node)


def test_sheared_axes_are_refused(mrml):
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    with pytest.raises(GeometryError, match="orthogonal"):
        volume_from_node(mrml.volume(random_ct(), sheared))


def test_identity_changes_with_voxels_and_place_only(mrml):
    node = mrml.volume(random_ct(), OBLIQUE_LEFT_HANDED)
    before = volume_identity(node)

    mrml.linear(rigid((0, 0, 1), 40, (100, 0, 0)), node)
    node.CreateDefaultDisplayNodes()
    node.SetName("renamed")
    node.GetImageData().GetScalarRange()
    assert volume_identity(node) == before

    node.SetOrigin(1, 2, 3)
    moved = volume_identity(node)
    assert moved != before
    assert moved.key != before.key

    node.GetImageData().GetPointData().GetScalars().Modified()
    changed = volume_identity(node)
    assert changed != moved
    assert changed.key == moved.key

    replacement = vtk.vtkImageData()
    replacement.DeepCopy(node.GetImageData())
    node.SetAndObserveImageData(replacement)
    assert volume_identity(node) != changed


def test_identity_tells_two_nodes_apart_but_not_their_key(mrml):
    first = mrml.volume(random_ct(), np.eye(4))
    second = mrml.volume(random_ct(), np.eye(4))

    assert volume_identity(first) != volume_identity(second)
    assert volume_identity(first).key == volume_identity(second).key
