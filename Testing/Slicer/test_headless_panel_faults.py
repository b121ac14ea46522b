"""Faults under a click in the panel: segment and prompts are those of before or after it."""

from __future__ import annotations

import ctypes
import random
import threading
from collections import Counter
from concurrent.futures import Future
from unittest import mock

import numpy as np
import pytest
import slicer
from ball_predictor import BallPredictor
from event_loop import until
from fault_table import show
from panel_case import MIDDLE, PanelCase
from view_mouse import click, click_and_wait

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.mrml import volume_from_node
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession
from Testing.HeadlessSlicer import callback_errors

MANY = 75
BLOCK = np.s_[1:4, 1:4, 1:4]  # far from the clicks
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
        case.predictor.threads.clear()
        click("Red", BESIDE)
        stays = getattr(self, kind)()
        case.predictor.gate.set()
        case.settle()
        assert not case.ui.cancelButton.enabled
        assert case.ui.progressBar.maximum == 1
        if not stays:
            return self._works_again()
        outcome = self._painted(before) if kind == "painted_elsewhere" else self._outcome(before)
        if kind not in ("another_structure", "engine_replaced", "painted_elsewhere"):
            self._undone(before, outcome)
        return outcome

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

    def _undone(self, before: tuple[np.ndarray, ClickHistory], outcome: str) -> None:
        """Do the step where it was not done; undo and redo lead back and forth."""
        case = self.case
        if outcome == "before":
            if not case.ui.insideButton.checked:  # leaving the panel ends the placing
                case.press("insideButton")
            click("Red", BESIDE)
            case.settle()
        after = case.mask(), case.clicks()
        assert not _equal(before, after), "the step cannot be done again"
        work = case.widget.panel.workplace
        for step, wanted in ((work.undo, before), (work.redo, after)):
            step()
            case.settle()
            assert _equal((case.mask(), case.clicks()), wanted), step.__name__

    def _painted(self, before: tuple[np.ndarray, ClickHistory]) -> str:
        """What another editor painted meanwhile stays; the click is there as a whole or not."""
        mask, prompts = self.case.mask(), self.case.clicks()
        assert mask[BLOCK].all(), "the painting was lost"
        if prompts == before[1]:
            assert not (mask & ~before[0])[_without(BLOCK, mask)].any()
            return "before"
        assert len(prompts) == len(before[1]) + 1
        session = InteractiveSession.for_volume(
            volume_from_node(self.case.volume), BallPredictor(), 2.0
        )
        session.set_prompts(prompts)
        assert (session.mask & ~mask).sum() == 0, "a part of the answer is missing"
        return "after"

    def _works_again(self) -> str:
        """What the click belonged to is gone; on a new CT the panel does its work."""
        slicer.mrmlScene.Clear()
        self.case.close()
        self.case = PanelCase()
        self.case.add("spleen")
        self.case.press("insideButton")
        click_and_wait(self.case, MIDDLE)
        assert self.case.mask().any()
        assert len(self.case.clicks()) == 1
        return "before"

    # ---- the faults; False: what the click belonged to is gone

    def model_fails(self) -> bool:
        self.case.predictor.fail_next = self.rng.choice(ERRORS)
        return True

    def torch_is_missing(self) -> bool:
        self.case.predictor.fail_next = ModuleNotFoundError("No module named 'torch'")
        return True

    def thread_is_ended(self) -> bool:
        until(lambda: self.case.predictor.threads, "the model is asked")
        (thread,) = (t for t in threading.enumerate() if "CTSAM3D inference" in t.name)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
        )
        return True

    def thread_ends_beside_its_work(self) -> bool:
        with mock.patch.object(Future, "set_result", side_effect=self.rng.choice(ERRORS)):
            self.case.predictor.gate.set()
            self.case.settle()
        assert "its thread ended" in self.case.status
        return True

    def painted_elsewhere(self) -> bool:
        mask = self.case.mask()
        mask[BLOCK] = True
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), self.case.segmentation, self.case.segment_id, self.case.volume
        )
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
# Of each outcome one: the other kinds are in the many, and most under the effect in each run.
FEW = ("thread_is_ended", "painted_elsewhere", "another_structure", "panel_left", "volume_deleted")


def _without(block: tuple[slice, ...], mask: np.ndarray) -> np.ndarray:
    elsewhere = np.ones_like(mask)
    elsewhere[block] = False
    return elsewhere


def _equal(one: tuple, other: tuple) -> bool:
    places = [
        [(c.positive, tuple(np.round(c.position_ras, 3))) for c in state[1].clicks]
        for state in (one, other)
    ]
    return np.array_equal(one[0], other[0]) and places[0] == places[1]


@pytest.mark.parametrize("kind", FEW)
def test_a_fault_of_a_few_kinds(kind: str) -> None:
    assert PanelFaults(KINDS.index(kind)).fault(kind) in ("before", "after")


@pytest.mark.slow
def test_many_faults(capsys: pytest.CaptureFixture[str]) -> None:
    faults = PanelFaults(2)
    kinds = [KINDS[n % len(KINDS)] for n in range(MANY)]
    found = Counter((kind, faults.fault(kind)) for kind in kinds)
    show("panel", found, capsys)
    assert found.total() == MANY
