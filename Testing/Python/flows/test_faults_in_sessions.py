"""Models that fail, in sessions and behind the engine: each step is done or not done at all."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from failing_predictor import KINDS, FailingPredictor
from fault_table import show
from waiting import HANG_S

from CTSAM3DLib.engine import ClickRequest, SegmentationEngine
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Box, Click, ClickHistory, Scribble
from CTSAM3DLib.session.session import InteractiveSession

FEW, MANY = 12, 250
SHAPE = (24, 28, 32)
SPACING_MM = 4.0


@pytest.fixture(scope="module")
def volume() -> Volume:
    return Volume(np.zeros(SHAPE, np.int16), Geometry(np.diag([4.0, 4.0, 4.0, 1.0]), SHAPE))


def _predictor() -> FailingPredictor:
    return FailingPredictor(patch_size=16, radius=4.0, spacing_mm=SPACING_MM)


def _prompt(rng: random.Random) -> Click | Scribble | Box:
    at = tuple(4.0 * rng.randint(6, 17) for _ in range(3))
    far = tuple(value + 4.0 * rng.randint(1, 5) for value in at)
    kind = rng.random()
    if kind < 0.7:
        return Click(at, rng.random() < 0.75)
    if kind < 0.85:
        return Scribble((at, far), True)
    return Box.of_corners(at, far)


def _step(session: InteractiveSession, seed: int) -> None:
    """One random step of a user; the same for the same session and seed."""
    rng = random.Random(seed)
    action = rng.choice(["add"] * 5 + ["undo", "redo", "remove", "set", "rebase"])
    if action == "add":
        session.add(_prompt(rng))
    elif action == "undo":
        session.undo()
    elif action == "redo":
        session.redo()
    elif action == "remove" and session.prompts:
        session.remove_click(rng.randrange(len(session.prompts)))
    elif action == "set":
        session.set_prompts([_prompt(rng) for _ in range(rng.randint(1, 3))])
    elif action == "rebase":
        box = BoundingBox((2, 2, 2), (6, 7, 8))
        session.rebase(session.prompts, MaskUpdate(np.ones(box.shape_kji, bool), box))


def _same(one: InteractiveSession, other: InteractiveSession) -> bool:
    return one.prompts == other.prompts and np.array_equal(one.mask, other.mask)


def faults_in_a_session(volume: Volume, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Steps of a session with a fault in each one; a twin does the same without."""
    rng = random.Random(seed)
    predictor = _predictor()
    grow = rng.choice([False, True])
    session = InteractiveSession.for_volume(volume, predictor, SPACING_MM, grow=grow)
    twin = InteractiveSession.for_volume(volume, _predictor(), SPACING_MM, grow=grow)
    done = 0
    for number in range(1000):
        if done == count:
            break
        kind, at = rng.choice(KINDS), rng.randint(1, 3)
        before = (session.state, session.can_undo, session.can_redo)
        predictor.fail(kind, at)
        step = seed * 1000 + number
        failed = False
        try:
            _step(session, step)
        except BaseException:
            failed = True
            if not predictor.hit:
                raise
        hit, predictor.at = predictor.hit, 0
        if failed:
            assert (session.state, session.can_undo, session.can_redo) == before
            _step(session, step)
        _step(twin, step)
        assert _same(session, twin), f"seed {seed}, step {number}: {kind}"
        if hit:
            done += 1
            yield kind, "before" if failed else "after"
    assert done == count
    while twin.can_undo:
        twin.undo()
        session.undo()
        assert _same(session, twin)


def faults_behind_the_engine(volume: Volume, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Requests of two structures with faults of model, loading and owner in between."""
    rng = random.Random(seed)
    predictor = _predictor()
    fails_to_load: list[BaseException] = []

    def load(model: object, device: str) -> FailingPredictor:
        if fails_to_load:
            raise fails_to_load.pop()
        return predictor

    engine = SegmentationEngine(load)
    kinds = [*KINDS, "model cannot be loaded", "cancelled", "volume forgotten", "models forgotten"]
    known: dict[str, tuple[ClickHistory, np.ndarray]] = {}
    try:
        done = 0
        while done < count:
            kind, name = rng.choice(kinds), rng.choice(["liver", "spleen"])
            prompts, mask = known.get(name, (ClickHistory(), np.zeros(SHAPE, bool)))
            after = prompts.added(_prompt(rng)) if len(prompts) < 4 else ClickHistory()
            predictor.fail(kind, rng.randint(1, 3))
            if kind == "model cannot be loaded":
                engine.forget_models()
                fails_to_load.append(ImportError("No module named 'torch'"))
            outcome, mask = _asked(engine, volume, name, (prompts, after), mask, kind)
            was_hit = predictor.hit
            if outcome == "before":
                predictor.at = 0
                again, mask = _asked(engine, volume, name, (prompts, after), mask, "")
                assert again == "after"
            expected = InteractiveSession.for_volume(volume, _predictor(), SPACING_MM)
            expected.set_prompts(after)
            assert np.array_equal(mask, expected.mask), f"seed {seed}: {kind}"
            known[name] = (after, mask)
            if was_hit or kind not in KINDS:
                done += 1
                yield kind, outcome
        assert engine.drain() is not None
        assert not engine.busy
    finally:
        engine.close()


def _asked(
    engine: SegmentationEngine, volume: Volume, name: str,
    lists: tuple[ClickHistory, ClickHistory], mask: np.ndarray, kind: str,
) -> tuple[str, np.ndarray]:  # fmt: skip
    """Ask, with what the owner may do meanwhile; return which mask there is then."""
    box = BoundingBox.from_mask(mask)
    present = MaskUpdate(mask[box.slices_kji], box)
    future = engine.request(ClickRequest(volume, "ct", name, *lists, present=present))
    if kind == "cancelled":
        engine.cancel()
    elif kind == "volume forgotten":
        engine.forget("ct")
    elif kind == "models forgotten":
        engine.forget_models()
    try:
        update = future.result(HANG_S).update
    except BaseException:
        return "before", mask
    result = mask.copy()
    if not update.bbox.is_empty:
        result[update.bbox.slices_kji] = update.mask_kji
    return "after", result


@pytest.mark.parametrize("faults", [faults_in_a_session, faults_behind_the_engine])
def test_a_few_faults(volume: Volume, faults) -> None:
    assert len(list(faults(volume, 1, FEW))) == FEW


@pytest.mark.slow
@pytest.mark.parametrize(
    ("area", "faults"), [("session", faults_in_a_session), ("engine", faults_behind_the_engine)]
)
def test_many_faults(volume: Volume, area: str, faults, capsys: pytest.CaptureFixture[str]) -> None:
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(2, 12):
        found.update(faults(volume, seed, MANY // 10))
    show(area, found, capsys)
    assert found.total() == MANY
