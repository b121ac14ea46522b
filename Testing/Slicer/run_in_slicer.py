"""Run the tests of this folder inside 3D Slicer; the exit code tells whether all have passed.

``Slicer --testing --no-splash --additional-module-paths CTSAM3D --python-script
Testing/Slicer/run_in_slicer.py [test_effect ...]``, in the folder of the repository.
"""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def listed_tests() -> list[str]:
    """Return the names of the tests that CMakeLists.txt adds: all but those of the stand-in."""
    names = sorted(path.stem for path in FOLDER.glob("test_*.py"))
    return [name for name in names if not name.startswith("test_headless_")]


def main(names: list[str]) -> int:
    """Run tests by name, all of them by default; returns the exit code."""
    sys.path.append(str(FOLDER))
    loader = unittest.defaultTestLoader
    tests = [loader.loadTestsFromName(name) for name in names or listed_tests()]
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(tests))
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    import slicer

    slicer.util.exit(main(sys.argv[1:]))
