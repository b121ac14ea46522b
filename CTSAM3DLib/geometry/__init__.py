"""Voxel grids, boxes, volumes and masks in space. Knows no click and no file."""

from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume

__all__ = ["BlockArray", "BoundingBox", "Geometry", "MaskUpdate", "Volume"]
