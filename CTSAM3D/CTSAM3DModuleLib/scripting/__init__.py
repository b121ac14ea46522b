"""What `logic.segment(...)` and its sisters offer to Slicer's Python console."""
