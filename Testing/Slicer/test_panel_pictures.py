"""Pictures of panel and views, written to build/test-pictures; the test window is not Slicer."""

from __future__ import annotations

import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
from CTSAM3DModuleLib.editing.markers import LOOKS
from event_loop import until
from panel_case import MIDDLE, PanelCase
from segmentation_case import ball_volume
from view_mouse import click_and_wait, drag_xy, xy_of

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
        return image

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
            click_and_wait(self.case, place)
        self.case.press("outsideButton")
        click_and_wait(self.case, (36.0, 46.0, 54.0))

    def test_shapes_and_the_list_of_prompts(self):
        ui = self.case.ui
        ui.promptsSection.collapsed = False
        self.addCleanup(setattr, ui.promptsSection, "collapsed", True)
        self.case.add("liver")
        x, y = xy_of("Red", MIDDLE)
        for tool, sign, start, end in (
            ("boxButton", "insideButton", (-60, -50), (60, 50)),
            ("strokeButton", "insideButton", (-25, 0), (25, 10)),
            ("strokeButton", "outsideButton", (-60, 70), (60, 70)),
        ):
            self.case.press(tool)
            if not getattr(ui, sign).checked:
                self.case.press(sign)
            drag_xy("Red", (x + start[0], y + start[1]), (x + end[0], y + end[1]))
            self.case.settle()
        self.case.press("lassoButton")
        self.case.press("insideButton")
        editor = self.case.widget.panel.workplace.editor
        turn = np.linspace(0.0, 2 * np.pi, 30)
        way = np.stack([60 + 8 * np.cos(turn), 50 + 6 * np.sin(turn), np.full(30, 60.0)], axis=1)
        self.assertTrue(editor.draw("lasso", way, True))
        self.case.settle()
        image = self.picture("panel-shapes.png").convertToFormat(qt.QImage.Format_RGB32)
        pixels = np.frombuffer(image.constBits(), np.uint8)
        pixels = pixels.reshape(image.height(), image.width(), 4)[:430, PANEL_WIDTH:840, 2::-1]
        for positive, length in ((True, 600), (False, 100)):  # of the lines in the axial view
            colour = 255 * np.array(LOOKS[positive][1])
            like = np.abs(pixels - colour).max(axis=-1) < 40
            self.assertGreater(like.sum(), length)

    test_shapes_and_the_list_of_prompts.slow = True

    def test_panel_and_go_to_the_next_and_learning(self):
        self.segment_three()
        self.picture("panel.png")
        panel = self.case.widget.parent
        self.assertLessEqual(panel.minimumSizeHint.width(), PANEL_WIDTH - 20)
        self.case.press("worstButton")
        until(lambda: "uncertainty" in self.case.status, "the uncertainties")
        ui = self.case.ui
        for section, is_open in (
            (ui.structureSection, False),
            (ui.promptsSection, True),
            (ui.learningSection, True),
        ):
            self.addCleanup(setattr, section, "collapsed", is_open)
            section.collapsed = not is_open
        self.picture("panel-next.png")
        ui.moreSection.collapsed = False
        self.addCleanup(setattr, ui.moreSection, "collapsed", True)
        ui.structureSection.collapsed = False
        slicer.app.processEvents()
        self.assertLessEqual(panel.minimumSizeHint.width(), PANEL_WIDTH - 20)  # a scroll bar beside

    test_panel_and_go_to_the_next_and_learning.slow = True

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

    test_panel_while_searching_and_busy.slow = True
