"""Slicer nodes to and from the library: the only code that imports slicer and vtk.

Nodes and logics come as arguments; there is no use of `slicer.mrmlScene`, `slicer.app`,
`slicer.modules` or `slicer.util`, so all of it runs on the slicer-core wheel as it is. Main
thread only, as for all of MRML.
"""

from CTSAM3DLib.mrml.clicks import (
    click_from_control_point,
    click_from_world_ras,
    clicks_from_markups_node,
    is_defined,
    world_from_click,
)
from CTSAM3DLib.mrml.limits import voxels_inside_roi
from CTSAM3DLib.mrml.prompts import (
    MARKUPS_CLASSES,
    prompt_from_world_ras,
    set_markup_points,
    shape_from_markup,
    world_points,
)
from CTSAM3DLib.mrml.segments import (
    SegmentTarget,
    add_segment,
    mask_digest,
    prepare_segmentation,
    read_segment,
    read_segment_in,
)
from CTSAM3DLib.mrml.tags import (
    get_prompts,
    prompts_text,
    segment_model,
    set_prompts,
    set_segment_model,
)
from CTSAM3DLib.mrml.volumes import (
    VolumeIdentity,
    volume_from_node,
    volume_identity,
)
from CTSAM3DLib.mrml.writing import write_segment

__all__ = [
    "MARKUPS_CLASSES",
    "SegmentTarget",
    "VolumeIdentity",
    "add_segment",
    "click_from_control_point",
    "click_from_world_ras",
    "clicks_from_markups_node",
    "get_prompts",
    "is_defined",
    "mask_digest",
    "prepare_segmentation",
    "prompt_from_world_ras",
    "prompts_text",
    "read_segment",
    "read_segment_in",
    "segment_model",
    "set_markup_points",
    "set_prompts",
    "set_segment_model",
    "shape_from_markup",
    "volume_from_node",
    "volume_identity",
    "voxels_inside_roi",
    "world_from_click",
    "world_points",
    "write_segment",
]
