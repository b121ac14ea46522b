"""Sessions of many structures on one thread. Knows no node and no widget."""

from CTSAM3DLib.engine.engine import SegmentationEngine
from CTSAM3DLib.engine.messages import ClickAnswer, ClickProgress, ClickRequest, ModelChoice

__all__ = ["ClickAnswer", "ClickProgress", "ClickRequest", "ModelChoice", "SegmentationEngine"]
