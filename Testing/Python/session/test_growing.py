"""Following a structure patch by patch, on phantoms longer than several patches."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor, DecodeCall
from growing_case import MIDDLE, encoder_of, grow, long_tube, overlap, start_of
from phantoms import OBLIQUE, ORIENTATIONS, centred_geometry, empty_volume, phantom, tube
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.growing import grown_state
from CTSAM3DLib.session.growing_rules import GrowingRules
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import answered

# Found whole, and no further -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oblique left-handed coronal", *slow("axial", "oblique")])
@pytest.mark.parametrize("at", [0.0, 0.9])
def test_an_object_longer_than_three_patches_is_found_from_one_click(name, at) -> None:
    truth = long_tube(ORIENTATIONS[name])
    session = open_session(truth.volume, ComponentPredictor(), grow="frontier")
    click = ORIENTATIONS[name] @ np.array([0.0, 0.0, at * 120.0])
    session.add_click(click)
    assert overlap(session.mask, truth.mask_kji) > 0.96
    assert len(session.state.patches) > 3
    alone = open_session(truth.volume, ComponentPredictor())
    alone.add_click(click)
    assert alone.mask.sum() < 0.4 * truth.mask_kji.sum()


def test_growing_stops_where_the_object_ends() -> None:
    truth = long_tube()
    predictor = ComponentPredictor()
    state = grow(truth, predictor)
    # Every patch that was looked at holds a part of the object that no other one holds in full.
    assert predictor.decode_calls == len(state.patches)
    assert len(state.patches) == 7  # 240 mm: 64 mm, and 6 times 40 mm more
    for patch in state.patches:
        assert (state.logits.read(patch) > 0).sum() > 24


def test_an_object_inside_its_patch_costs_one_decode() -> None:
    truth = long_tube(length_mm=40.0)
    predictor = ComponentPredictor()
    state = grow(truth, predictor)
    assert predictor.decode_calls == len(state.patches) == 1


def test_the_border_of_the_grid_is_no_open_face() -> None:
    geometry = centred_geometry((60, 60, 110), (2, 2, 2))
    truth = phantom(geometry, tube((0, 0, -99), (0, 0, 99), 12.0))
    predictor = ComponentPredictor()
    state = grow(truth, predictor)
    assert predictor.decode_calls == len(state.patches) == 3
    assert overlap(state.mask.dense(), truth.mask_kji) > 0.96


def test_what_a_model_sees_beyond_the_border_opens_no_face() -> None:
    class Everything(BallPredictor):
        def logits(self, _call):
            return np.full((self.patch_size,) * 3, 9.0)

    # 4 x 4 voxels of the grid at each face, in a patch of 32 x 32.
    volume = empty_volume(centred_geometry((8, 8, 400), (2, 2, 2)))
    session = open_session(volume, Everything(), grow="frontier")
    session.add_click(MIDDLE.position_ras)
    assert session.predictor.decode_calls == 1


def test_a_thin_thread_through_a_face_is_not_followed() -> None:
    truth = long_tube()
    predictor = ComponentPredictor()
    # The tube is 12 voxels wide: some 113 voxels at a face.
    assert len(grow(truth, predictor, GrowingRules(face_voxels=90)).patches) == 7
    assert len(grow(truth, predictor, GrowingRules(face_voxels=180)).patches) == 1


class Shy(ComponentPredictor):
    """Sees nothing in the outermost layers of its patch."""

    blind_voxels = 1

    def logits(self, call: DecodeCall):
        logits = super().logits(call)
        inner = (slice(self.blind_voxels, -self.blind_voxels),) * 3
        seen = np.full(logits.shape, -20.0)
        seen[inner] = logits[inner]
        return seen


@pytest.mark.parametrize(("blind", "found"), [(1, True), (2, False)])
def test_a_model_that_is_shy_near_its_faces_is_followed_all_the_same(blind, found) -> None:
    truth = long_tube()
    predictor = Shy(patch_size=32)  # 1/16 of the edge: 2 voxels
    predictor.blind_voxels = blind
    state = grow(truth, predictor)
    assert (len(state.patches) > 3) is found
    assert bool(overlap(state.mask.dense(), truth.mask_kji) > 0.96) is found


# Refused ---------------------------------------------------------------------------------------


class Leaky(ComponentPredictor):
    """Without a click it takes everything, or nothing, for the object."""

    answer = 9.0

    def logits(self, call: DecodeCall):
        if len(call.labels):
            return super().logits(call)
        return np.full((self.patch_size,) * 3, self.answer)


@pytest.mark.parametrize("answer", [9.0, -9.0])
def test_a_patch_that_disagrees_with_what_is_known_is_refused(answer) -> None:
    truth = long_tube()
    predictor = Leaky()
    predictor.answer = answer
    state = grow(truth, predictor)
    assert predictor.decode_calls == 3  # the click's own patch, and one through each open face
    alone = encoder_of(truth, ComponentPredictor())
    expected = answered(alone, start_of(alone), MIDDLE)
    assert state.patches == expected.patches
    np.testing.assert_array_equal(state.mask.dense(), expected.mask.dense())
    np.testing.assert_array_equal(state.logits.dense(), expected.logits.dense())


def test_the_limit_of_agreement_decides() -> None:
    truth = long_tube()
    # Everything in a patch of 32^3 against a tube: a Dice of about 0.2 in the overlap.
    assert len(grow(truth, Leaky(), GrowingRules(overlap_dice=0.3)).patches) == 1
    assert len(grow(truth, Leaky(), GrowingRules(overlap_dice=0.1)).patches) > 3


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_the_number_of_patches_is_limited(limit) -> None:
    predictor = ComponentPredictor()
    state = grow(long_tube(), predictor, GrowingRules(max_patches=limit))
    assert predictor.decode_calls == len(state.patches) == limit


def test_refused_patches_count_for_the_limit() -> None:
    predictor = Leaky()
    grow(long_tube(), predictor, GrowingRules(max_patches=2))
    assert predictor.decode_calls == 2


def test_a_refused_patch_is_not_asked_again_from_its_other_neighbours() -> None:
    class Blind(ComponentPredictor):
        """Sees nothing where the image has a mark."""

        def logits(self, call: DecodeCall):
            logits = super().logits(call)
            return np.where(call.embedding.patch_hu.max() > 500, -9.0, logits)

    geometry = centred_geometry((220, 220, 80), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[17:23, 5:105, 5:105] = 100.0
    hu[30, 83, 83] = 1000.0
    predictor = Blind()
    encoder = PatchEncoder(Volume(hu, geometry), model_grid(geometry, 2.0), predictor, 99)
    state = grown_state(encoder, start_of(encoder), MIDDLE, GrowingRules(max_patches=99))
    assert len(state.patches) > 8
    assert predictor.decode_calls > len(state.patches)
    numbers = [call.embedding.number for call in predictor.decoded]
    assert len(set(numbers)) == len(numbers)


# Watching and stopping -------------------------------------------------------------------------


def test_every_patch_is_told_as_it_comes() -> None:
    told: list[SessionState] = []
    truth = long_tube()
    state = grow(truth, ComponentPredictor(), on_patch=told.append)
    assert [len(one.patches) for one in told] == [1, 2, 3, 4, 5, 6, 7]
    assert told[-1] is state
    assert {one.parent for one in told} == {state.parent}
    assert all(list(one.prompts) == [MIDDLE] for one in told)
    shown = np.zeros(truth.mask_kji.shape, bool)
    earlier = state.parent
    for one in told:
        update = one.changes_since(earlier)
        assert not update.bbox.is_empty
        shown[update.bbox.slices_kji] = update.mask_kji
        earlier = one
    np.testing.assert_array_equal(shown, state.mask.dense())


@pytest.mark.parametrize("after", [2, *slow(1, 4)])
def test_cancelling_ends_with_what_is_there(after) -> None:
    told: list[SessionState] = []
    truth = long_tube()
    state = grow(
        truth, ComponentPredictor(), on_patch=told.append, cancelled=lambda: len(told) >= after
    )
    assert len(told) == len(state.patches) == after
    whole: list[SessionState] = []
    grow(truth, ComponentPredictor(), on_patch=whole.append)
    np.testing.assert_array_equal(state.mask.dense(), whole[after - 1].mask.dense())


def test_the_hooks_of_a_session_are_used() -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor(), grow="frontier")
    told: list[SessionState] = []
    session.on_patch = told.append
    session.cancelled = lambda: len(told) >= 3
    session.add_click(MIDDLE.position_ras)
    assert session.state is told[-1]
    assert len(session.state.patches) == 3


def test_an_error_in_a_later_patch_leaves_the_session_as_it_was() -> None:
    session = open_session(long_tube().volume, ComponentPredictor(), grow="frontier")

    def spoil(state: SessionState) -> None:
        if len(state.patches) == 2:
            session.predictor.fail_next = RuntimeError("out of memory")

    session.on_patch = spoil
    state = session.state
    with pytest.raises(RuntimeError, match="out of memory"):
        session.add_click(MIDDLE.position_ras)
    assert session.state is state


def test_times_are_those_of_all_patches() -> None:
    state = grow(long_tube(), ComponentPredictor())
    first = grow(long_tube(), ComponentPredictor(), GrowingRules(max_patches=1))
    assert set(state.timings_ms) == {"encode_ms", "decode_ms", "resample_ms"}
    assert sum(state.timings_ms.values()) > 2 * sum(first.timings_ms.values())


# A function of volume, model and clicks --------------------------------------------------------


def test_cache_and_warm_up_change_nothing() -> None:
    volume = long_tube().volume
    small = InteractiveSession.for_volume(
        volume, ComponentPredictor(), max_patches=1, grow="frontier"
    )
    large = InteractiveSession.for_volume(
        volume, ComponentPredictor(), max_patches=99, grow="frontier"
    )
    for z in (-100.0, -20.0, 0.0, 70.0):
        large.warm_up(OBLIQUE @ (1.0, 2.0, z))
    for session in (small, large):
        session.add_click(OBLIQUE @ (0.0, 0.0, 30.0))
        session.add_click(OBLIQUE @ (0.0, 4.0, -50.0), positive=False)
        session.add_click(OBLIQUE @ (0.0, -4.0, -60.0))
    assert small.state.patches == large.state.patches
    np.testing.assert_array_equal(small.mask, large.mask)
    np.testing.assert_array_equal(small.state.logits.dense(), large.state.logits.dense())
    fresh = large.for_another_structure(large.clicks)
    assert fresh.grow == "frontier"
    np.testing.assert_array_equal(fresh.mask, large.mask)
    large.undo()
    large.redo()
    large.remove_click(1)
    small.set_clicks(large.clicks)
    np.testing.assert_array_equal(small.mask, large.mask)
