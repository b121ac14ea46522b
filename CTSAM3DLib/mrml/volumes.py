"""Volume nodes as `Volume`: voxels without a copy and identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.mrml.frames import geometry_from_node, name_of, text_of


def volume_from_node(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """Return a volume node as a `Volume` that shares its voxels.

    A single 3D image of one component; of a sequence, the frame that is shown now. The voxels are a
    read-only view, (K, J, I), in the dtype of the node, which keeps them alive after the node is
    gone; `volume_identity` tells whether they have changed. The geometry is in the own RAS frame of
    the node, without its parent transforms. Raises VolumeError: not a scalar volume, no or empty
    image, several components (colour, vector, 4D), or NaN; GeometryError: the axes are not at right
    angles.

    Examples
    --------
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> image.AllocateScalars(vtk.VTK_SHORT, 1)
    >>> image.GetPointData().GetScalars().Fill(-1000)
    >>> node = slicer.vtkMRMLScalarVolumeNode()
    >>> node.SetAndObserveImageData(image)
    >>> volume = volume_from_node(node)
    >>> volume.array_kji.shape, volume.array_kji.dtype, int(volume.array_kji.max())
    ((5, 6, 7), dtype('int16'), -1000)
    """
    if not isinstance(volume_node, slicer.vtkMRMLScalarVolumeNode):
        kind = type(volume_node).__name__
        raise VolumeError(f"expected a vtkMRMLScalarVolumeNode, got {kind}")
    geometry = geometry_from_node(volume_node)
    return Volume(_voxels(volume_node, geometry), geometry, name=text_of(volume_node.GetName()))


def _voxels(volume_node: slicer.vtkMRMLScalarVolumeNode, geometry: Geometry) -> NDArray[Any]:
    """Return the voxels of a node as a (K, J, I) view."""
    scalars = volume_node.GetImageData().GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() != np.prod(geometry.shape_kji):
        count = 0 if scalars is None else scalars.GetNumberOfTuples()
        raise VolumeError(
            f"expected {int(np.prod(geometry.shape_kji))} voxels in {name_of(volume_node)}, "
            f"got {count}"
        )
    components = scalars.GetNumberOfComponents()
    if components != 1:
        raise VolumeError(
            f"expected one value a voxel in {name_of(volume_node)}, got {components}: a colour, "
            "vector or time-resolved image; extract one component or frame first"
        )
    if scalars.GetDataType() == vtk.VTK_BIT:
        raise VolumeError(f"expected numbers in {name_of(volume_node)}, got bits (a packed mask)")
    array: NDArray[Any] = vtk_to_numpy(scalars)
    return array.reshape(geometry.shape_kji)


@dataclass(frozen=True)
class VolumeIdentity:
    """Tells whether a volume node still shows the image that a session was opened on.

    Two identities are equal when node, voxels and geometry are the same within this process;
    a parent transform does not matter, since clicks are kept in the frame of the volume.

    Examples
    --------
    >>> VolumeIdentity("n1", "a", 5, "c0de") == VolumeIdentity("n1", "a", 6, "c0de")
    False
    """

    node_id: str  # In the scene; empty for a node outside a scene
    image_address: str
    voxels_modified: int  # Modification time of the image and its voxels
    geometry: str  # Digest of matrix and size
    name: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Name and geometry: outlives saving and loading the scene, so it goes into clicks tags."""
        return f"{self.name}#{self.geometry}"


def volume_identity(volume_node: slicer.vtkMRMLScalarVolumeNode) -> VolumeIdentity:
    """Return what identifies the present image of a volume node.

    Voxels changed through NumPy count once they are announced, as
    `slicer.util.arrayFromVolumeModified` does. Raises VolumeError: there is no image or it is
    empty; GeometryError: the axes of the volume are not at right angles.

    Examples
    --------
    >>> image = vtk.vtkImageData()
    >>> image.SetDimensions(7, 6, 5)
    >>> node = slicer.vtkMRMLScalarVolumeNode()
    >>> node.SetAndObserveImageData(image)
    >>> before = volume_identity(node)
    >>> before == volume_identity(node)
    True
    >>> image.Modified()
    >>> before == volume_identity(node), before.key == volume_identity(node).key
    (False, True)
    """
    geometry = geometry_from_node(volume_node)
    image = volume_node.GetImageData()
    place = (np.round(geometry.ijk_to_ras, 4) + 0.0).tobytes() + repr(geometry.shape_kji).encode()
    digest = hashlib.sha256(place).hexdigest()[:16]
    return VolumeIdentity(
        node_id=volume_node.GetID() or "",
        image_address=image.GetAddressAsString("vtkImageData"),
        voxels_modified=image.GetMTime(),
        geometry=digest,
        name=text_of(volume_node.GetName()),
    )
