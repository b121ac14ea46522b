"""Corrections, undo and cancelling where a structure was looked at with larger voxels."""

from __future__ import annotations

from dataclasses import replace
from time import sleep

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor, DecodeCall
from growing_case import (
    MIDDLE,
    great_ball,
    long_tube,
    overlap,
    state_of,
)
from phantoms import ORIENTATIONS, centred_geometry
from scipy import ndimage
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.growing import grown_state
from CTSAM3DLib.session.growing_rules import GrowingRules, GrowMode
from CTSAM3DLib.session.points import anchor_voxel
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState

# Corrections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("positive", [True, False])
def test_a_correction_inside_a_decoded_patch_decodes_that_patch_alone(positive) -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor(), grow="coarse")
    session.add_click(MIDDLE.position_ras)
    calls, before, patches = session.predictor.decode_calls, session.mask, session.state.patches
    position = ORIENTATIONS["oblique"] @ (0.0, 0.0, 60.0)
    session.add_click(position, positive)
    assert session.predictor.decode_calls == calls + 1
    assert session.state.patches == patches
    i, j, k = truth.volume.geometry.voxel_from_ras(position)
    assert before[k, j, i]
    assert session.mask[k, j, i] == positive
    assert overlap(session.mask, before) > 0.97


class Taking(BallPredictor):
    """Takes all that is bright for the object, but for parts with a negative click."""

    def logits(self, call: DecodeCall):
        bright = ComponentPredictor(self.patch_size)
        everywhere = np.where(call.embedding.patch_hu > 0, 1.0, -1.0).astype(np.float32)
        no_clicks = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
        logits = bright.logits(DecodeCall(call.embedding, *no_clicks, everywhere))
        barred = call.points_kji[call.labels == 0], np.ones((call.labels == 0).sum(), np.int64)
        return np.where(bright.logits(DecodeCall(call.embedding, *barred, None)) > 0, -9.0, logits)


def two_bars() -> Volume:
    """Two bars side by side, 70 mm apart and 120 mm long: no patch of 64 mm shows both."""
    geometry = centred_geometry((128, 128, 128), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[2:62, 20:32, 4:16] = 100.0
    hu[2:62, 20:32, 50:60] = 100.0
    return Volume(hu, geometry)


def test_a_negative_click_where_only_a_coarse_answer_has_been_takes_the_whole_leak_back() -> None:
    session = open_session(two_bars(), Taking(), grow="coarse")
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((10, 26, 32)))
    assert session.mask[:, :, 48:].sum() > 0.9 * 60 * 12 * 10
    calls, before, patches = session.predictor.decode_calls, session.mask, session.state.patches
    session.add_click(at((55, 26, 32)), positive=False)
    assert not session.mask[:, :, 40:].any()
    assert session.predictor.decode_calls == calls + 2  # one look, and the patch of the click
    assert len(session.state.patches) == len(patches) + 1
    np.testing.assert_array_equal(session.mask[:, :, :30], before[:, :, :30])


def test_a_negative_click_only_takes_away_whatever_a_new_look_shows() -> None:
    class Contrary(Taking):
        """From afar it takes all of the patch once it is told what is not the object."""

        def logits(self, call: DecodeCall):
            bars = ndimage.label(call.embedding.patch_hu > 0)[1]  # two from afar
            if (call.labels == 0).any() and bars > 1:
                return np.full((self.patch_size,) * 3, 9.0)
            return super().logits(call)

    session = open_session(two_bars(), Contrary(), grow="coarse")
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((10, 26, 32)))
    before = session.mask
    session.add_click(at((55, 26, 32)), positive=False)
    assert not (session.mask & ~before).any()


def test_every_click_is_obeyed_where_only_a_coarse_answer_has_been() -> None:
    truth = great_ball()
    geometry = truth.volume.geometry
    session = open_session(truth.volume, ComponentPredictor(), grow="coarse")
    barred = (0.0, 0.0, 50.0)
    session.add_click(barred, positive=False)
    state = session.state
    rules = GrowingRules(max_patches=2)
    state = grown_state(session.encoder, state, MIDDLE, rules, mode=GrowMode.COARSE)
    mask = state.mask.dense()
    for click in state.prompts:
        i, j, k = geometry.voxel_from_ras(click.position_ras)
        assert mask[k, j, i] == click.positive
    i, j, k = geometry.voxel_from_ras((0.0, 0.0, -50.0))
    assert mask[k, j, i]
    assert len(state.patches) == 1  # neither place is in it


def test_a_click_that_the_model_ignores_in_larger_voxels_is_obeyed_with_its_surroundings() -> None:
    class Deaf(ComponentPredictor):
        def logits(self, call: DecodeCall):
            heard = call.labels == 1
            return super().logits(
                replace(call, points_kji=call.points_kji[heard], labels=heard[heard])
            )

    session = open_session(great_ball().volume, Deaf(), grow="coarse")
    barred = Click((0.0, 0.0, 44.0), positive=False)
    session.add_click(barred.position_ras, positive=False)
    rules = GrowingRules(max_patches=2)
    state = grown_state(session.encoder, session.state, MIDDLE, rules, mode=GrowMode.COARSE)
    i, j, k = anchor_voxel(barred, session.grid)
    voxel = BoundingBox((i, j, k), (i + 1, j + 1, k + 1))
    assert float(state.logits.read(voxel)[0, 0, 0]) <= -1.0
    assert (state.logits.read(voxel.padded(12)) > 0).any()


