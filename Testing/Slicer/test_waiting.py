"""Threads run Python while Slicer idles, whose main thread holds Python's lock meanwhile."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import unittest
import weakref
from dataclasses import replace
from pathlib import Path
from unittest import mock

import qt
import slicer
from ball_predictor import BallPredictor
from ctsam3d_case import CTSAM3DCase
from CTSAM3DModuleLib.scripting.carrying import carry_requests, tracks_of
from CTSAM3DModuleLib.waiting import PAUSE_MS, Waiting
from event_loop import HANG_S, until
from models_case import ModelsCase, imported
from panel_case import MIDDLE, StateTestCase, ready_torch

from CTSAM3DLib.engine import SegmentationEngine

TURN_US = 5000
STEPS = 300_000


def work():
    """Run Python for a while, which needs its lock."""
    total = 0
    for number in range(STEPS):
        total += number
    return total


class WorkingPredictor(BallPredictor):
    """Needs Python's lock for a while."""

    def _enter(self):
        work()
        super()._enter()


def turns_until(happened):
    """Idle until something has happened, as Slicer does; return how often, 5 ms each."""
    holding_the_lock = ctypes.PyDLL(None)  # CDLL would release it
    for turns in range(int(HANG_S * 1e6 / TURN_US)):
        if happened():
            return turns
        holding_the_lock.usleep(TURN_US)
        slicer.app.processEvents()
    raise TimeoutError("a thread did not get to run")


class LockTest(StateTestCase):
    """A turn is longer than half the pause of the timer: after two of them the lock is released."""

    def setUp(self):
        super().setUp()
        self.start(predictor=WorkingPredictor())
        self.waiting = self.case.logic.controller.waiting

    def assert_lock_is_released_until(self, happened):
        before = self.waiting.rounds
        turns = turns_until(happened)
        self.assertLessEqual(turns, 3 * (self.waiting.rounds - before) + 3)

    def test_structures_computed_again(self):
        for name, place in (("liver", (36.0, 44.0, 60.0)), ("spleen", (60.0, 44.0, 60.0))):
            self.segment(name, place)
            self.case.press("insideButton")
        self.case.press("segmentAllButton")
        self.assert_lock_is_released_until(lambda: not self.case.logic.controller.busy)
        self.assertIn("Structures: 2.", self.case.status)

    def test_a_click(self):
        self.segment(wait=False)
        self.assert_lock_is_released_until(lambda: not self.case.logic.controller.busy)

    def test_what_the_engine_does_besides_requests(self):
        engine = self.case.logic.engine
        ran = threading.Event()
        engine.run(lambda predictor: work() and ran.set())
        self.assert_lock_is_released_until(ran.is_set)
        self.case.settle()
        self.case.logic.setEngine(SegmentationEngine(lambda model, device: work() and None))
        self.case.logic.engine.prepare()
        self.assert_lock_is_released_until(lambda: not self.case.logic.engine.is_working)

    def test_what_is_carried_to_the_next_frame(self):
        self.segment()
        answers, controller = [], self.case.logic.controller
        editor = self.case.widget.panel.workplace.editor
        _, volume = controller.volumes.get(self.case.volume)
        tracks = tracks_of(self.case.segmentation, self.case.volume, ["Liver"])
        for request in carry_requests(volume, "next frame", tracks, editor.choice):
            controller.questions.carry(request, answers.append)
        self.assert_lock_is_released_until(lambda: not controller.busy)
        self.assertEqual(len(answers), 1)

    def test_the_patch_under_a_resting_mouse(self):
        self.case.add("liver")
        self.case.widget.panel.workplace.editor.hover(MIDDLE)
        self.assert_lock_is_released_until(lambda: not self.case.logic.engine.is_working)
        self.assertEqual(self.case.predictor.encoded, 1)

    def test_it_ends_with_the_work(self):
        self.segment()
        rounds = []

        def rests():
            """Tell whether twenty turns went by without a round: spare work may start again."""
            rounds.append(self.waiting.rounds)
            return len(rounds) > 20 and rounds[-21] == rounds[-1]

        turns_until(rests)

    def test_import_of_pytorch_goes_on_when_the_panel_is_left(self):
        begun, gate, ended = (threading.Event() for _ in range(3))
        torch = ready_torch()

        def import_module(name):
            begun.set()
            gate.wait(HANG_S)
            work()
            ended.set()
            return torch.import_module(name)

        section = self.case.widget.panel.torch
        section.setup = replace(torch, import_module=import_module)
        with mock.patch.dict(sys.modules):
            sys.modules.pop("torch", None)
            section.refresh()
        self.assertTrue(begun.wait(HANG_S))
        self.case.panel.exit()
        before = self.case.ui.torchLabel.text
        gate.set()
        self.assert_lock_is_released_until(ended.is_set)
        turns_until(lambda: not self.waiting.is_active)
        self.assertEqual(self.case.ui.torchLabel.text, before)
        self.case.panel.enter()
        turns_until(lambda: not self.waiting.is_active)

    def test_no_timer_that_slicer_never_frees(self):
        with mock.patch.object(qt.QTimer, "singleShot", side_effect=AssertionError):
            self.segment()
            markers = self.case.widget.panel.workplace.editor.markers.node(True)
            markers.SetNthControlPointPositionWorld(0, -500.0, 0.0, 0.0)  # out of the volume
            markers.InvokeCustomModifiedEvent(markers.PointEndInteractionEvent)
            self.case.settle()
            slicer.app.processEvents()
            position = markers.GetNthControlPointPositionWorld(0)
            self.assertGreater(position[0], 0)


class ShareTest(unittest.TestCase):
    def test_each_round_gives_the_lock_away_for_most_of_the_time(self):
        waiting, given_s = Waiting(), []
        waiting.watch(given_s.append, lambda: len(given_s) < 3)
        until(lambda: not waiting.is_active, "three rounds")
        self.assertEqual(len(given_s), 3)
        for seconds in given_s:
            self.assertTrue(0.020 <= seconds <= 0.025, seconds)
            self.assertGreater(seconds, 2 * PAUSE_MS / 1000)

    def test_no_file_uses_the_timer_that_slicer_never_frees(self):
        folder = Path(slicer.modules.ctsam3d.path).parent
        files = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]
        self.assertGreater(len(files), 40)
        self.assertEqual([text for text in files if ".singleShot(" in text], [])


class LifetimeTest(unittest.TestCase):
    def test_an_editor_ends_with_its_effect(self):
        slicer.mrmlScene.Clear()
        case = CTSAM3DCase()
        self.addCleanup(case.close)
        editor = weakref.ref(case.effect.editor)
        markers = weakref.ref(case.effect.editor.markers)
        case.effect.editor.refresh_later()
        case.editor.setActiveEffect(None)
        gc.collect()
        self.assertIsNone(editor())
        self.assertIsNone(markers())


class ModelImportLockTest(ModelsCase):
    def test_an_added_model(self):
        waiting = self.case.logic.controller.waiting
        before = waiting.rounds

        def run(path, replace, report):
            work()
            return imported()

        self.section.choose_file = lambda: "model.pth"
        self.section.run_import = run
        self.case.press("addModelButton")
        turns = turns_until(lambda: not self.section.busy)
        self.assertLessEqual(turns, 3 * (waiting.rounds - before) + 3)
