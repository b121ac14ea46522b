"""Geometry and file reading against the core of 3D Slicer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import boxes_near, geometries
from vtkmodules.util.numpy_support import vtk_to_numpy

from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.io.image import read_volume


def _array(matrix: vtk.vtkMatrix4x4) -> NDArray[np.float64]:
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def _node(geometry: Geometry) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node set up as Slicer does: origin, spacing, directions and an image."""
    matrix = np.asarray(geometry.ijk_to_ras)
    spacing = np.sqrt((matrix[:3, :3] ** 2).sum(axis=0))
    node = slicer.vtkMRMLScalarVolumeNode()
    image = vtk.vtkImageData()
    image.SetDimensions(*geometry.shape_kji[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    node.SetAndObserveImageData(image)
    node.SetOrigin(matrix[:3, 3].tolist())
    node.SetSpacing(spacing.tolist())
    node.SetIJKToRASDirections((matrix[:3, :3] / spacing).tolist())
    return node


def _from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Geometry:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return Geometry(_array(matrix), node.GetImageData().GetDimensions()[::-1])


@given(geometries(), st.tuples(*[st.floats(-30, 30)] * 3))
def test_both_matrices_are_those_of_a_volume_node(
    geometry: Geometry, point: tuple[float, ...]
) -> None:
    node = _node(geometry)
    to_ras, to_ijk = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_ras)
    node.GetRASToIJKMatrix(to_ijk)
    assert geometry.ijk_to_ras == pytest.approx(_array(to_ras), abs=1e-9)
    assert geometry.ras_to_ijk == pytest.approx(_array(to_ijk), abs=1e-7)
    position = to_ras.MultiplyDoublePoint((*point, 1.0))[:3]
    assert geometry.ras_from_ijk(point) == pytest.approx(position, abs=1e-9)
    index = to_ijk.MultiplyDoublePoint((*position, 1.0))[:3]
    assert geometry.ijk_from_ras(position) == pytest.approx(index, abs=1e-7)
    assert geometry.spacing_mm == pytest.approx(node.GetSpacing())
    assert geometry.origin_ras == pytest.approx(node.GetOrigin())
    assert geometry.size_ijk == node.GetImageData().GetDimensions()


@given(geometries())
def test_the_extent_is_that_of_the_node(geometry: Geometry) -> None:
    bounds = [0.0] * 6
    _node(geometry).GetRASBounds(bounds)
    # Slicer's bounds, too, run along the outer voxel edges.
    assert geometry.extent_ras.T.ravel() == pytest.approx(bounds, abs=1e-6)


@given(geometries())
def test_handedness_is_what_slicer_says(geometry: Geometry) -> None:
    # The determinant of the node's direction cosines.
    directions = vtk.vtkMatrix4x4()
    _node(geometry).GetIJKToRASDirectionMatrix(directions)
    assert geometry.is_left_handed == (directions.Determinant() < 0)


@given(geometries(), st.data())
def test_a_crop_is_an_oriented_image_with_an_extent(
    geometry: Geometry, data: st.DataObject
) -> None:
    # A segment's image has the matrix of the whole volume and an extent that starts anywhere.
    box = data.draw(boxes_near(geometry))
    matrix = vtk.vtkMatrix4x4()
    _node(geometry).GetIJKToRASMatrix(matrix)
    crop = geometry.cropped(box)
    first = matrix.MultiplyDoublePoint((*box.start_ijk, 1.0))[:3]
    last = matrix.MultiplyDoublePoint((*[stop - 1 for stop in box.stop_ijk], 1.0))[:3]
    assert crop.ras_from_ijk((0, 0, 0)) == pytest.approx(first, abs=1e-9)
    assert crop.ras_from_ijk([size - 1 for size in crop.size_ijk]) == pytest.approx(last, abs=1e-9)


@given(geometries(largest_degrees=30))
def test_the_slices_of_the_grid_run_from_feet_to_head(geometry: Geometry) -> None:
    grid = model_grid(geometry, 1.0)
    matrix = vtk.vtkMatrix4x4()
    _node(grid).GetIJKToRASMatrix(matrix)
    assert slicer.vtkMRMLVolumeNode.ComputeScanOrderFromIJKToRAS(matrix) == "IS"


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nrrd", "ct.mha"])
@pytest.mark.parametrize("seed", range(6))
def test_a_file_is_read_as_slicer_reads_it(tmp_path: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # QR gives a random rotation or reflection.
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    array = rng.integers(-1000, 2000, (4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(rng.uniform(-500, 500, 3).tolist())
    image.SetSpacing(rng.uniform(0.4, 5, 3).tolist())
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / name))
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / name))
    assert storage.ReadData(node) == 1
    ours = read_volume(tmp_path / name)
    # NIfTI stores single precision.
    assert ours.geometry.allclose(_from_node(node), 2e-4)
    data = node.GetImageData()
    shown = vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])
    # Slicer may store the same scene in another axis order; compare every voxel by its place.
    k, j, i = np.indices(array.shape)
    ras = ours.geometry.ras_from_ijk(np.stack([i, j, k], axis=-1))
    at = np.round(_from_node(node).ijk_from_ras(ras)).astype(int)
    assert np.array_equal(shown[at[..., 2], at[..., 1], at[..., 0]], ours.array_kji)
    assert np.array_equal(ours.array_kji, array)


@given(geometries(), st.integers(0, 99))
def test_a_click_on_a_voxel_hits_that_voxel(geometry: Geometry, seed: int) -> None:
    ijk = np.random.default_rng(seed).integers(0, geometry.size_ijk)
    matrix = vtk.vtkMatrix4x4()
    _node(geometry).GetIJKToRASMatrix(matrix)
    inside = ijk + np.random.default_rng(seed).uniform(-0.45, 0.45, 3)
    position = matrix.MultiplyDoublePoint((*inside, 1.0))[:3]
    assert geometry.voxel_from_ras(position) == tuple(ijk)
