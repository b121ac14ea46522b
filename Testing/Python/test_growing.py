"""Following a structure patch by patch, on phantoms longer than several patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor, DecodeCall
from phantoms import OBLIQUE, ORIENTATIONS, Phantom, centred_geometry, empty_volume, phantom, tube
from scipy import ndimage

from CTSAM3DLib.api import open_session
from CTSAM3DLib.bounding_box import BoundingBox
from CTSAM3DLib.click_step import next_state
from CTSAM3DLib.geometry import model_grid
from CTSAM3DLib.growing import GrowingRules, grown_state
from CTSAM3DLib.patch_encoder import PatchEncoder
from CTSAM3DLib.predictor import ModelSettings
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.session_state import SessionState
from CTSAM3DLib.volume import MaskUpdate, Volume

MIDDLE = Click((0.0, 0.0, 0.0))


def long_tube(directions=OBLIQUE, length_mm: float = 240.0) -> Phantom:
    """A tube of 12 mm radius along S of the volume's own axes, ending inside the volume."""
    geometry = centred_geometry((70, 60, 320), (1.5, 2.0, 2.5), directions)
    axis = directions @ np.array([0.0, 0.0, length_mm / 2])
    return phantom(geometry, tube(-axis, axis, 12.0))


def encoder_of(truth: Phantom, predictor: BallPredictor, cached: int = 99) -> PatchEncoder:
    geometry = truth.volume.geometry
    return PatchEncoder(truth.volume, model_grid(geometry, 2.0), predictor, cached)


def start_of(encoder: PatchEncoder) -> SessionState:
    return SessionState.empty(encoder.volume.geometry, encoder.grid)


def grow(
    truth: Phantom, predictor: BallPredictor, rules: GrowingRules | None = None, **hooks: Callable
) -> SessionState:
    encoder = encoder_of(truth, predictor)
    return grown_state(encoder, start_of(encoder), MIDDLE, rules, **hooks)


def overlap(mask, truth) -> float:
    return 2.0 * (mask & truth).sum() / (mask.sum() + truth.sum())


# Found whole, and no further -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["axial", "oblique", "oblique left-handed coronal"])
@pytest.mark.parametrize("at", [0.0, 0.9])
def test_an_object_longer_than_three_patches_is_found_from_one_click(name, at) -> None:
    truth = long_tube(ORIENTATIONS[name])
    session = open_session(truth.volume, ComponentPredictor(), grow=True)
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
        def _logits(self, _call):
            return np.full((self.patch_size,) * 3, 9.0)

    # 4 x 4 voxels of the grid at each face, in a patch of 32 x 32.
    volume = empty_volume(centred_geometry((8, 8, 400), (2, 2, 2)))
    session = open_session(volume, Everything(), grow=True)
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

    def _logits(self, call: DecodeCall):
        logits = super()._logits(call)
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

    def _logits(self, call: DecodeCall):
        if len(call.labels):
            return super()._logits(call)
        return np.full((self.patch_size,) * 3, self.answer)


