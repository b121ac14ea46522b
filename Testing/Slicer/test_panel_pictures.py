"""Pictures of panel and views, written to build/test-pictures; the test window is not Slicer."""

from __future__ import annotations

import unittest
from pathlib import Path

import numpy as np
import slicer
from panel_case import MIDDLE, PanelCase
from segmentation_case import ball_volume
from view_mouse import click

FOLDER = Path("build/test-pictures")
PANEL_WIDTH = 400


def body():
    """Add a body of several greys, shown as soft tissue."""
    volume = ball_volume()
    kji = np.indices(slicer.util.arrayFromVolume(volume).shape)
    array = np.full(kji.shape[1:], -1000, np.int16)
    for centre, axes, value in (
        ((20, 22, 24), (19, 17, 22), 0),
        ((20, 22, 24), (7, 6, 6), 110),
        ((22, 30, 30), (6, 5, 5), 180),
        ((18, 20, 15), (4, 4, 4), 60),
        ((20, 35, 24), (19, 3, 3), 400),
    ):
        away = [(kji[n] - centre[n]) / axes[n] for n in range(3)]
        array[np.linalg.norm(away, axis=0) < 1] = value
    noise = np.random.default_rng(1).normal(0, 12, array.shape)
    slicer.util.updateVolumeFromArray(volume, (array + noise).astype(np.int16))
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(-200, 350)
    return volume


class PictureTest(unittest.TestCase):
    def setUp(self):
        if not hasattr(slicer, "headless"):
            self.skipTest("pictures are taken in the test window only")
        slicer.mrmlScene.Clear()
        self.case = PanelCase(body())
        self.addCleanup(self.case.close)
        self.window = slicer.headless.TestWindow(self.case.panel, 1280, 860)
        self.addCleanup(self.window.release)
        slicer.util.resetSliceViews()

    def picture(self, name):
        image = self.window.picture(FOLDER / name)
        self.assertGreater(image.width(), PANEL_WIDTH)
        self.assertTrue((FOLDER / name).is_file())

    def segment_three(self):
        """Segment as a user would: search, add, click."""
        places = {
            "liver": MIDDLE,
            "kidney left": (60.0, 60.0, 66.0),
            "my lesion": (30.0, 40.0, 54.0),
        }
        for name, place in places.items():
            self.case.add(name)
            self.case.press("insideButton")
            click("Red", place)
            self.case.settle()
        self.case.press("outsideButton")
        click("Red", (36.0, 46.0, 54.0))
        self.case.settle()

    def test_panel(self):
        self.segment_three()
        self.picture("panel.png")

    def test_panel_at_start(self):
        self.picture("panel-start.png")

    def test_panel_while_searching_and_busy(self):
        self.segment_three()
        self.ui = self.case.ui
        self.ui.searchBox.text = "kidn"
        self.ui.moreSection.collapsed = False
        self.addCleanup(setattr, self.ui.moreSection, "collapsed", True)
        self.addCleanup(setattr, self.ui.searchBox, "text", "")
        self.case.predictor.gate.clear()
        self.case.press("segmentAllButton")
        self.picture("panel-busy.png")

    def test_width(self):
        self.segment_three()
        panel = self.case.widget.parent
        slicer.app.processEvents()
        self.assertLessEqual(panel.minimumSizeHint.width(), PANEL_WIDTH - 20)


if __name__ == "__main__":
    unittest.main()
