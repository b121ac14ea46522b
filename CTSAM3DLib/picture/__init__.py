"""One PNG of a result: planes, front view, tiles. Knows no session."""

from CTSAM3DLib.picture.picture import write_picture as write_picture