@pytest.mark.parametrize("answer", [9.0, -9.0])
def test_a_patch_that_disagrees_with_what_is_known_is_refused(answer) -> None:
    truth = long_tube()
    predictor = Leaky()
    predictor.answer = answer
    state = grow(truth, predictor)
    assert predictor.decode_calls == 3  # the click's own patch, and one through each open face
    alone = encoder_of(truth, ComponentPredictor())
    expected = next_state(alone, start_of(alone), MIDDLE)
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

        def _logits(self, call: DecodeCall):
            logits = super()._logits(call)
            return np.where(call.embedding.patch_hu.max() > 500, -9.0, logits)

    geometry = centred_geometry((300, 300, 80), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[17:23, 5:145, 5:145] = 100.0
    hu[30, 113, 113] = 1000.0
    predictor = Blind()
    encoder = PatchEncoder(Volume(hu, geometry), model_grid(geometry, 2.0), predictor, 99)
    state = grown_state(encoder, start_of(encoder), MIDDLE, GrowingRules(max_patches=99))
    assert len(state.patches) > 16
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
    assert all(list(one.clicks) == [MIDDLE] for one in told)
    shown = np.zeros(truth.mask_kji.shape, bool)
    earlier = state.parent
    for one in told:
        update = one.changes_since(earlier)
        assert not update.bbox.is_empty
        shown[update.bbox.slices_kji] = update.mask_kji
        earlier = one
    np.testing.assert_array_equal(shown, state.mask.dense())


@pytest.mark.parametrize("after", [1, 2, 4])
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
    session = open_session(truth.volume, ComponentPredictor(), grow=True)
    told: list[SessionState] = []
    session.on_patch = told.append
    session.cancelled = lambda: len(told) >= 3
    session.add_click(MIDDLE.position_ras)
    assert session.state is told[-1]
    assert len(session.state.patches) == 3


def test_an_error_in_a_later_patch_leaves_the_session_as_it_was() -> None:
    session = open_session(long_tube().volume, ComponentPredictor(), grow=True)

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
    small = InteractiveSession.for_volume(volume, ComponentPredictor(), max_patches=1, grow=True)
    large = InteractiveSession.for_volume(volume, ComponentPredictor(), max_patches=99, grow=True)
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
    assert fresh.grow
    np.testing.assert_array_equal(fresh.mask, large.mask)
    large.undo()
    large.redo()
    large.remove_click(1)
    small.set_clicks(large.clicks)
    np.testing.assert_array_equal(small.mask, large.mask)


# Corrections -----------------------------------------------------------------------------------


def forked() -> Volume:
    """Two parallel bars 20 mm apart, both longer than three patches."""
    geometry = centred_geometry((80, 80, 240), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[5:115, 18:24, 12:18] = 100.0
    hu[5:115, 18:24, 24:30] = 100.0
    return Volume(hu, geometry)


def test_a_correction_inside_costs_one_patch_and_grows_only_through_new_faces() -> None:
    session = open_session(forked(), ComponentPredictor(), grow=True)
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((15, 21, 60)))
    assert session.mask[:, :, :20].sum() > 0.95 * 110 * 36
    assert not session.mask[:, :, 22:].any()
    patches, calls = len(session.state.patches), session.predictor.decode_calls
    # The same bar again: nothing new leaves a patch.
    session.add_click(at((15, 22, 64)))
    assert session.predictor.decode_calls == calls + 1
    # The other bar, with its own click in patches that are all known: faces are covered.
    session.add_click(at((27, 21, 60)))
    assert session.mask[60, 21, 27]
    assert len(session.state.patches) == patches
    assert session.predictor.decode_calls == calls + 2


def test_a_click_on_something_that_leaves_all_patches_grows_again() -> None:
    geometry = centred_geometry((240, 80, 240), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[50:56, 18:24, 10:110] = 100.0
    hu[62:110, 18:24, 57:63] = 100.0
    session = open_session(Volume(hu, geometry), ComponentPredictor(), grow=True)
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((60, 21, 53)))
    assert session.mask.sum() == pytest.approx(6 * 6 * 100, rel=0.02)
    before = session.predictor.decode_calls
    session.add_click(at((60, 21, 63)))
    # In the patch of the first click, where all near its faces was known to be background, and
    # out through its upper face.
    assert session.predictor.decoded[before].embedding.number == 1
    assert session.predictor.decode_calls > before + 1
    assert session.mask.sum() == pytest.approx(6 * 6 * 148, rel=0.02)


def test_a_negative_click_recomputes_its_own_patch_alone() -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor(), grow=True)
    session.add_click(MIDDLE.position_ras)
    calls, before = session.predictor.decode_calls, session.mask
    position = OBLIQUE @ (0.0, 0.0, 60.0)
    session.add_click(position, positive=False)
    assert session.predictor.decode_calls == calls + 1
    i, j, k = truth.volume.geometry.voxel_from_ras(position)
    assert before[k, j, i]
    assert not session.mask[k, j, i]
    assert overlap(session.mask, before) > 0.97


def test_a_negative_click_never_grows_whatever_the_model_adds() -> None:
    class Contrary(ComponentPredictor):
        """Takes everything bright for the object once it has been told what is not."""

        def _logits(self, call: DecodeCall):
            if (call.labels == 1).all():
                return super()._logits(call)
            return np.where(call.embedding.patch_hu > 0, 5.0, -20.0)

    geometry = centred_geometry((240, 80, 240), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[50:56, 18:24, 10:110] = 100.0
    hu[62:110, 18:24, 57:63] = 100.0
    session = open_session(Volume(hu, geometry), Contrary(), grow=True)
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((60, 21, 53)))
    calls = session.predictor.decode_calls
    session.add_click(at((60, 30, 53)), positive=False)
    assert session.mask[63, 21, 60]
    assert session.predictor.decode_calls == calls + 1


def test_clicks_are_obeyed_in_the_patches_that_follow() -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor(), grow=True)
    barred = OBLIQUE @ (0.0, 0.0, 90.0)
    session.add_click(barred, positive=False)
    assert session.predictor.decode_calls == 0
    session.add_click(MIDDLE.position_ras)
    i, j, k = truth.volume.geometry.voxel_from_ras(barred)
    assert not session.mask[k, j, i]
    seen = [call.labels.tolist() for call in session.predictor.decoded]
    assert seen[0] == [1]
    assert [0] in seen
    assert overlap(session.mask, truth.mask_kji) > 0.94


