"""What answers at tips add to a structure, and what they leave alone, on drawn volumes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor, DecodeCall
from growing_case import MIDDLE, encoder_of, long_tube, overlap, start_of
from phantoms import OBLIQUE, ORIENTATIONS, Phantom
from scipy import ndimage
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Box, Click
from CTSAM3DLib.session.following import answered_alone, followed
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.tips import TipRules


def follow(
    truth: Phantom, predictor: BallPredictor, prompt: Click | Box = MIDDLE, **hooks: Callable
) -> SessionState:
    """The state after one prompt, followed; `answered` is that without."""
    encoder = encoder_of(truth, predictor)
    return followed(encoder, answered_alone(encoder, start_of(encoder), prompt), **hooks)


def size(state: SessionState) -> int:
    return int(state.mask.dense().sum())


def opened(truth: Phantom, base: MaskUpdate | None = None) -> InteractiveSession:
    return InteractiveSession.for_volume(
        truth.volume, ComponentPredictor(), max_patches=99, base=base, grow="auto"
    )


def along(z: float) -> tuple[float, float, float]:
    """A place on the axis of the tube, mm from its middle."""
    return tuple((OBLIQUE @ np.array([0.0, 0.0, z])).tolist())


def test_a_slip_into_the_air_round_the_body_is_not_followed_and_the_next_point_is() -> None:
    truth = long_tube()
    hu = np.where(truth.mask_kji, truth.volume.array_kji, -1000).astype(np.int16)
    volume = Volume(hu, truth.volume.geometry)
    predictor = ComponentPredictor()
    session = InteractiveSession.for_volume(volume, predictor, max_patches=99, grow="auto")
    corner = tuple(volume.geometry.ras_from_ijk((1, 1, 1)))
    session.add_click(corner)
    assert predictor.decode_calls == 1
    assert not session.state.is_followed
    session.undo()
    session.add(MIDDLE)
    assert predictor.decode_calls > 3
    assert overlap(session.mask, truth.mask_kji) > 0.9


@pytest.mark.parametrize("mode", ["auto", "frontier"])
def test_what_leads_to_others_is_not_followed_by_itself(mode) -> None:
    truth = long_tube()
    predictor = ComponentPredictor(not_followed=("femur_left",))
    session = InteractiveSession.for_volume(truth.volume, predictor, max_patches=99, grow=mode)
    masks = {}
    for name in ("Left femur", "Right femur"):
        named = session.for_another_structure([MIDDLE], anatomy=name)
        masks[name] = overlap(named.mask, truth.mask_kji)
    again = session.for_another_structure(anatomy="Left femur").for_another_structure([MIDDLE])
    assert masks["Right femur"] == overlap(again.mask, truth.mask_kji) > 0.9
    assert (masks["Left femur"] < 0.5) == (mode == "auto")


# What is added --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oblique left-handed coronal", *slow("axial")])
def test_an_object_is_followed_from_tip_to_tip(name) -> None:
    truth = long_tube(ORIENTATIONS[name])
    told: list[SessionState] = []
    state = follow(truth, ComponentPredictor(), on_patch=told.append)
    assert overlap(state.mask.dense(), truth.mask_kji) > 0.96
    np.testing.assert_array_equal(told[0].mask.dense(), state.answered.mask.dense())
    sizes = [size(one) for one in told]
    assert len(told) > 4
    assert sizes == sorted(sizes)


def test_an_object_inside_its_patch_is_as_without() -> None:
    predictor = ComponentPredictor()
    state = follow(long_tube(length_mm=40.0), predictor)
    np.testing.assert_array_equal(state.logits.dense(), state.answered.logits.dense())
    assert predictor.decode_calls <= 1 + TipRules().refusals


def test_places_that_no_answer_adds_stay_unknown() -> None:
    state = follow(long_tube(), ComponentPredictor())
    only_tips = np.ones(state.grid.shape_kji, bool)
    whole = BoundingBox.from_shape(state.grid.shape_kji)
    for patch in state.patches:
        only_tips[patch.intersection(whole).slices_kji] = False
    logits = state.logits.dense()[only_tips]
    assert (logits > 0).sum() > 100
    assert np.isnan(logits[~(logits > 0)]).all()


class Partial(ComponentPredictor):
    """After the first patch it knows, without an earlier mask, only what is near the point."""

    def logits(self, call: DecodeCall):
        logits = super().logits(call)
        if call.previous_logits is not None or call.embedding.number == 1:
            return logits
        near = np.zeros(logits.shape, bool)
        near[tuple(call.points_kji[0].astype(int))] = True
        return np.where(ndimage.maximum_filter(near, 5), logits, -9.0)


def test_a_tip_from_which_the_mask_is_not_found_again_is_not_followed() -> None:
    told: list[SessionState] = []
    predictor = Partial()
    state = follow(long_tube(), predictor, on_patch=told.append)
    assert told == [state.answered]
    np.testing.assert_array_equal(state.mask.dense(), state.answered.mask.dense())
    assert predictor.decode_calls > 1


def test_nothing_is_added_beyond_a_box() -> None:
    box = Box((0.0, 0.0, 0.0), ((30.0, 0.0, 0.0), (0.0, 30.0, 0.0), (0.0, 0.0, 56.0)))
    state = follow(long_tube(np.eye(3)), ComponentPredictor(), box)
    np.testing.assert_array_equal(state.logits.dense(), state.answered.logits.dense())


def test_nothing_is_added_to_a_mask_that_was_given() -> None:
    truth = long_tube()
    part = np.zeros((3, 3, 3), bool)
    part[1, 1, 1] = True
    k, j, i = np.argwhere(truth.mask_kji)[0].tolist()
    base = MaskUpdate(part, BoundingBox((i - 1, j - 1, k - 1), (i + 2, j + 2, k + 2)))
    session, plain = opened(truth, base), open_session(truth.volume, ComponentPredictor())
    session.add_click(MIDDLE.position_ras)
    plain.rebase((), base)
    plain.add_click(MIDDLE.position_ras)
    np.testing.assert_array_equal(session.mask, plain.mask)


# A layer over the answers to the prompts ------------------------------------------------------


def test_later_prompts_are_answered_as_if_nothing_were_followed() -> None:
    truth = long_tube()
    session, plain = opened(truth), open_session(truth.volume, ComponentPredictor())
    for z, positive in ((0.0, True), (80.0, False), (-100.0, True)):
        session.add_click(along(z), positive)
        plain.add_click(along(z), positive)
        own = session.state.answered
        np.testing.assert_array_equal(own.logits.dense(), plain.state.logits.dense())
        np.testing.assert_array_equal(own.mask.dense(), plain.mask)
        assert (session.mask | plain.mask).sum() == session.mask.sum() > plain.mask.sum()


def test_a_negative_prompt_keeps_what_is_added_out_of_its_place() -> None:
    truth = long_tube()
    session = opened(truth)
    session.add_click(MIDDLE.position_ras)
    i, j, k = np.round(truth.volume.geometry.ijk_from_ras(np.array(along(80.0)))).astype(int)
    before = session.mask.sum()
    assert session.mask[k, j, i]
    session.add_click(along(80.0), positive=False)
    assert not session.mask[k, j, i]
    assert session.mask.sum() < before


def test_positive_prompts_take_nothing_away() -> None:
    session = opened(long_tube())
    before = np.zeros(session.volume.array_kji.shape, bool)
    for z, positive in ((0.0, True), (70.0, False), (-40.0, True), (5.0, True)):
        told: list[SessionState] = []
        session.on_patch = told.append
        session.add_click(along(z), positive)
        # A border between what a tip and what a prompt has added may move by less than a voxel.
        least = 0.995 * before.sum() if positive else 0.0
        assert (before & session.mask).sum() >= least
        assert (before & told[0].mask.dense()).sum() >= least
        before = session.mask


def test_what_is_wrong_at_one_tip_is_taken_away_there_alone() -> None:
    session = opened(long_tube())
    session.add_click(along(0.0))
    before = session.state.tips
    session.add_click(along(80.0), positive=False)
    assert 0 < len(session.state.tips) <= len(before)
    assert sum(tip in before for tip in session.state.tips) >= len(before) - 2


def test_undo_redo_and_prompts_taken_away_give_the_same_masks() -> None:
    truth = long_tube()
    session = opened(truth)
    masks = []
    for z in (0.0, -60.0):
        session.add_click(along(z))
        masks.append(session.mask)
    session.undo()
    np.testing.assert_array_equal(session.mask, masks[0])
    session.redo()
    np.testing.assert_array_equal(session.mask, masks[1])
    session.remove_click(1)
    np.testing.assert_array_equal(session.mask, masks[0])
    fresh = opened(truth)
    fresh.set_prompts([Click(along(0.0)), Click(along(-60.0))])
    np.testing.assert_array_equal(fresh.mask, masks[1])
    fresh.remove_click(1)
    np.testing.assert_array_equal(fresh.mask, masks[0])


def test_tips_are_asked_after_the_first_positive_prompt_alone() -> None:
    session = opened(long_tube())
    session.add_click(along(0.0))
    before = session.predictor.decode_calls
    assert before > 4
    session.add_click(along(2.0))
    assert session.predictor.decode_calls == before + 1


# Stopping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [2, *slow(1, 4)])
def test_cancelling_ends_with_what_is_there(after) -> None:
    told: list[SessionState] = []
    truth = long_tube()
    state = follow(
        truth, ComponentPredictor(), on_patch=told.append, cancelled=lambda: len(told) >= after
    )
    whole: list[SessionState] = []
    follow(truth, ComponentPredictor(), on_patch=whole.append)
    assert len(told) == after
    np.testing.assert_array_equal(state.mask.dense(), whole[after - 1].mask.dense())


def test_what_was_stopped_goes_on_after_the_next_prompt() -> None:
    truth = long_tube()
    session = opened(truth)
    session.cancelled = lambda: True
    session.add_click(along(0.0))
    assert overlap(session.mask, truth.mask_kji) < 0.9
    session.cancelled = None
    session.add_click(along(3.0))
    assert overlap(session.mask, truth.mask_kji) > 0.96


def test_times_are_those_of_all_patches() -> None:
    state = follow(long_tube(), ComponentPredictor())
    assert set(state.timings_ms) == {"encode_ms", "decode_ms", "resample_ms"}
    assert sum(state.timings_ms.values()) > 2 * sum(state.answered.timings_ms.values())
