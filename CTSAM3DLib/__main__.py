"""``python -m CTSAM3DLib``."""

from __future__ import annotations

import sys

from CTSAM3DLib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