def test_a_given_mask_is_continued_and_kept() -> None:
    truth = long_tube(np.eye(3))
    given = truth.mask_kji.copy()
    given[truth.mask_kji.shape[0] // 2 :] = False
    given[:4, :4, :4] = True
    box = BoundingBox.from_mask(given)
    session = InteractiveSession.for_volume(
        truth.volume,
        ComponentPredictor(),
        base=MaskUpdate(given[box.slices_kji], box),
        grow=True,
    )
    session.add_click((0.0, 0.0, 10.0))
    assert overlap(session.mask, truth.mask_kji | given) > 0.97
    # Towards the upper end only: the lower half was there before.
    assert min(patch.start_ijk[2] for patch in session.state.patches) > 60
    low = np.s_[:50]
    np.testing.assert_array_equal(session.mask[low], given[low])


def test_a_border_that_moves_a_little_opens_no_face() -> None:
    class Fatter(BallPredictor):
        def _logits(self, call: DecodeCall):
            mask = call.previous_logits > 0
            return np.where(ndimage.binary_dilation(mask, iterations=1), 15.0, -20.0)

    truth = long_tube(np.eye(3))
    box = BoundingBox.from_mask(truth.mask_kji)
    given = MaskUpdate(truth.mask_kji[box.slices_kji], box)
    session = InteractiveSession.for_volume(truth.volume, Fatter(), base=given, grow=True)
    session.add_click((0.0, 0.0, 0.0))
    assert session.mask.sum() > truth.mask_kji.sum()
    assert session.predictor.decode_calls == 1


# Cross-patch prompting -------------------------------------------------------------------------


@dataclass
class Prompting(ComponentPredictor):
    """A trained cross-patch predictor with a peak of given height on bright voxels."""

    peak: float = 0.8
    asked: list[tuple] = field(default_factory=list)

    @property
    def settings(self) -> ModelSettings:
        return replace(super().settings, cross_patch_trained=True)

    def cross_patch(self, patch_hu, mask, neighbour_hu):
        super().cross_patch(patch_hu, mask, neighbour_hu)
        self.asked.append((patch_hu, mask, neighbour_hu))
        heat = np.zeros(mask.shape, np.float32)
        depth = np.where(neighbour_hu > 50, neighbour_hu, -1)
        heat[np.unravel_index(depth.argmax(), depth.shape)] = self.peak
        return heat


def test_the_peak_of_the_heat_map_is_a_positive_click() -> None:
    truth = long_tube()
    predictor = Prompting()
    state = grow(truth, predictor)
    assert overlap(state.mask.dense(), truth.mask_kji) > 0.96
    assert len(predictor.asked) == predictor.decode_calls - 1
    for (patch_hu, mask, neighbour_hu), call in zip(
        predictor.asked, predictor.decoded[1:], strict=True
    ):
        assert call.labels.tolist() == [1]
        k, j, i = (int(value) for value in call.points_kji[0])
        assert neighbour_hu[k, j, i] > 50
        np.testing.assert_array_equal(call.embedding.patch_hu, neighbour_hu)
        assert (patch_hu[mask] > 0).mean() > 0.95


def test_a_low_peak_is_the_end_of_the_object() -> None:
    predictor = Prompting(peak=0.29)
    state = grow(long_tube(), predictor)
    assert len(state.patches) == predictor.decode_calls == 1
    assert len(predictor.asked) == 2
    assert len(grow(long_tube(), Prompting(peak=0.29), GrowingRules(heat_peak=0.2)).patches) == 7


def test_no_peak_counts_where_background_is_known() -> None:
    @dataclass
    class Pointing(Prompting):
        """Points to air, most of all where the first patch has seen it."""

        rises: bool = True

        def cross_patch(self, patch_hu, mask, neighbour_hu):
            super().cross_patch(patch_hu, mask, neighbour_hu)
            slope = np.linspace(0.9, 0.4, self.patch_size, dtype=np.float32)
            along = slope if self.rises else slope[::-1]
            return np.where(neighbour_hu < 0, along[:, None, None], np.float32(0.0))

    truth = long_tube(np.eye(3))
    for rises in (True, False):
        predictor = Pointing(rises=rises)
        rules = GrowingRules(max_patches=3, overlap_dice=0.0)
        grow(truth, predictor, rules)
        # The second patch lies below the first one, the third above it.
        call = predictor.decoded[2 if rises else 1]
        k, j, i = (int(value) for value in call.points_kji[0])
        unknown = call.previous_logits == -20.0
        assert unknown[k, j, i]
        # Steepest towards what is known, so the peak lies just beyond it.
        shared = 12 if rises else 20
        assert k == (shared if rises else shared - 1)


def test_an_untrained_cross_patch_predictor_is_not_asked() -> None:
    class Forbidden(ComponentPredictor):
        def cross_patch(self, *arguments):
            raise AssertionError(f"asked about {len(arguments)} arrays")

    assert len(grow(long_tube(), Forbidden()).patches) == 7


def test_whether_the_cross_patch_predictor_is_trained_is_stored_with_the_model() -> None:
    stored = Prompting().settings.to_dict()
    assert ModelSettings.from_dict(stored).cross_patch_trained
    del stored["cross_patch_trained"]
    assert not ModelSettings.from_dict(stored).cross_patch_trained
