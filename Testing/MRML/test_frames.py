"""Matrices and transforms between nodes."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")
import vtk  # noqa: E402

from CTSAM3DLib.errors import GeometryError, NodeError  # noqa: E402
from CTSAM3DLib.mrml.frames import (  # noqa: E402
    array_from_matrix,
    linear_matrix_between,
    matrix_from_array,
    volume_from_world,
    world_from_volume,
)
from Testing.MRML.mrml_scene import rigid  # noqa: E402

MOVED = rigid((3, 1, -2), 70, (100, 30, -80))
TILTED = rigid((0, 1, 0), -35, (-15, 5, 60))
SCALED = np.array([[2, 0.3, 0, 7], [0, 0.5, 0, -1], [0.2, 0, 3, 4], [0, 0, 0, 1.0]])


def pair(mrml):
    return mrml.points("first"), mrml.points("second")


def test_matrices_keep_rows_and_columns():
    matrix = matrix_from_array(SCALED)
    assert matrix.GetElement(0, 1) == 0.3
    assert matrix.GetElement(2, 3) == 4
    np.testing.assert_array_equal(array_from_matrix(matrix), SCALED)
    with pytest.raises(GeometryError, match=r"a matrix of shape \(4, 4\), got shape \(3, 3\)"):
        matrix_from_array(np.eye(3))


@pytest.mark.parametrize("above_first", [np.eye(4), MOVED, SCALED])
@pytest.mark.parametrize("above_second", [np.eye(4), TILTED, SCALED])
def test_linear_transforms_between_nodes(mrml, above_first, above_second):
    first, second = pair(mrml)
    common = mrml.linear(rigid((1, 0, 0), 15, (3, 2, 1)))
    mrml.linear(above_first, first, parent=common)
    mrml.linear(above_second, second)

    above = array_from_matrix(common.GetMatrixTransformToParent()) @ above_first
    expected = np.linalg.inv(above_second) @ above
    np.testing.assert_allclose(linear_matrix_between(first, second), expected, atol=1e-9)
    point = np.array([10.0, -20.0, 30.0])
    world = (above @ [*point, 1])[:3]
    np.testing.assert_allclose(world_from_volume(point, first), world, atol=1e-9)
    np.testing.assert_allclose(volume_from_world(world, first), point, atol=1e-9)


def test_a_common_warp_is_no_obstacle_but_a_single_one_is(mrml):
    first, second = pair(mrml)
    warp = mrml.non_linear(vtk.vtkThinPlateSplineTransform(), first, second)
    np.testing.assert_array_equal(linear_matrix_between(first, second), np.eye(4))

    mrml.linear(MOVED, first, parent=warp)
    np.testing.assert_allclose(linear_matrix_between(first, second), MOVED, atol=1e-9)

    second.SetAndObserveTransformNodeID(None)
    with pytest.raises(NodeError, match='expected "second" under the same transform as "first"'):
        linear_matrix_between(first, second)
