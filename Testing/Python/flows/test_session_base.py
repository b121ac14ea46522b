"""Sessions that go on from a mask that was painted, imported or edited by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from phantoms import (
    OBLIQUE,
    ORIENTATIONS,
    ball,
    centred_geometry,
    empty_volume,
    phantom,
    tube,
)
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import ClickOutsideVolumeError, VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession

HERE = Click((0.0, 0.0, 0.0))
THERE = Click((12.0, 0.0, 0.0))
NOT_HERE = Click((0.0, 0.0, 0.0), positive=False)


def as_update(mask: NDArray[np.bool_]) -> MaskUpdate:
    box = BoundingBox.from_mask(mask)
    return MaskUpdate(mask[box.slices_kji], box)


def positions(geometry: Geometry) -> NDArray[np.float64]:
    """Where the voxels of a volume lie: (K, J, I, 3), RAS mm."""
    k, j, i = np.indices(geometry.shape_kji)
    return geometry.ras_from_ijk(np.stack([i, j, k], axis=-1).astype(float))


def outside_patches(session: InteractiveSession) -> NDArray[np.bool_]:
    """Voxels of the volume whose centre lies in no patch, by brute force."""
    geometry, grid = session.volume.geometry, session.grid
    at = grid.ijk_from_ras(positions(geometry))
    outside = np.ones(geometry.shape_kji, bool)
    for patch in session.state.patches:
        # A little larger, so that rounding at a face does not count.
        low, high = np.array(patch.start_ijk) - 0.501, np.array(patch.stop_ijk) - 0.499
        outside &= ~((at > low) & (at < high)).all(axis=-1)
    return outside


def speckle(geometry: Geometry) -> NDArray[np.bool_]:
    """A mask full of detail that no model grid can hold."""
    rng = np.random.default_rng(1)
    tubes = phantom(geometry, tube(OBLIQUE @ (-70, 0, 0), OBLIQUE @ (70, 0, 0), 9.0)).mask_kji
    return tubes ^ (rng.random(geometry.shape_kji) < 0.01)


# The mask before the first click ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["axial", "oblique left-handed coronal"])
def test_without_clicks_the_mask_is_the_base_voxel_for_voxel(name) -> None:
    geometry = centred_geometry((150, 60, 60), (0.8, 1.0, 2.5), ORIENTATIONS[name])
    base = speckle(geometry)
    session = InteractiveSession.for_volume(
        empty_volume(geometry), BallPredictor(), base=as_update(base)
    )
    np.testing.assert_array_equal(session.mask, base)
    assert len(session.clicks) == 0
    assert session.predictor.encode_calls == 0
    session.add_click((0.0, 0.0, 0.0))
    assert (session.mask != base).any()
    session.reset()
    np.testing.assert_array_equal(session.mask, base)
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.mask, base)


@pytest.mark.parametrize("answer", [-99.0, 99.0])
@pytest.mark.parametrize("spacing", [*slow((1.0, 1.0, 1.0)), (0.7, 1.3, 5.0)])
def test_outside_the_patches_of_the_clicks_the_base_stays(answer, spacing) -> None:
    class Stubborn(BallPredictor):
        def logits(self, _call):
            return np.full((self.patch_size,) * 3, answer)

    geometry = centred_geometry((160, 90, 90), spacing, OBLIQUE)
    base = speckle(geometry)
    session = open_session(empty_volume(geometry), Stubborn()).for_another_structure(
        base=as_update(base)
    )
    rng = np.random.default_rng(11)
    for number in range(5):
        voxel = rng.integers(0, geometry.size_ijk)
        positive = (number % 2 == 0) == (answer > 0)
        session.add_click(geometry.ras_from_ijk(voxel), positive)
        outside = outside_patches(session)
        assert base[outside].any()
        np.testing.assert_array_equal(session.mask[outside], base[outside])
        i, j, k = voxel
        assert session.mask[k, j, i] == positive
    # The last answer, of its click's own sign, rules in the core of its patch.
    core = session.state.patches[-1]
    middle = BoundingBox(
        tuple(value + 6 for value in core.start_ijk), tuple(value - 6 for value in core.stop_ijk)
    ).clipped(session.grid.shape_kji)
    logits = session.state.logits.read(middle)
    assert (np.sign(logits) == np.sign(answer)).mean() > 0.95


def test_the_model_sees_the_base_as_its_earlier_result() -> None:
    geometry = centred_geometry((100, 100, 100), (1, 1, 1))
    base = phantom(geometry, ball((0.0, 0.0, 0.0), 14.0)).mask_kji
    session = open_session(empty_volume(geometry), BallPredictor()).for_another_structure(
        base=as_update(base)
    )
    session.add_click((12.0, 0.0, 0.0))
    shown = session.predictor.decoded[-1].previous_logits
    # Grid voxels of which the base covers exactly half count as outside.
    assert (shown > 0).sum() * 8 == pytest.approx(base.sum(), rel=0.06)
    assert {float(shown.min()), float(shown.max())} == {-20.0, 4.0}
    # Joined with the ball around the click, as the predictor does with what it is shown.
    assert session.mask.sum() > base.sum()
    missing = base & ~session.mask
    assert missing.sum() < 0.03 * base.sum()


@pytest.mark.parametrize("inside", [True, False])
def test_a_first_negative_click_carves_the_base(inside) -> None:
    geometry = centred_geometry((100, 100, 100), (1, 1, 1))
    base = phantom(geometry, ball((0.0, 0.0, 0.0), 20.0)).mask_kji
    session = open_session(empty_volume(geometry), BallPredictor()).for_another_structure(
        base=as_update(base)
    )
    position = (6.0, 0.0, 0.0) if inside else (24.0, 0.0, 0.0)
    session.add_click(position, positive=False)
    assert session.predictor.decoded[-1].labels.tolist() == [0]
    i, j, k = geometry.voxel_from_ras(position)
    assert not session.mask[k, j, i]
    carved = (base & ~session.mask).sum()
    # A ball of 3 voxels of 2 mm, inside; or only its part in the base, and rounding at the border.
    wanted = 4 / 3 * np.pi * 6.0**3 if inside else 0.0
    assert carved == pytest.approx(wanted, abs=0.15 * 905 + 0.02 * base.sum())


def test_a_negative_click_on_detail_below_the_grid_is_obeyed() -> None:
    geometry = centred_geometry((100, 100, 100), (1, 1, 1))
    base = np.zeros(geometry.shape_kji, bool)
    i, j, k = geometry.voxel_from_ras((3.4, 3.4, 3.4))
    base[k, j, i] = True
    session = open_session(empty_volume(geometry), BallPredictor()).for_another_structure(
        base=as_update(base)
    )
    assert not (session.state.logits.dense() > 0).any()
    session.add_click(geometry.ras_from_ijk((i, j, k)), positive=False)
    assert not session.mask.any()


def test_a_click_inside_takes_no_detail_away() -> None:
    geometry = centred_geometry((100, 100, 100), (1, 1, 1))
    base = np.random.default_rng(3).random(geometry.shape_kji) < 0.003
    session = open_session(empty_volume(geometry), BallPredictor()).for_another_structure(
        base=as_update(base)
    )
    session.add_click((0.0, 0.0, 0.0))
    outside = outside_patches(session)
    logits = session.logits_on_volume(BoundingBox.from_shape(geometry.shape_kji))
    assert base[~outside].sum() > 300
    np.testing.assert_array_equal(session.mask[~outside], (base | (logits > 0))[~outside])
    np.testing.assert_array_equal(session.mask[outside], base[outside])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.1, 2.5)])
def test_a_click_outside_adds_nothing_and_leaves_detail_elsewhere(spacing) -> None:
    geometry = centred_geometry((100, 80, 60), spacing, OBLIQUE)
    whole = phantom(geometry, ball((0.0, 0.0, 0.0), 12.0)).mask_kji
    away = np.linalg.norm(positions(geometry), axis=-1)
    far = away > 20.0
    detail = far & (np.random.default_rng(3).random(geometry.shape_kji) < 0.003)
    session = open_session(empty_volume(geometry), BallPredictor()).for_another_structure(
        base=as_update(whole | detail)
    )
    session.add_click((0.0, 0.0, 0.0), positive=False)
    inside = ~outside_patches(session)
    assert (detail & inside).sum() > 300
    assert not (session.mask & ~(whole | detail)).any()
    np.testing.assert_array_equal(session.mask & far, detail)
    # Nothing is left of what the click takes away.
    logits = session.logits_on_volume(BoundingBox.from_shape(geometry.shape_kji))
    assert (whole & (logits <= 0) & (away < 8.0)).sum() > 300
    assert not (session.mask & (logits <= 0) & (away < 8.0)).any()
    assert (session.mask & ~far).any()


def test_a_click_far_from_the_base_leaves_all_of_it() -> None:
    geometry = centred_geometry((300, 60, 60), (1, 1, 1))
    base = phantom(geometry, ball((-100.0, 0.0, 0.0), 15.0)).mask_kji
    session = open_session(empty_volume(geometry), BallPredictor()).for_another_structure(
        base=as_update(base)
    )
    session.add_click((100.0, 0.0, 0.0))
    assert session.predictor.decoded[-1].previous_logits is None
    half = np.s_[:, :, :150]
    np.testing.assert_array_equal(session.mask[half], base[half])
    assert session.mask[:, :, 150:].any()


def test_a_base_costs_the_memory_of_its_surroundings() -> None:
    voxels = np.broadcast_to(np.int16(40), (1500, 512, 512))
    volume = Volume(voxels, Geometry(np.diag([0.8, 0.8, 1.0, 1.0]), voxels.shape))
    box = BoundingBox((200, 200, 700), (260, 260, 760))
    base = MaskUpdate(np.ones(box.shape_kji, bool), box)
    session = open_session(volume, BallPredictor()).for_another_structure(base=base)
    assert session.state.logits.nbytes + session.state.mask.nbytes < 3 * 2**20


def test_a_base_outside_the_volume_is_refused() -> None:
    session = open_session(empty_volume(centred_geometry([50] * 3, [2] * 3)), BallPredictor())
    base = MaskUpdate(np.ones((2, 2, 2), bool), BoundingBox((24, 0, 0), (26, 2, 2)))
    with pytest.raises(VolumeError, match="expected a mask inside the volume"):
        session.for_another_structure(base=base)


# A mask that was edited by hand in between -----------------------------------------------------


def ball_session() -> InteractiveSession:
    return open_session(empty_volume(centred_geometry([100] * 3, [1] * 3)), BallPredictor())


def painted(session: InteractiveSession) -> NDArray[np.bool_]:
    """The mask of a session after somebody has drawn a bar and rubbed out a corner."""
    mask = session.mask.copy()
    mask[40:44, 60:64, :] = True
    mask[:, :50, :50] = False
    return mask


def test_later_clicks_go_on_from_the_edited_mask() -> None:
    session = ball_session()
    session.set_clicks([HERE])
    model_alone = session.mask
    edited = painted(session)
    update = session.rebase([HERE], as_update(edited))
    np.testing.assert_array_equal(session.mask, edited)
    assert update.bbox == BoundingBox.from_mask(edited != model_alone)
    assert list(session.clicks) == [HERE]
    assert session.predictor.decode_calls == 1
    session.set_clicks([HERE, THERE])
    assert session.predictor.decode_calls == 2
    outside = outside_patches(session)
    assert edited[outside].any()
    np.testing.assert_array_equal(session.mask[outside], edited[outside])
    shown = session.predictor.decoded[-1].previous_logits
    assert (shown > 0).any()
    # All ways back are known.
    session.set_clicks([HERE])
    np.testing.assert_array_equal(session.mask, edited)
    session.reset()
    assert not session.mask.any()
    session.set_clicks([HERE])
    np.testing.assert_array_equal(session.mask, edited)
    assert session.predictor.decode_calls == 2


def test_a_click_that_was_rubbed_out_stays_so_until_a_patch_reaches_it() -> None:
    class All(BallPredictor):
        def logits(self, _call):
            return np.full((self.patch_size,) * 3, 9.0)

    geometry = centred_geometry((300, 80, 80), (1, 1, 1))
    session = open_session(empty_volume(geometry), All())
    # The patch of the second click starts just after the first one.
    second = Click((70.0, 0.0, 0.0))
    session.add_click(second.position_ras)
    start = session.state.patches[0].start_ijk
    session.reset()
    beside = session.grid.ras_from_ijk((start[0] - 1, start[1] + 16, start[2] + 16))
    first = Click(tuple(beside.tolist()))
    i, j, k = geometry.voxel_from_ras(first.position_ras)
    session.rebase([first], MaskUpdate(np.zeros((0, 0, 0), bool), BoundingBox.empty()))
    session.set_clicks([first, second])
    assert session.state.patches[0].start_ijk == start
    assert session.mask[k, j, i + 2]
    assert not session.mask[k, j, i]


def test_before_the_edit_is_still_known_and_its_line_is_apart() -> None:
    session = ball_session()
    session.set_clicks([HERE])
    model_alone = session.mask
    edited = painted(session)
    session.rebase([HERE], as_update(edited))
    session.add_click(THERE.position_ras)
    after_edit = session.mask
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.mask, model_alone)
    # From the state before the edit the same list leads past the edit.
    session.set_clicks([HERE, THERE])
    assert (session.mask != after_edit).any()
    fresh = ball_session()
    fresh.set_clicks([HERE, THERE])
    np.testing.assert_array_equal(session.mask, fresh.mask)


def test_a_list_that_does_not_start_with_the_edited_clicks_is_replayed_from_the_base() -> None:
    geometry = centred_geometry([100] * 3, [1] * 3)
    base = phantom(geometry, ball((-20.0, 0.0, 0.0), 9.0)).mask_kji
    volume = empty_volume(geometry)
    session = InteractiveSession.for_volume(volume, BallPredictor(), base=as_update(base))
    session.rebase([HERE, NOT_HERE], as_update(painted(session)))
    session.set_clicks([HERE, THERE])
    fresh = InteractiveSession.for_volume(volume, BallPredictor(), base=as_update(base))
    fresh.set_clicks([HERE, THERE])
    np.testing.assert_array_equal(session.mask, fresh.mask)
    session.reset()
    np.testing.assert_array_equal(session.mask, base)


def test_the_present_clicks_and_mask_again_are_no_step() -> None:
    session = ball_session()
    session.add_click((0.0, 0.0, 0.0))
    state = session.state
    assert session.rebase(session.clicks, as_update(session.mask)).bbox.is_empty
    assert session.state is state
    # Other clicks are one, also with the same mask.
    session.rebase([], as_update(session.mask))
    assert len(session.clicks) == 0
    assert session.mask.any()
    session.undo()
    assert session.state is state


def test_an_edit_without_clicks_becomes_what_a_reset_gives() -> None:
    session = ball_session()
    session.rebase([], as_update(painted(session)))
    edited = session.mask
    session.add_click((0.0, 0.0, 0.0))
    session.reset()
    np.testing.assert_array_equal(session.mask, edited)


@pytest.mark.parametrize(
    ("clicks", "start", "error"),
    [
        ([Click((0.0, 0.0, 99.0))], 0, ClickOutsideVolumeError),
        ([HERE], 99, VolumeError),
    ],
)
def test_a_bad_rebase_leaves_the_session_as_it_was(clicks, start, error) -> None:
    session = ball_session()
    session.add_click((0.0, 0.0, 0.0))
    state = session.state
    box = BoundingBox((start,) * 3, (start + 2,) * 3)
    with pytest.raises(error, match="inside the volume"):
        session.rebase(clicks, MaskUpdate(np.ones((2, 2, 2), bool), box))
    assert session.state is state


@given(
    st.lists(
        st.tuples(st.tuples(*[st.sampled_from([-40.0, -15.0, 10.0, 35.0])] * 3), st.booleans()),
        max_size=4,
    ),
    st.integers(0, 4),
)
def test_an_edit_and_a_fresh_session_with_that_mask_give_the_same(items, edited_after) -> None:
    geometry = centred_geometry((160, 160, 160), (3, 4, 5), OBLIQUE)
    clicks = [Click(*item) for item in items]
    volume = phantom(geometry, ball((0.0, 0.0, 0.0), 50.0)).volume
    model = ComponentPredictor(patch_size=16, spacing_mm=4.0)
    session = open_session(volume, model)
    session.set_clicks(clicks[:edited_after])
    edit = as_update(speckle(geometry))
    session.rebase(clicks[:edited_after], edit)
    session.set_clicks(clicks)
    fresh = open_session(volume, model)
    fresh.rebase(ClickHistory(clicks[:edited_after]), edit)
    for click in clicks[edited_after:]:
        fresh.add_click(click.position_ras, click.positive)
    np.testing.assert_array_equal(session.mask, fresh.mask)
