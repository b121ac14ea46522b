"""Frames of Slicer nodes: their own RAS, the world, and what lies between two nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.errors import NodeError, VolumeError
from CTSAM3DLib.geometry.affine import finite_array
from CTSAM3DLib.geometry.grid import Geometry

MAXIMUM_INVERSION_ERROR_MM = 0.1
"""A non-linear transform is inverted by iteration; more than this means that it has failed."""


def array_from_matrix(matrix: vtk.vtkMatrix4x4) -> NDArray[np.float64]:
    """Return a VTK matrix as a (4, 4) float64 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_from_array(values: ArrayLike) -> vtk.vtkMatrix4x4:
    """Return a (4, 4) array as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(finite_array(values, (4, 4), "a matrix").ravel().tolist())
    return matrix


def geometry_from_node(volume_node: slicer.vtkMRMLVolumeNode) -> Geometry:
    """Return where the voxels of a volume node lie in its own RAS frame.

    No parent transform is applied: `volume_from_world` does that for points. Raises VolumeError:
    not a volume node, there is no image, it is empty, or its first voxel is not (0, 0, 0);
    GeometryError: the axes are not at right angles or a spacing is zero.

    Examples
    --------
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> node = slicer.vtkMRMLScalarVolumeNode()
    >>> node.SetAndObserveImageData(image)
    >>> node.SetSpacing(1, 1, 2)
    >>> geometry_from_node(node).shape_kji, geometry_from_node(node).spacing_mm
    ((5, 6, 7), (1.0, 1.0, 2.0))
    """
    if not isinstance(volume_node, slicer.vtkMRMLVolumeNode):
        raise VolumeError(f"expected a volume node, got {type(volume_node).__name__}")
    image = volume_node.GetImageData()
    if image is None:
        raise VolumeError(
            f"expected a volume with voxels, got node {name_of(volume_node)} without an image"
        )
    i, j, k = image.GetDimensions()
    if min(i, j, k) < 1:
        raise VolumeError(
            f"expected a volume with voxels, got {name_of(volume_node)} of size {(i, j, k)}"
        )
    first = tuple(image.GetExtent()[::2])
    if first != (0, 0, 0):
        # The matrix of a node belongs to voxel (0, 0, 0), arrays begin with the first voxel.
        raise VolumeError(
            f"expected the first voxel of {name_of(volume_node)} at (0, 0, 0), got {first}"
        )
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return Geometry(array_from_matrix(matrix), (k, j, i))


def volume_from_world(
    position_world_ras: ArrayLike, volume_node: slicer.vtkMRMLTransformableNode
) -> NDArray[np.float64]:
    """Return a world point, RAS mm, in the own RAS frame of a node: (3,) float64, mm.

    Every parent transform of the node is undone, linear or not (grid, B-spline, thin plate). Raises
    GeometryError: not three finite numbers; NodeError: a non-linear parent transform cannot be
    inverted at this point.
    """
    world = finite_array(position_world_ras, (3,), "a position")
    parent = volume_node.GetParentTransformNode()
    local = np.array(transform_between(None, parent).TransformPoint(world.tolist()))
    if parent is not None and not parent.IsTransformToWorldLinear():
        error = float(np.linalg.norm(world_from_volume(local, volume_node) - world))
        if not error <= MAXIMUM_INVERSION_ERROR_MM:
            raise NodeError(
                f"expected transform {name_of(parent)} to be invertible at world RAS "
                f"{np.round(world, 2).tolist()}, got an error of {error:.2f} mm"
            )
    return local


def world_from_volume(
    position_ras: ArrayLike, volume_node: slicer.vtkMRMLTransformableNode
) -> NDArray[np.float64]:
    """Return a point given in the own RAS frame of a node, mm, in the world: (3,) float64, RAS mm.

    Raises GeometryError: not three finite numbers.
    """
    local = finite_array(position_ras, (3,), "a position")
    to_world = transform_between(volume_node.GetParentTransformNode(), None)
    return np.array(to_world.TransformPoint(local.tolist()))


def transform_between(
    source: slicer.vtkMRMLTransformNode | None, target: slicer.vtkMRMLTransformNode | None
) -> vtk.vtkGeneralTransform:
    """Return the transform from the frame below `source` to the frame below `target`.

    Both are parent transforms; None is the world.
    """
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return transform


def linear_matrix_between(
    source: slicer.vtkMRMLTransformableNode, target: slicer.vtkMRMLTransformableNode
) -> NDArray[np.float64]:
    """Return the matrix from the own RAS frame of one node to that of another, (4, 4) float64, mm.

    The identity below the same transform, even if that is not linear. Raises NodeError: a
    non-linear transform lies between the two: resampling a mask there is not exact.
    """
    first, second = source.GetParentTransformNode(), target.GetParentTransformNode()
    between = transform_between(first, second)
    linear = vtk.vtkTransform()
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        raise NodeError(
            f"expected {name_of(target)} under the same transform as {name_of(source)}, got "
            f"{_transform_name(second)} and {_transform_name(first)} with a non-linear transform "
            f"between them: apply the transform of {name_of(source)} to {name_of(target)} too"
        )
    return array_from_matrix(linear.GetMatrix())


def name_of(node: Any) -> str:
    """Return how a message calls a node: its name in quotes, else its class."""
    name = text_of(node.GetName())
    return f'"{name}"' if name else str(node.GetClassName())


def text_of(name: str | bytes | None) -> str:
    """Return a name of Slicer as text; Python gets bytes where a file had it not in UTF-8.

    Examples
    --------
    >>> text_of("liver"), text_of(bytes([108, 233])), text_of(None)
    ('liver', 'l�', '')
    """
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def _transform_name(node: Any) -> str:
    """Return how a message calls a parent transform or its absence."""
    return "no transform" if node is None else name_of(node)
