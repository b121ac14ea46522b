"""What a click changes in a session, and what the model is shown of clicks and image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor
from numpy.typing import NDArray
from phantoms import OBLIQUE, ball, centred_geometry, empty_volume, phantom, tube
from session_case import BALL_SIZE_MM3, ball_session, cube, mask_size_mm3
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import ClickOutsideVolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.session.session import InteractiveSession

# Negative clicks -------------------------------------------------------------------------------


def test_a_negative_click_carves_its_ball() -> None:
    session = ball_session(cube(spacing_mm=1.0))
    session.add_click((0.0, 0.0, 0.0))
    session.add_click((4.0, 0.0, 0.0), positive=False)
    carved = 4 / 3 * math.pi * 6.0**3
    # The negative ball covers the positive click, whose own voxels stay.
    assert mask_size_mm3(session) == pytest.approx(BALL_SIZE_MM3 - carved, rel=0.06)
    i, j, k = session.volume.geometry.voxel_from_ras((0, 0, 0))
    assert session.mask[k, j, i]


def test_a_negative_start_is_remembered_until_a_positive_click_comes() -> None:
    session = ball_session(cube(spacing_mm=1.0))
    predictor = session.predictor
    update = session.add_click((6.0, 0.0, 0.0), positive=False)
    assert update.bbox.is_empty
    assert update.mask_kji.size == 0
    assert len(session.clicks) == 1
    assert (predictor.encode_calls, predictor.decode_calls) == (0, 0)
    session.add_click((-2.0, 0.0, 0.0))
    assert predictor.decoded[-1].labels.tolist() == [0, 1]
    i, j, k = session.volume.geometry.voxel_from_ras((6, 0, 0))
    assert session.mask.any()
    assert not session.mask[k, j, i]


def test_a_negative_click_far_away_changes_nothing_now_and_counts_later() -> None:
    session = ball_session(cube(240))
    session.add_click((-90.0, 0.0, 0.0))
    before = session.mask
    update = session.add_click((90.0, 0.0, 0.0), positive=False)
    assert update.bbox.is_empty
    np.testing.assert_array_equal(session.mask, before)
    assert session.predictor.decode_calls == 1
    session.add_click((84.0, 0.0, 0.0))
    i, j, k = session.volume.geometry.voxel_from_ras((90, 0, 0))
    assert not session.mask[k, j, i]
    assert session.mask.sum() > before.sum()


def test_a_negative_click_outside_the_patch_but_in_the_mask_is_honoured() -> None:
    truth = phantom(cube(120), ball((0, 0, 0), 55.0))
    session = open_session(truth.volume, ComponentPredictor())
    session.add_click((0.0, 0.0, 0.0))
    far = (29.0, 0.0, 0.0)
    i, j, k = truth.volume.geometry.voxel_from_ras(far)
    assert session.mask[k, j, i]
    before = session.mask
    session.add_click(far, positive=False)
    assert len(session.state.patches) == 2
    assert not session.mask[k, j, i]
    assert (before & ~session.mask).sum() * 8 == pytest.approx(4 / 3 * math.pi * 6**3, rel=0.2)


class Stubborn(BallPredictor):
    """Answers "everything" or "nothing", whatever the clicks are."""

    answer = -15.0

    def logits(self, _call):
        return np.full((self.patch_size,) * 3, self.answer)


@pytest.mark.parametrize("answer", [-99.0, 99.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 12.0), *slow((1.0, 1.0, 1.0), (2.0, 2.0, 2.0))])
def test_every_click_is_obeyed_by_its_own_voxel_whatever_the_model_says(answer, spacing) -> None:
    predictor = Stubborn()
    predictor.answer = answer
    geometry = centred_geometry((90, 90, 90), spacing, OBLIQUE)
    session = open_session(empty_volume(geometry), predictor)
    rng = np.random.default_rng(7)
    clicks = []
    for number in range(12):
        voxel = rng.integers(0, geometry.size_ijk)
        clicks.append((voxel, number % 3 != 2))
        session.add_click(
            geometry.ras_from_ijk(voxel + rng.uniform(-0.49, 0.49, 3)), number % 3 != 2
        )
        # A later click in the same voxel wins over an earlier one.
        wanted = {tuple(at): positive for at, positive in clicks}
        for (i, j, k), positive in wanted.items():
            assert session.mask[k, j, i] == positive


def test_the_correction_of_a_click_is_a_small_ball() -> None:
    predictor = Stubborn()
    predictor.answer = -3.0
    session = open_session(empty_volume(cube(spacing_mm=0.5, size_mm=60.0)), predictor)
    session.add_click((0.0, 0.0, 0.0))
    # -3 + 4 exp(-d^2 / (2 * 1.5^2)) > 0 within 1.5 sqrt(2 ln(4/3)) voxels of 2 mm; linear
    # interpolation cuts the tip of a bump that narrow, yet not below one voxel of the grid.
    radius_mm = 2.0 * 1.5 * math.sqrt(2 * math.log(4 / 3))
    assert 2.0**3 < mask_size_mm3(session) < 4 / 3 * math.pi * radius_mm**3


def test_a_negative_click_in_the_mask_far_from_all_positive_ones_is_honoured() -> None:
    truth = phantom(cube(120), tube((-58, 0, 0), (58, 0, 0), 12.0))
    session = open_session(truth.volume, ComponentPredictor())
    session.add_click((-55.0, 0.0, 0.0))
    i, j, k = truth.volume.geometry.voxel_from_ras((1.0, 1.0, 1.0))
    assert session.mask[k, j, i]
    session.add_click((1.0, 1.0, 1.0), positive=False)
    assert session.predictor.decoded[-1].labels.tolist() == [0]
    assert not session.mask[k, j, i]


def test_a_new_patch_fades_into_the_old_one_at_its_faces() -> None:
    predictor = Stubborn()
    predictor.answer = -10.0
    session = open_session(empty_volume(cube(160.0)), predictor)
    session.add_click((1.0, 1.0, 1.0))
    predictor.answer = 10.0
    session.add_click((29.0, 1.0, 1.0))
    first, second = (patch.start_ijk[0] for patch in session.state.patches)
    assert 0 < second - first < 32
    # Not the row of the clicks, whose own voxels are lifted where the model disobeys.
    row = session.logits_on_volume(BoundingBox((0, 48, 45), (80, 49, 46)))[0, 0]
    expected = np.full(80, -20.0)
    expected[first : first + 32] = -10.0
    shares = np.ones(32)
    shares[:4] = (np.arange(4) + 0.5) / 4
    shares[28:] = shares[3::-1]
    for index, share in enumerate(shares, start=second):
        known = expected[index] == -10.0
        expected[index] = -10.0 + 20.0 * share if known else 10.0
    np.testing.assert_allclose(row, expected, atol=0.01)


@pytest.mark.parametrize("grow", ["auto", *slow("off", "frontier", "coarse")])
def test_a_click_inside_takes_nothing_away_and_one_outside_adds_nothing(grow) -> None:
    class Fickle(BallPredictor):
        """Says something else at each click, in blocks, so that all directions occur."""

        def logits(self, call):
            rng = np.random.default_rng(len(call.labels) + 10 * self.decode_calls)
            coarse = rng.normal(0.0, 4.0, (self.patch_size // 8,) * 3)
            return np.kron(coarse, np.ones((8, 8, 8)))

    session = open_session(empty_volume(cube(160.0)), Fickle(), grow=grow)
    session.add_click((1.0, 1.0, 1.0))
    changed = []
    for number, positive in enumerate((True, False, True, False, False, True)):
        before = session.mask.copy()
        session.add_click((5.0 * number - 12.0, 3.0, 1.0 - 4.0 * number), positive)
        added, removed = session.mask & ~before, before & ~session.mask
        assert not (removed if positive else added).any()
        changed.append(int(added.sum() + removed.sum()))
    assert min(changed) > 0
    assert sum(changed) > 5000


# What the model is shown -----------------------------------------------------------------------


def test_a_second_click_in_the_patch_costs_a_decode_only() -> None:
    session = ball_session(cube())
    predictor = session.predictor
    session.add_click((0.0, 0.0, 0.0))
    session.add_click((4.0, 4.0, 4.0))
    assert (predictor.encode_calls, predictor.decode_calls) == (1, 2)
    assert predictor.decoded[0].previous_logits is None
    assert (predictor.decoded[1].previous_logits > 0).sum() == pytest.approx(900, rel=0.05)
    assert set(session.state.timings_ms) == {"encode_ms", "decode_ms", "resample_ms"}


def test_points_are_patch_voxels_and_include_all_clicks_of_the_object() -> None:
    geometry = cube(240)
    session = ball_session(geometry)
    session.add_click((0.0, 0.0, 0.0))
    session.add_click((90.0, 0.0, 0.0))
    session.add_click((2.2, 4.1, 6.0), positive=False)
    call = session.predictor.decoded[-1]
    start = np.array(session.state.patches[0].start_ijk)
    for point, position in zip(call.points_kji, [(0, 0, 0), (2.2, 4.1, 6.0)], strict=True):
        ras = session.grid.ras_from_ijk(start + point[::-1])
        assert np.abs(ras - position).max() <= 1.0 + 1e-9
    assert call.labels.tolist() == [1, 0]
    assert len(session.state.patches) == 2


def test_the_patch_shows_the_image_around_the_click() -> None:
    truth = phantom(cube(240), ball((60.0, -40.0, 20.0), 8.0))
    session = ball_session(truth.volume.geometry)
    session = open_session(truth.volume, session.predictor)
    session.add_click((60.0, -40.0, 20.0))
    patch = session.predictor.encoded[0]
    bright = np.argwhere(patch > 0)
    # Half a voxel of rounding, and half a cell of the lattice of patches.
    assert np.abs(bright.mean(axis=0) - 16).max() <= 0.5 + 2.0


def test_a_small_volume_is_padded_with_air() -> None:
    session = ball_session(centred_geometry((20, 64, 64), (2, 2, 2)))
    session.add_click((0.0, 0.0, 0.0))
    patch = session.predictor.encoded[0]
    assert (patch[:, :, 11:21] == -100).all()
    assert (patch[:, :, :11] == -1024).all()
    assert (patch[:, :, 21:] == -1024).all()


def test_structures_share_embeddings_and_nothing_else() -> None:
    session = ball_session(cube())
    session.add_click((0.0, 0.0, 0.0))
    other = session.for_another_structure()
    assert not other.mask.any()
    other.add_click((1.0, 0.0, 0.0))
    assert session.predictor.encode_calls == 1
    assert session.predictor.decoded[-1].previous_logits is None
    third = session.for_another_structure(session.clicks)
    np.testing.assert_array_equal(third.mask, session.mask)


def test_warming_up_moves_the_encoding_before_the_click() -> None:
    session = ball_session(cube(240))
    session.warm_up((50.0, 0.0, 0.0))
    assert session.predictor.encode_calls == 1
    session.add_click((50.0, 0.0, 0.0))
    assert (session.predictor.encode_calls, session.predictor.decode_calls) == (1, 1)
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        session.warm_up((500.0, 0.0, 0.0))


@pytest.mark.parametrize("patch_size", [32, pytest.param(64, marks=pytest.mark.slow)])
def test_a_hover_nearby_makes_the_first_click_free_of_encoding(patch_size) -> None:
    volume = empty_volume(cube(400))
    cell_mm = 2.0 * (patch_size // 8)
    # The middle of a cell of the lattice: half of it lies to either side.
    middle = np.array([0.0, 0.0, 0.0]) - 1.0 + (cell_mm / 2 if patch_size == 32 else 0.0)
    session = open_session(volume, BallPredictor(patch_size=patch_size))
    other = open_session(volume, BallPredictor(patch_size=patch_size))
    hover = session.grid.ras_from_ijk(lattice_middle(session, middle, patch_size))
    session.warm_up(hover + 0.4 * cell_mm)
    assert session.predictor.encode_calls == 1
    for offset in (-0.4, 0.1, 0.4):
        click = hover + offset * cell_mm * np.array([1.0, -1.0, 1.0])
        mine, cold = session.for_another_structure(), other.for_another_structure()
        mine.add_click(click)
        cold.add_click(click)
        assert session.predictor.encode_calls == 1
        np.testing.assert_array_equal(mine.mask, cold.mask)
        np.testing.assert_array_equal(mine.state.logits.dense(), cold.state.logits.dense())


def lattice_middle(session: InteractiveSession, near_ras, patch_size: int) -> NDArray[np.float64]:
    """Continuous index in the middle of the voxels whose clicks share a patch."""
    step = patch_size // 8
    at = np.round(session.grid.ijk_from_ras(near_ras) / step) * step
    return at - 0.5


def test_an_evicted_embedding_changes_the_time_but_not_the_result() -> None:
    volume = empty_volume(cube(240))
    positions = [(-80.0, 0.0, 0.0), (80.0, 0.0, 0.0), (0.0, 80.0, 0.0), (-80.0, 4.0, 0.0)]
    small, large = BallPredictor(), BallPredictor()
    one = InteractiveSession.for_volume(volume, small, max_patches=1)
    two = InteractiveSession.for_volume(volume, large, max_patches=9)
    for position in positions:
        one.add_click(position)
        two.add_click(position)
    assert (small.encode_calls, large.encode_calls) == (4, 3)
    np.testing.assert_array_equal(one.mask, two.mask)
