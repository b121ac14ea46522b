"""Files: one format a module. Knows no model and no session."""

from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.hounsfield import hu_warning
from CTSAM3DLib.io.image import read_scan, read_volume, size_warning
from CTSAM3DLib.io.segment import Segment
from CTSAM3DLib.io.segmentation import write_segmentation

__all__ = [
    "Segment",
    "hu_warning",
    "read_clicks",
    "read_scan",
    "read_volume",
    "size_warning",
    "write_segmentation",
]