@pytest.mark.slow
def test_a_look_takes_nothing_away_from_a_given_mask() -> None:
    truth = great_ball(np.eye(3))
    given = np.zeros(truth.mask_kji.shape, bool)
    given[2:5, 2:5, 2:5] = True
    given[2, 2, 7] = True  # less than half of a voxel of the model grid
    box = BoundingBox.from_mask(given)
    session = InteractiveSession.for_volume(
        truth.volume,
        ComponentPredictor(),
        base=MaskUpdate(given[box.slices_kji], box),
        grow="coarse",
    )
    session.add_click(MIDDLE.position_ras)
    assert overlap(session.mask, truth.mask_kji | given) > 0.97
    assert session.mask[given].all()
    was_given = session.state.given.logits.dense() > 0
    assert was_given.any()
    assert (session.state.logits.dense()[was_given] > 0).all()
    low = np.s_[:8, :8, :12]
    np.testing.assert_array_equal(session.mask[low], given[low])


# Undo, replay, cancel --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_result_is_a_function_of_the_clicks() -> None:
    volume = long_tube().volume
    oblique = ORIENTATIONS["oblique"]
    small = InteractiveSession.for_volume(
        volume, ComponentPredictor(), max_patches=1, grow="coarse"
    )
    large = InteractiveSession.for_volume(
        volume, ComponentPredictor(), max_patches=99, grow="coarse"
    )
    large.warm_up(oblique @ (1.0, 2.0, 70.0))
    for session in (small, large):
        session.add_click(oblique @ (0.0, 0.0, 30.0))
        session.add_click(oblique @ (0.0, 4.0, -50.0), positive=False)
        session.add_click(oblique @ (0.0, -4.0, -60.0))
    steps = [large.state]
    large.undo()
    steps.insert(0, large.state)
    large.undo()
    one_click = large.for_another_structure(large.clicks[:1])
    assert one_click.grow == "coarse"
    for other in (one_click.state, large.state):
        assert other.coarse == large.state.coarse != ()
        np.testing.assert_array_equal(other.mask.dense(), large.mask)
        np.testing.assert_array_equal(other.logits.dense(), large.state.logits.dense())
    for expected in steps:
        large.redo()
        assert large.state is expected
    np.testing.assert_array_equal(small.mask, large.mask)
    np.testing.assert_array_equal(small.state.logits.dense(), large.state.logits.dense())
    large.remove_click(1)
    small.set_clicks(large.clicks)
    fresh = large.for_another_structure(large.clicks)
    np.testing.assert_array_equal(small.mask, large.mask)
    np.testing.assert_array_equal(fresh.mask, large.mask)


def test_undo_restores_the_earlier_state_bit_for_bit() -> None:
    truth = great_ball()
    session = open_session(truth.volume, ComponentPredictor(), grow="coarse")
    session.add_click((0.0, 0.0, 30.0), positive=False)
    mask, logits = session.mask.copy(), session.state.logits.dense()
    session.add_click(MIDDLE.position_ras)
    shown = session.mask.copy()
    assert shown.any()
    update = session.undo()
    np.testing.assert_array_equal(session.mask, mask)
    np.testing.assert_array_equal(session.state.logits.dense(), logits)
    shown[update.bbox.slices_kji] = update.mask_kji
    np.testing.assert_array_equal(shown, mask)


@pytest.mark.parametrize("after", [2, *slow(1, 4)])
def test_cancelling_ends_with_what_is_there(after) -> None:
    told: list[SessionState] = []
    truth = long_tube()
    predictor = ComponentPredictor()
    state = state_of(
        truth, predictor, "coarse", on_patch=told.append, cancelled=lambda: len(told) >= after
    )
    assert len(told) == after
    whole: list[SessionState] = []
    state_of(truth, ComponentPredictor(), "coarse", on_patch=whole.append)
    assert len(whole) > 4
    np.testing.assert_array_equal(state.mask.dense(), whole[after - 1].mask.dense())
    assert state is told[-1]
    if after == 1:
        assert predictor.decode_calls == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_the_number_of_decodes_is_limited(limit) -> None:
    predictor = ComponentPredictor()
    state_of(long_tube(), predictor, "coarse", GrowingRules(max_patches=limit))
    assert predictor.decode_calls == limit


@pytest.mark.slow
def test_what_is_told_adds_up_to_the_mask() -> None:
    told: list[SessionState] = []
    state = state_of(great_ball(), ComponentPredictor(), "coarse", on_patch=told.append)
    shown = np.zeros(state.mask.shape_kji, bool)
    earlier = state.parent
    for one in told:
        update = one.changes_since(earlier)
        shown[update.bbox.slices_kji] = update.mask_kji
        earlier = one
    np.testing.assert_array_equal(shown, state.mask.dense())
    assert all(one.parent is state.parent for one in told)


def test_a_click_that_asks_nothing_has_no_times() -> None:
    session = open_session(long_tube(length_mm=160.0).volume, ComponentPredictor(), grow="coarse")
    session.add_click(ORIENTATIONS["oblique"] @ (0.0, 0.0, -150.0), positive=False)
    assert session.timings_ms == {}
    session.add_click(MIDDLE.position_ras)
    assert session.timings_ms != {}
    session.add_click(ORIENTATIONS["oblique"] @ (30.0, 0.0, 150.0), positive=False)
    assert session.timings_ms == {}


def test_times_are_those_of_all_decodes() -> None:
    class Slow(ComponentPredictor):
        def decode(self, *arguments):
            sleep(0.05)
            return super().decode(*arguments)

    state = state_of(great_ball(), Slow(), "coarse", GrowingRules(max_patches=2))
    assert set(state.timings_ms) == {"encode_ms", "decode_ms", "resample_ms"}
    assert state.timings_ms["decode_ms"] >= 100
