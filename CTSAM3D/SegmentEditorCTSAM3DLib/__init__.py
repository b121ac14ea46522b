"""The Segment Editor effect."""

from SegmentEditorCTSAM3DLib.SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
