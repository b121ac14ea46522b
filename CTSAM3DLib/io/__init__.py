"""Files: one format a module. Knows no model and no session."""

from CTSAM3DLib.io.clicks import read_clicks as read_clicks
from CTSAM3DLib.io.hounsfield import hu_warning as hu_warning
from CTSAM3DLib.io.image import read_scan as read_scan
from CTSAM3DLib.io.image import read_volume as read_volume
from CTSAM3DLib.io.image import size_warning as size_warning
from CTSAM3DLib.io.segment import Segment as Segment
from CTSAM3DLib.io.segmentation import write_segmentation as write_segmentation
