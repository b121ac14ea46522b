"""Faults under a click in the panel: segment and prompts are those of before or after it."""

from __future__ import annotations

import random
import threading
from collections import Counter

import numpy as np
import pytest
import slicer
from ball_predictor import BallPredictor
from fault_table import show
from panel_case import MIDDLE, PanelCase
from view_mouse import click

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.mrml import volume_from_node
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession
from Testing.HeadlessSlicer import callback_errors

MANY = 44
BESIDE = (60.0, 44.0, 60.0)
ERRORS = (
    RuntimeError("CUDA out of memory"), MemoryError(), KeyboardInterrupt(), SystemExit(1),
    ModuleNotFoundError("No module named 'torch'"), OSError("disk"),
)  # fmt: skip


class PanelFaults:
    """A panel with a structure; each call does a click, a fault in the middle of it, and looks."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def fault(self, kind: str) -> str:
        slicer.mrmlScene.Clear()
        self.case = PanelCase()
        try:
            return self._fault(kind)
        finally:
            self.case.close()
            slicer.app.processEvents()
            callback_errors.take()  # what is raised into Slicer is shown there; here it is wanted
            alive = [t.name for t in threading.enumerate() if "CTSAM3D inference" in t.name]
            assert not alive, alive

    def _fault(self, kind: str) -> str:
        case = self.case
        case.add("liver")
        case.press("insideButton")
        if self.rng.random() < 0.5:
            click("Red", MIDDLE)
            case.settle()
        before = case.mask(), case.clicks()
        case.predictor.gate.clear()
        click("Red", BESIDE)
        stays = getattr(self, kind)()
        case.predictor.gate.set()
        case.settle()
        assert not case.ui.cancelButton.enabled
        assert case.ui.progressBar.maximum == 1
        return self._outcome(before) if stays else self._works_again()

    def _outcome(self, before: tuple[np.ndarray, ClickHistory]) -> str:
        """Return whether all is as before or as after the click; anything else fails."""
        case = self.case
        segment = case.segmentation.GetSegmentation().GetNthSegmentID(0)
        found = case.mask(segment), case.clicks(segment)
        if _equal(found, before):
            return "before"
        session = InteractiveSession.for_volume(volume_from_node(case.volume), BallPredictor(), 2.0)
        made = found[1][-1].position_ras  # at a pixel of the view
        assert np.allclose(made, BESIDE, atol=0.5), made
        prompts = before[1].added(Click(made, True))
        session.set_prompts(prompts)
        assert _equal(found, (session.mask, prompts)), f"between: {len(found[1])} clicks"
        return "after"

    def _works_again(self) -> str:
        """What the click belonged to is gone; on a new CT the panel does its work."""
        slicer.mrmlScene.Clear()
        self.case.close()
        self.case = PanelCase()
        self.case.add("spleen")
        self.case.press("insideButton")
        click("Red", MIDDLE)
        self.case.settle()
        assert self.case.mask().any()
        assert len(self.case.clicks()) == 1
        return "before"

    # ---- the faults; False: what the click belonged to is gone

    def model_fails(self) -> bool:
        self.case.predictor.fail_next = self.rng.choice(ERRORS)
        return True

    def cancelled(self) -> bool:
        self.case.press("cancelButton")
        return True

    def engine_replaced(self) -> bool:
        timer = threading.Timer(0.01, self.case.predictor.gate.set)
        timer.start()
        self.case.logic.setEngine(SegmentationEngine(self.case.load))
        timer.join()
        return True

    def panel_left(self) -> bool:
        self.case.panel.exit()
        self.case.panel.enter()
        return True

    def another_structure(self) -> bool:
        self.case.add("spleen")
        return True

    def scene_closed(self) -> bool:
        slicer.mrmlScene.Clear()
        return False

    def volume_deleted(self) -> bool:
        slicer.mrmlScene.RemoveNode(self.case.volume)
        return False

    def segmentation_deleted(self) -> bool:
        slicer.mrmlScene.RemoveNode(self.case.segmentation)
        return False

    def segment_deleted(self) -> bool:
        self.case.segmentation.GetSegmentation().RemoveSegment(self.case.segment_id)
        return False

    def volume_emptied(self) -> bool:
        self.case.volume.SetAndObserveImageData(None)
        return False

    def volume_replaced(self) -> bool:
        slicer.util.arrayFromVolume(self.case.volume)[:] = -1000
        slicer.util.arrayFromVolumeModified(self.case.volume)
        return False


KINDS = [name for name in vars(PanelFaults) if not name.startswith("_") and name != "fault"]


def _equal(one: tuple, other: tuple) -> bool:
    places = [
        [(c.positive, tuple(np.round(c.position_ras, 3))) for c in state[1].clicks]
        for state in (one, other)
    ]
    return np.array_equal(one[0], other[0]) and places[0] == places[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_of_each_kind(kind: str) -> None:
    faults = PanelFaults(1)
    assert {faults.fault(kind) for _ in range(2)} <= {"before", "after"}


@pytest.mark.slow
def test_many_faults(capsys: pytest.CaptureFixture[str]) -> None:
    faults = PanelFaults(2)
    kinds = [KINDS[n % len(KINDS)] for n in range(MANY)]
    found = Counter((kind, faults.fault(kind)) for kind in kinds)
    show("panel", found, capsys)
    assert found.total() == MANY
