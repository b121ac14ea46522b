"""Sessions of many structures on one thread. Knows no node and no widget."""

from CTSAM3DLib.engine.engine import SegmentationEngine as SegmentationEngine
from CTSAM3DLib.engine.messages import ClickAnswer as ClickAnswer
from CTSAM3DLib.engine.messages import ClickProgress as ClickProgress
from CTSAM3DLib.engine.messages import ClickRequest as ClickRequest
from CTSAM3DLib.engine.messages import ModelChoice as ModelChoice
