"""A user of the effect to whom things happen: after each, the scene is as before or as after."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
from ball_predictor import BallPredictor
from call_faults import CallFaults
from ctsam3d_case import CTSAM3DCase
from segmentation_case import SegmentationCase

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.mrml import volume_from_node
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession

PLACES = [(x, y, z) for x in (38.0, 54.0, 66.0) for y in (36.0, 50.0) for z in (54.0, 69.0)]
ROUNDS = 2_000


class FaultCase:
    """A case of the effect that does one step after the other, each with a fault."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.case: CTSAM3DCase | None = None
        self.renew()

    # ---- what there is

    def renew(self) -> None:
        """Begin in a new scene, with a block in the other segment."""
        self.close()
        slicer.mrmlScene.Clear()
        self.case = CTSAM3DCase()
        block = np.zeros(self.case.mask().shape, np.uint8)
        block[14:26, 14:30, 14:26] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            block, self.case.segmentation, "other", self.case.volume
        )
        self.activate()

    def close(self) -> None:
        if self.case is not None:
            self.case.close()
            alive = [thread.name for thread in threading.enumerate()]
            assert not any("CTSAM3D inference" in name for name in alive), alive

    def activate(self) -> None:
        """Have the effect in front, and other segments give way to it."""
        self.case.effect = self.case.activate("CT-SAM3D")
        self.case.effect.options.overwriteBox.checked = True

    def state(self) -> tuple[np.ndarray, np.ndarray, ClickHistory]:
        return self.case.mask("organ"), self.case.mask("other"), self.case.clicks()

    def settle(self) -> None:
        """Let the application go on until nothing is under way; fail if that never ends."""
        for _ in range(ROUNDS):
            slicer.app.processEvents()
            if not self.case.controller.busy:
                slicer.app.processEvents()
                return
            assert self.case.logic.engine.is_working or self.case.controller.waiting.is_active, (
                "waits for ever"
            )
            time.sleep(0.002)
        raise AssertionError("not settled")

    # ---- one step

    def choose(self) -> tuple[str, ClickHistory]:
        """Return what the user does next, and the prompts that this gives."""
        clicks = self.case.clicks()
        action = self.rng.choice(["inside"] * 4 + ["outside", "remove", "clear"])
        if len(clicks) > 3:
            action = "clear"
        if not clicks:
            action = "inside"
        if action in ("inside", "outside"):
            at = self.rng.choice(PLACES)
            self.place = at
            return action, clicks.added(Click(at, action == "inside"))
        return action, ClickHistory() if action == "clear" else clicks[:-1]

    def act(self, action: str) -> None:
        effect = self.case.effect
        if action in ("inside", "outside"):
            effect.onClick(self.place, action == "inside")
        elif action == "remove":
            effect.onRemoveLast()
        else:
            effect.onClear()

    def expected(self, before: tuple, prompts: ClickHistory) -> tuple:
        """Return what there is after a step, without Slicer's writing."""
        session = InteractiveSession.for_volume(
            volume_from_node(self.case.volume), BallPredictor(), 2.0
        )
        session.set_prompts(prompts)
        return session.mask, before[1] & ~session.mask, prompts

    def differs(self, found: tuple, wanted: tuple) -> str:
        """Return what of a state is another one."""
        parts = [
            name
            for name, one, other in zip(("organ", "other"), found, wanted, strict=False)
            if not np.array_equal(one, other)
        ]
        return " ".join(parts + ["prompts"] * (_rounded(found[2]) != _rounded(wanted[2])))

    def outcome(self, before: tuple, after: tuple, what: str) -> str:
        """Return whether the scene is as before or as after the step; anything else fails."""
        found = self.state()
        not_before, not_after = self.differs(found, before), self.differs(found, after)
        assert not not_before or not not_after, (
            f"{what}: between; not before: {not_before}; not after: {not_after}"
        )
        return "after" if not_before else "before"

    def checked(self, outcome: str, action: str, before: tuple, after: tuple, what: str) -> None:
        """The step can still be done, undone and done again; nothing is left over."""
        if outcome == "before" and self.differs(before, after):
            self.act(action)
            self.settle()
            lacks = self.differs(self.state(), after)
            status = self.case.effect.editor.status
            assert not lacks, f"{what}: {action} cannot be done again: {lacks}, {status}"
        self.undone(before, after, what)
        threads = [t for t in threading.enumerate() if "CTSAM3D inference" in t.name]
        assert len(threads) <= 1, threads

    def undone(self, before: tuple, after: tuple, what: str) -> None:
        if not self.differs(before, after):
            return
        self.case.editor.undo()
        self.settle()
        assert not self.differs(self.state(), before), (
            f"{what}: undo: {self.differs(self.state(), before)}"
        )
        self.case.editor.redo()
        self.settle()
        assert not self.differs(self.state(), after), f"{what}: redo"

    # ---- the faults

    def fault(self, kind: str) -> str:
        """Do a step with a fault of some kind; return what there is then."""
        action, prompts = self.choose()
        before = self.state()
        after = self.expected(before, prompts)
        return getattr(self, kind)(action, before, after)

    def _ended(self, kind: str, action: str, before: tuple, after: tuple) -> str:
        self.settle()
        outcome = self.outcome(before, after, kind)
        self.checked(outcome, action, before, after, kind)
        return outcome

    def model_fails(self, action: str, before: tuple, after: tuple) -> str:
        errors = (RuntimeError("CUDA out of memory"), MemoryError(), KeyboardInterrupt(),
                  ModuleNotFoundError("No module named 'torch'"), SystemExit(1))  # fmt: skip
        self.case.predictor.fail_next = error = self.rng.choice(errors)
        self.act(action)
        self.settle()
        self.case.predictor.fail_next = None
        return self._ended(f"model fails ({type(error).__name__})", action, before, after)

    def call_fails(self, action: str, before: tuple, after: tuple) -> str:
        """Memory runs out at some call while the answer is written."""
        error = self.rng.choice((MemoryError, RuntimeError, OSError))
        faults = CallFaults(self.case.controller.drain, self.rng.randint(1, 260), error)
        with mock.patch.object(self.case.controller, "drain", faults):
            self.act(action)
            try:
                self.settle()
            except AssertionError as stuck:
                raise AssertionError(f"{faults.hit}, {action}") from stuck
        outcome = self._ended(f"{error.__name__} in {faults.hit}", action, before, after)
        return outcome if faults.hit else self.fault("call_fails")  # too few calls for this one

    def clock_jumps(self, action: str, before: tuple, after: tuple) -> str:
        jump = self.rng.choice((-1e9, -3600.0, 3600.0, 1e9))
        real = {name: getattr(time, name) for name in ("time", "perf_counter")}
        with mock.patch.multiple(
            time, **{name: lambda real=clock: real() + jump for name, clock in real.items()}
        ):
            self.act(action)
            self.settle()
        return self._ended("clock", action, before, after)

    def _held(self, action: str) -> None:
        """Do a step whose answer is held back."""
        self.case.predictor.gate.clear()
        self.act(action)

    def _goes_on(self) -> None:
        self.case.predictor.gate.set()

    def saved(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        path = self.folder / "saved.seg.nrrd"
        assert slicer.util.saveNode(self.case.segmentation, str(path))
        self._goes_on()
        found = read_segmentation(path)
        for name, mask in zip(("organ", "other"), before, strict=False):
            if not before[0].any():  # then Slicer saves smaller voxels
                break
            size_mm3 = found[name].mask.voxel_count * np.prod(found.geometry.spacing_mm)
            assert round(size_mm3) == int(mask.sum()) * 12
        assert _rounded(found["organ"].clicks) == _rounded(before[2])
        return self._ended("saved", action, before, after)

    def cancelled(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        self.case.controller.cancel()
        self._goes_on()
        return self._ended("cancelled", action, before, after)

    def engine_replaced(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        timer = threading.Timer(0.01, self._goes_on)
        timer.start()
        self.case.logic.setEngine(SegmentationEngine(lambda model, device: self.case.predictor))
        timer.join()
        return self._ended("engine replaced", action, before, after)

    def effect_left(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        self.case.editor.setActiveEffect(None)
        self._goes_on()
        self.settle()
        self.activate()
        return self._ended("effect left", action, before, after)

    def another_segment(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        self.case.editor.setCurrentSegmentID("other")
        self._goes_on()
        self.settle()
        self.case.editor.setCurrentSegmentID("organ")
        return self._ended("another segment", action, before, after)

    def another_editor(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        other = SegmentationCase(self.case.volume)
        other.activate("CT-SAM3D")
        self._goes_on()
        self.settle()
        assert not other.mask("organ").any()
        other.close()
        for node in (other.node, other.segmentation):
            slicer.mrmlScene.RemoveNode(node)
        self.activate()
        return self._ended("another editor", action, before, after)

    def module_reloaded(self, action: str, before: tuple, after: tuple) -> str:
        self._held(action)
        self._goes_on()
        slicer.util.reloadScriptedModule("CTSAM3D")
        self.case.logic = slicer.util.getModuleLogic("CTSAM3D")
        self.case.logic.setEngine(SegmentationEngine(lambda model, device: self.case.predictor))
        return self._ended("module reloaded", action, before, after)

    def _destroyed(self, victim: str, action: str, before: tuple, after: tuple) -> str:
        """What is destroyed takes the answer with it; what stays is as before."""
        self._held(action)
        scene = slicer.mrmlScene
        if victim == "scene":
            scene.Clear()
        elif victim == "segment":
            self.case.segmentation.RemoveSegment("organ")
        elif victim == "voxels":
            slicer.util.arrayFromVolume(self.case.volume)[:] = -1000
            slicer.util.arrayFromVolumeModified(self.case.volume)
        elif victim == "image":
            self.case.volume.SetAndObserveImageData(None)
        else:
            scene.RemoveNode(getattr(self.case, victim))
        self._goes_on()
        self.settle()
        if victim in ("voxels", "volume", "image", "node"):
            stored = slicer.vtkOrientedImageData()
            self.case.segmentation.GetBinaryLabelmapRepresentation("organ", stored)
            voxels = slicer.util.arrayFromSegmentInternalBinaryLabelmap
            array = voxels(self.case.segmentation, "organ") if before[0].any() else None
            label = self.case.segmentation.GetSegmentation().GetSegment("organ").GetLabelValue()
            count = 0 if array is None else int((array == label).sum())
            assert count == int(before[0].sum()), victim
        elif victim == "segment":
            assert np.array_equal(self.case.mask("other"), before[1])
        elif victim == "segmentation":
            assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.renew()
        return "before"

    def scene_closed(self, *step: object) -> str:
        return self._destroyed("scene", *step)

    def segment_deleted(self, *step: object) -> str:
        return self._destroyed("segment", *step)

    def segmentation_deleted(self, *step: object) -> str:
        return self._destroyed("segmentation", *step)

    def volume_deleted(self, *step: object) -> str:
        return self._destroyed("volume", *step)

    def volume_replaced(self, *step: object) -> str:
        return self._destroyed("voxels", *step)

    def volume_emptied(self, *step: object) -> str:
        return self._destroyed("image", *step)

    def editor_deleted(self, *step: object) -> str:
        return self._destroyed("node", *step)


def _rounded(prompts: ClickHistory) -> list:
    return [(click.positive, tuple(np.round(click.position_ras, 3))) for click in prompts.clicks]


KINDS = {
    "model fails": "model_fails", "a call fails while it is written": "call_fails",
    "clock jumps": "clock_jumps", "saved meanwhile": "saved", "cancelled": "cancelled",
    "engine replaced": "engine_replaced", "effect left": "effect_left",
    "another segment chosen": "another_segment", "second editor": "another_editor",
    "module reloaded": "module_reloaded", "scene closed": "scene_closed",
    "segment deleted": "segment_deleted", "segmentation deleted": "segmentation_deleted",
    "volume deleted": "volume_deleted", "volume replaced": "volume_replaced",
    "volume emptied": "volume_emptied", "editor node deleted": "editor_deleted",
}  # fmt: skip
