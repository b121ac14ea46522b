"""What `conformance.py` runs in processes of their own: Slicer's tests, and Slicer's effects."""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from Testing import HeadlessSlicer

SHAPE = (30, 32, 34)


def counts(result: unittest.TestResult) -> dict[str, int]:
    """Return how many tests ran and passed."""
    bad = len(result.failures) + len(result.errors)
    return {"run": result.testsRun, "passed": result.testsRun - bad}


def run_tests(path: Path) -> unittest.TestResult:
    """Run a file of Slicer's tests."""
    slicer = HeadlessSlicer.start()
    # Imported by the tests of widgets, and not in slicer-api.json.
    slicer.qMRMLSubjectHierarchyComboBox = type("qMRMLSubjectHierarchyComboBox", (), {})
    sys.path.insert(0, str(path.parent))
    suite = unittest.TestLoader().loadTestsFromName(path.stem)
    return unittest.TextTestRunner(verbosity=0).run(suite)


class StockEffects(unittest.TestCase):
    """Slicer's own effects, their voxel counts against scipy, with undo and redo."""

    case: Any

    def setUp(self) -> None:
        """Make two boxes, the second with an island, and an editor on them."""
        import slicer
        from segmentation_case import SegmentationCase

        slicer.mrmlScene.Clear()
        volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), name="CT")
        self.case = SegmentationCase(volume)
        self.first, self.second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
        self.first[8:18, 8:18, 8:18] = True
        self.second[14:24, 8:18, 8:18] = True
        self.second[2:4, 2:4, 2:4] = True
        for name, mask in (("organ", self.first), ("other", self.second)):
            slicer.util.updateSegmentBinaryLabelmapFromArray(
                mask.astype(np.uint8), self.case.segmentation, name, volume
            )
        self.case.node.SetOverwriteMode(self.case.node.OverwriteNone)

    def tearDown(self) -> None:
        """End the editor."""
        self.case.close()

    def apply(self, effect_name: str, expected: np.ndarray, **parameters: Any) -> None:
        """Apply an effect to a segment, undo, redo; compare each with what it must be."""
        effect = self.case.activate(effect_name)
        segment = self.case.editor.currentSegmentID()
        before = self.case.mask(segment)
        for name, value in parameters.items():
            effect.scriptedEffect.setParameter(name, value)
        effect.onApply()
        np.testing.assert_array_equal(self.case.mask(segment), expected)
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(segment), before)
        self.case.editor.redo()
        np.testing.assert_array_equal(self.case.mask(segment), expected)

    def test_logical(self) -> None:
        """Union, difference and intersection of two segments."""
        for operation, expected in [
            ("UNION", self.first | self.second),
            ("SUBTRACT", self.first & ~self.second),
            ("INTERSECT", self.first & self.second),
        ]:
            with self.subTest(operation=operation):
                self.setUp()
                self.apply(
                    "Logical operators", expected, Operation=operation, ModifierSegmentID="other"
                )

    def test_margin(self) -> None:
        """Growing by 3 mm on a grid of 1 mm."""
        effect = self.case.activate("Margin")
        effect.scriptedEffect.setParameter("MarginSizeMm", 3.0)
        effect.onApply()
        grown = self.case.mask()
        distance = ndimage.distance_transform_edt(~self.first)
        # The kernel is an ellipsoid of 7 voxels a side; its rim is a matter of rounding.
        assert (grown[distance <= 2.5]).all()
        assert not (grown[distance > 4.0]).any()
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), self.first)

    def test_islands(self) -> None:
        """The largest island stays."""
        self.case.editor.setCurrentSegmentID("other")
        largest = self.second.copy()
        largest[2:4, 2:4, 2:4] = False
        self.apply("Islands", largest, Operation="KEEP_LARGEST_ISLAND")

    def test_hollow(self) -> None:
        """A shell is left around the segment."""
        effect = self.case.activate("Hollow")
        effect.scriptedEffect.setParameter("ShellMode", "OUTSIDE_SURFACE")
        effect.scriptedEffect.setParameter("ShellThicknessMm", 2.0)
        effect.onApply()
        shell = self.case.mask()
        assert shell.any()
        assert not shell[11:15, 11:15, 11:15].any()
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), self.first)


def run_effects() -> unittest.TestResult:
    """Register Slicer's effects and run them."""
    slicer = HeadlessSlicer.start()
    import qt
    import SegmentEditorEffects
    from qSlicerSegmentationsEditorEffectsPythonQt import qSlicerSegmentEditorScriptedEffect

    from Testing.HeadlessSlicer import window

    window.create_views()
    main_window = qt.QWidget()
    slicer.util.mainWindow = lambda verbose=True: main_window
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Slicer"))
    folder = Path(SegmentEditorEffects.__file__).parent
    for name in ("Logical", "Margin", "Islands", "Hollow"):
        effect = qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource((folder / f"SegmentEditor{name}Effect.py").as_posix())
        effect.self().register()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(StockEffects)
    return unittest.TextTestRunner(verbosity=0).run(suite)


if __name__ == "__main__":
    outcome = run_effects() if sys.argv[1] == "effects" else run_tests(Path(sys.argv[2]))
    sys.stdout.write(json.dumps(counts(outcome)) + "\n")
    sys.exit(not outcome.wasSuccessful())
