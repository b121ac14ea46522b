"""The example effect."""

from SegmentEditorHeadlessExampleLib.SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
