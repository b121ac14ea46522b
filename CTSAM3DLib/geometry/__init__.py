"""Voxel grids, boxes, volumes and masks in space. Knows no click and no file."""

from CTSAM3DLib.geometry.block_array import BlockArray as BlockArray
from CTSAM3DLib.geometry.box import BoundingBox as BoundingBox
from CTSAM3DLib.geometry.grid import Geometry as Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate as MaskUpdate
from CTSAM3DLib.geometry.volume import Volume as Volume
