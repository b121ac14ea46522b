"""Requests of many structures: the change of a mask from what is there to what is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from itertools import pairwise

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor
from growing_case import MIDDLE, long_tube
from waiting import HANG_S

from CTSAM3DLib.engine import ClickProgress, ClickRequest, ModelChoice, SegmentationEngine
from CTSAM3DLib.errors import DeviceError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession

SHAPE = (40, 44, 48)
NOTHING = ClickHistory()
A, B, C = (Click((float(x), 44.0, 40.0)) for x in (30, 50, 70))


@pytest.fixture
def predictor() -> BallPredictor:
    return BallPredictor()


@pytest.fixture
def engine(predictor: BallPredictor) -> Iterator[SegmentationEngine]:
    engine = SegmentationEngine(lambda model, device: predictor)
    yield engine
    engine.close()


@pytest.fixture
def volume() -> Volume:
    return Volume(np.zeros(SHAPE, np.int16), Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE))


@pytest.fixture
def ask(engine: SegmentationEngine, volume: Volume):
    """Asks and waits; clicks before and after, and the present mask."""

    def ask(before, after, present=None, structure="liver", key="ct"):
        request = ClickRequest(
            volume, key, structure, ClickHistory(before), ClickHistory(after), present=present
        )
        return engine.request(request).result(HANG_S)

    return ask


def request_with(volume: Volume, choice: ModelChoice) -> ClickRequest:
    return ClickRequest(volume, "ct", "liver", NOTHING, ClickHistory([A]), choice)


def applied(mask: np.ndarray, update: MaskUpdate) -> np.ndarray:
    out = mask.copy()
    out[update.bbox.slices_kji] = update.mask_kji
    return out


def wanted(volume: Volume, clicks) -> np.ndarray:
    session = InteractiveSession.for_volume(volume, BallPredictor())
    session.set_clicks(clicks)
    return session.mask


def box_mask(*slices: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[slices] = True
    return mask


def as_update(mask: np.ndarray) -> MaskUpdate:
    bbox = BoundingBox.from_mask(mask)
    return MaskUpdate(mask[bbox.slices_kji], bbox)


def test_updates_lead_from_list_to_list(ask, volume: Volume) -> None:
    mask = np.zeros(SHAPE, bool)
    steps = [(), (A,), (A, B), (A, B, C), (A, C), ()]
    for before, after in pairwise(steps):
        mask = applied(mask, ask(before, after).update)
        np.testing.assert_array_equal(mask, wanted(volume, after))


def test_going_on_from_an_undone_list_computes_one_click(ask, predictor, volume: Volume) -> None:
    first = applied(np.zeros(SHAPE, bool), ask((), (A,)).update)
    ask((A,), (A, B))
    calls = predictor.decode_calls
    mask = applied(first, ask((A,), (A, C)).update)
    assert predictor.decode_calls == calls + 1
    np.testing.assert_array_equal(mask, wanted(volume, (A, C)))


def test_structures_share_the_image(ask, predictor) -> None:
    ask((), (A,))
    encoded = predictor.encode_calls
    answer = ask((), (A,), structure="spleen")
    assert predictor.encode_calls == encoded
    assert answer.update.mask_kji.any()


def test_a_present_mask_is_where_the_update_starts(ask) -> None:
    drawn = box_mask(slice(2, 6), slice(2, 6), slice(2, 6))
    mask = applied(drawn, ask((), (B,), as_update(drawn)).update)
    assert mask[drawn].all()
    assert mask[20, 22, 25]
    # ... and what the structure goes back to.
    np.testing.assert_array_equal(applied(mask, ask((B,), ()).update), drawn)


def test_a_mask_that_was_drawn_over_is_kept_with_its_clicks(ask) -> None:
    mask = applied(np.zeros(SHAPE, bool), ask((), (A,)).update)
    drawn = mask | box_mask(slice(2, 6), slice(2, 6), slice(38, 44))
    after = applied(drawn, ask((A,), (A, B), as_update(drawn)).update)
    assert after[drawn].all()
    assert after[20, 22, 25]


def test_stored_clicks_that_give_the_stored_mask_are_replayed(ask, predictor, volume) -> None:
    stored = wanted(volume, (A, B))
    answer = ask((A, B), (A, B, C), as_update(stored))
    assert predictor.decode_calls == 3
    np.testing.assert_array_equal(applied(stored, answer.update), wanted(volume, (A, B, C)))
    # The list can be shortened as if it had been clicked here.
    back = ask((A, B, C), (A,))
    np.testing.assert_array_equal(
        applied(wanted(volume, (A, B, C)), back.update), wanted(volume, (A,))
    )


def test_stored_clicks_that_give_another_mask_leave_it_as_it_is(ask, volume) -> None:
    stored = box_mask(slice(4, 12), slice(4, 12), slice(4, 12))
    answer = ask((A,), (A, C), as_update(stored))
    mask = applied(stored, answer.update)
    assert mask[stored].all()
    assert not mask[20, 22, 15]  # where A alone would have given something
    assert mask[20, 22, 35]


def test_an_emptied_structure_stays_empty(ask) -> None:
    ask((), (A,))
    empty = MaskUpdate(np.zeros((0, 0, 0), bool), BoundingBox.empty())
    answer = ask((A,), (A, C), empty)
    mask = applied(np.zeros(SHAPE, bool), answer.update)
    assert mask[20, 22, 35]
    assert not mask[20, 22, 15]


def test_errors_come_with_the_future_and_change_nothing(ask, engine, predictor, volume) -> None:
    mask = applied(np.zeros(SHAPE, bool), ask((), (A,)).update)
    predictor.fail_next = DeviceError("gone")
    with pytest.raises(DeviceError, match="gone"):
        ask((A,), (A, B))
    mask = applied(mask, ask((A,), (A, B)).update)
    np.testing.assert_array_equal(mask, wanted(volume, (A, B)))


def test_a_model_that_cannot_be_loaded_is_asked_for_again(volume: Volume) -> None:
    answers: list[object] = [DeviceError("no such device"), BallPredictor()]

    def load(model, device):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    engine = SegmentationEngine(load)
    request = ClickRequest(volume, "ct", "liver", NOTHING, ClickHistory([A]))
    with pytest.raises(DeviceError, match="no such device"):
        engine.request(request).result(HANG_S)
    assert engine.request(request).result(HANG_S).update.mask_kji.any()
    engine.close()


def test_another_choice_loads_another_model_and_keeps_one(volume: Volume) -> None:
    loaded: list[tuple[object, str]] = []

    def load(model, device):
        loaded.append((model, device))
        return BallPredictor()

    engine = SegmentationEngine(load)
    for choice in (ModelChoice(device="cpu"), ModelChoice(device="cpu", spacing_mm=3.0)):
        engine.request(request_with(volume, choice)).result(HANG_S)
    assert loaded == [(None, "cpu")]
    engine.request(request_with(volume, ModelChoice("other", "cpu"))).result(HANG_S)
    assert loaded == [(None, "cpu"), ("other", "cpu")]
    engine.close()


def test_another_model_for_one_structure_drops_the_sessions_of_all(volume: Volume) -> None:
    engine = SegmentationEngine(lambda model, device: BallPredictor())
    plain, grown, other = ModelChoice(), ModelChoice(grow=True), ModelChoice("other")
    engine.request(request_with(volume, plain)).result(HANG_S)
    kept = engine.generation(plain)
    engine.run(lambda predictor: None, grown).result(HANG_S)
    assert engine.generation(plain) == kept
    assert engine.generation(other) != kept
    engine.prepare(other)
    assert engine.generation(plain) == kept  # refused: an answer is not drained yet
    engine.drain()
    engine.prepare(other)
    changed = engine.generation(plain)
    assert changed != kept
    engine.request(request_with(volume, plain)).result(HANG_S)
    assert engine.generation(plain) == changed
    engine.forget_models()
    assert engine.generation(plain) != changed
    engine.close()


def test_a_request_in_a_hurry_is_followed_after_the_next_prompt() -> None:
    truth = long_tube()
    engine = SegmentationEngine(lambda model, device: ComponentPredictor())

    def found(before, after, hurry: bool) -> int:
        choice = ModelChoice(grow="auto")
        request = ClickRequest(
            truth.volume, "ct", "tube", ClickHistory(before), ClickHistory(after), choice
        )
        if hurry:
            request.hurry.set()
        answer = engine.request(request).result(HANG_S)
        parts = [one.update for one in engine.drain() if isinstance(one, ClickProgress)]
        return sum(int(one.mask_kji.sum()) for one in (*parts, answer.update))

    near = Click((2.0, 0.0, 0.0))
    assert found((), (MIDDLE,), hurry=True) < 0.7 * truth.mask_kji.sum()
    assert found((MIDDLE,), (MIDDLE, near), hurry=False) > 0.3 * truth.mask_kji.sum()
    engine.forget("ct")
    assert found((), (MIDDLE,), hurry=False) > 0.9 * truth.mask_kji.sum()
    engine.close()


def test_a_structure_without_prompts_and_mask_begins_empty(ask) -> None:
    drawn = box_mask(slice(2, 6), slice(2, 6), slice(2, 6))
    ask((), (B,), as_update(drawn))
    mask = applied(np.zeros(SHAPE, bool), ask((), (A,)).update)
    assert mask[20, 22, 15]
    assert not mask[drawn].any()


def test_the_owner_is_told_of_all_that_is_queued(engine, volume: Volume) -> None:
    queued: list[bool] = []
    engine.on_queued = lambda: queued.append(engine.is_working)
    request = request_with(volume, ModelChoice())
    engine.warm_up(request, A)
    engine.prepare()
    engine.request(request)
    engine.run(lambda predictor: None)
    assert len(queued) == 4
    while engine.is_working:
        engine.wait(HANG_S)
        engine.drain()
    assert not engine.busy


def test_warm_up_saves_the_click_its_encoding(engine, ask, predictor, volume) -> None:
    engine.warm_up(ClickRequest(volume, "ct", "liver", NOTHING, NOTHING), A)
    while engine.is_working:
        engine.wait(HANG_S)
    assert predictor.encode_calls == 1
    ask((), (A,))
    assert predictor.encode_calls == 1


def test_forgotten_volumes_are_computed_again(engine, ask, predictor) -> None:
    ask((), (A,))
    ask((), (A,), key="another ct")
    engine.forget("ct")
    encoded = predictor.encode_calls
    ask((), (A,))
    assert predictor.encode_calls == encoded + 1
    ask((), (A,), key="another ct", structure="spleen")
    assert predictor.encode_calls == encoded + 1


def test_close_is_quiet_and_final(volume: Volume, predictor: BallPredictor) -> None:
    engine = SegmentationEngine(lambda model, device: predictor)
    assert not engine.busy
    engine.prepare()
    engine.close()
    engine.forget("ct")
    engine.close()


def test_a_mask_is_carried_to_another_volume_and_the_structures_there_stay(
    engine, ask, predictor, volume: Volume
) -> None:
    before = applied(np.zeros(SHAPE, bool), ask([], [A]).update)
    moved = Volume(np.ones(SHAPE, np.int16), volume.geometry)
    prompts = ClickHistory([A])
    session = InteractiveSession.for_volume(moved, BallPredictor())
    expected = session.carry(prompts, as_update(before))
    encoded = predictor.encode_calls
    requests = [
        ClickRequest(moved, "next", name, prompts, prompts, present=as_update(before))
        for name in ("liver", "spleen")
    ]
    for request in requests:
        answer = engine.carry(request).result(HANG_S)
        mask = applied(np.zeros(SHAPE, bool), answer.update)
        assert mask.any()
        np.testing.assert_array_equal(mask, applied(np.zeros(SHAPE, bool), expected))
        assert answer.device == "cpu"
    assert predictor.encode_calls == encoded + 1  # both structures share the image
    again = ask([A], [A, B], key="ct")
    np.testing.assert_array_equal(applied(before, again.update), wanted(volume, [A, B]))


def test_carrying_ends_at_the_next_patch_once_cancelled(engine, predictor, volume: Volume) -> None:
    before = wanted(volume, [A, B])
    prompts = ClickHistory([A, B, A, B])
    request = ClickRequest(volume, "next", "liver", prompts, prompts, present=as_update(before))
    decode, calls = predictor.decode, predictor.decode_calls
    predictor.decode = lambda *arguments: engine.cancel() or decode(*arguments)
    assert isinstance(engine.carry(request).exception(HANG_S), CancelledError)
    assert predictor.decode_calls == calls + 1


def test_nothing_is_carried_from_an_empty_mask_without_prompts(engine, volume: Volume) -> None:
    request = ClickRequest(volume, "next", "liver", NOTHING, NOTHING)
    assert engine.carry(request).result(HANG_S).update.bbox.is_empty


def test_uncertainty_is_that_of_a_session_and_asks_nothing_anew(
    engine, ask, predictor, volume: Volume
) -> None:
    ask([], [A, B])
    calls = predictor.decode_calls
    prompts = ClickHistory([A, B])
    request = ClickRequest(volume, "ct", "liver", prompts, prompts)
    session = InteractiveSession.for_volume(volume, BallPredictor())
    session.set_clicks([A, B])
    assert engine.uncertainty(request).result(HANG_S) == session.uncertainty
    assert predictor.decode_calls == calls
    nothing = ClickRequest(volume, "ct", "spleen", NOTHING, NOTHING)
    assert engine.uncertainty(nothing).result(HANG_S) is None
