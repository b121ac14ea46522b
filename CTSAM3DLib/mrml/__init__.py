"""Slicer nodes to and from the library: the only code that imports slicer and vtk.

Nodes and logics come as arguments; there is no use of `slicer.mrmlScene`, `slicer.app`,
`slicer.modules` or `slicer.util`, so all of it runs on the slicer-core wheel as it is. Main
thread only, as for all of MRML.
"""

from CTSAM3DLib.mrml.clicks import click_from_control_point as click_from_control_point
from CTSAM3DLib.mrml.clicks import click_from_world_ras as click_from_world_ras
from CTSAM3DLib.mrml.clicks import clicks_from_markups_node as clicks_from_markups_node
from CTSAM3DLib.mrml.clicks import is_defined as is_defined
from CTSAM3DLib.mrml.clicks import world_from_click as world_from_click
from CTSAM3DLib.mrml.limits import box_of_roi as box_of_roi
from CTSAM3DLib.mrml.limits import voxels_inside_roi as voxels_inside_roi
from CTSAM3DLib.mrml.prompts import MARKUPS_CLASSES as MARKUPS_CLASSES
from CTSAM3DLib.mrml.prompts import prompt_from_world_ras as prompt_from_world_ras
from CTSAM3DLib.mrml.prompts import set_markup_points as set_markup_points
from CTSAM3DLib.mrml.prompts import shape_from_markup as shape_from_markup
from CTSAM3DLib.mrml.prompts import world_points as world_points
from CTSAM3DLib.mrml.segments import SegmentTarget as SegmentTarget
from CTSAM3DLib.mrml.segments import add_segment as add_segment
from CTSAM3DLib.mrml.segments import mask_digest as mask_digest
from CTSAM3DLib.mrml.segments import prepare_segmentation as prepare_segmentation
from CTSAM3DLib.mrml.segments import read_segment as read_segment
from CTSAM3DLib.mrml.segments import read_segment_in as read_segment_in
from CTSAM3DLib.mrml.tags import get_prompts as get_prompts
from CTSAM3DLib.mrml.tags import prompts_text as prompts_text
from CTSAM3DLib.mrml.tags import segment_model as segment_model
from CTSAM3DLib.mrml.tags import set_prompts as set_prompts
from CTSAM3DLib.mrml.tags import set_segment_model as set_segment_model
from CTSAM3DLib.mrml.volumes import VolumeIdentity as VolumeIdentity
from CTSAM3DLib.mrml.volumes import volume_from_node as volume_from_node
from CTSAM3DLib.mrml.volumes import volume_identity as volume_identity
from CTSAM3DLib.mrml.writing import write_segment as write_segment
