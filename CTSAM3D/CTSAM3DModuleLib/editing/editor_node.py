"""What panel and effect agree on about segmentations and the node of the Segment Editor."""

from __future__ import annotations

from typing import Any

import slicer

OVERWRITE_CHOSEN = "CTSAM3D.OverwriteChosen"
_SEGMENT_EVENTS = (
    "SegmentAdded",
    "SegmentRemoved",
    "SegmentModified",
    "SourceRepresentationModified",
)


def segment_events() -> list[int]:
    """Return the events of a segmentation that undo, redo and other tools send."""
    return [getattr(slicer.vtkSegmentation, name) for name in _SEGMENT_EVENTS]


def keep_other_segments(editor_node: Any) -> None:
    """Let no other segment lose voxels, unless the user has said so before or says so later."""
    if editor_node.GetAttribute(OVERWRITE_CHOSEN) is None:
        editor_node.SetAttribute(OVERWRITE_CHOSEN, "1")
        editor_node.SetOverwriteMode(editor_node.OverwriteNone)
