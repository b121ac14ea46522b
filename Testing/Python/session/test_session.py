"""Sessions on phantoms with closed-form volumes, and against replay from scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import SimpleITK as sitk
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
    shell,
    tube,
)
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import BundleError, ClickOutsideVolumeError, GeometryError, VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession

BALL_RADIUS_MM = 12.0  # BallPredictor: 6 voxels of 2 mm
BALL_SIZE_MM3 = 4.0 / 3.0 * math.pi * BALL_RADIUS_MM**3


def ball_session(geometry: Geometry, **settings_of_predictor) -> InteractiveSession:
    predictor = BallPredictor(**settings_of_predictor)
    return open_session(empty_volume(geometry), predictor)


def cube(size_mm: float = 100.0, spacing_mm: float = 2.0) -> Geometry:
    return centred_geometry([size_mm] * 3, [spacing_mm] * 3)


def mask_size_mm3(session: InteractiveSession) -> float:
    return float(session.mask.sum()) * math.prod(session.volume.geometry.spacing_mm)


def applied(mask: NDArray[np.bool_], update: MaskUpdate) -> NDArray[np.bool_]:
    result = mask.copy()
    if not update.bbox.is_empty:
        result[update.bbox.slices_kji] = update.mask_kji
    return result


def centre_of_mass_lps(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float64]:
    """Centre of a mask by SimpleITK, which knows nothing of our conversions."""
    origin, spacing, direction = geometry.lps()
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    return np.array(statistics.GetCentroid(1))


# One click ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 1.1, 3.0)])
def test_a_ball_has_the_right_size_and_place_on_every_grid(name, spacing) -> None:
    geometry = centred_geometry((60, 70, 80), spacing, ORIENTATIONS[name])
    session = ball_session(geometry)
    position = np.array([5.0, -7.0, 9.0])
    session.add_click(position)
    assert mask_size_mm3(session) == pytest.approx(BALL_SIZE_MM3, rel=0.04)
    centre = centre_of_mass_lps(session.mask, geometry) * (-1, -1, 1)
    # The model sees the click at the nearest voxel of its 2 mm grid.
    assert np.abs((centre - position) @ ORIENTATIONS[name]).max() <= 1.0 + 0.2


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_mask_lies_where_simpleitk_says_the_object_is(name) -> None:
    geometry = centred_geometry((60, 50, 70), (1.0, 1.3, 2.5), ORIENTATIONS[name])
    position = np.array([6.0, -4.0, 8.0])
    truth = phantom(geometry, ball(position, 10.0))
    image = sitk.GetImageFromArray(truth.volume.array_kji)
    origin, spacing, direction = geometry.lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    # The brightest part, found and placed by SimpleITK alone, is where we click.
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image > 0)
    click_ras = np.array(statistics.GetCentroid(1)) * (-1, -1, 1)
    session = open_session(truth.volume, ComponentPredictor())
    session.add_click(click_ras)
    assert mask_size_mm3(session) == pytest.approx(truth.size_mm3, rel=0.06)
    overlap = (
        2 * (session.mask & truth.mask_kji).sum() / (session.mask.sum() + truth.mask_kji.sum())
    )
    assert overlap > 0.96


@pytest.mark.parametrize("spacing_mm", [1.5, 2.0, 3.0])
def test_a_shell_keeps_its_hole_at_any_model_spacing(spacing_mm) -> None:
    truth = phantom(centred_geometry([64] * 3, (1.0, 1.0, 1.5)), shell((0, 0, 0), 12.0, 22.0))
    session = open_session(truth.volume, ComponentPredictor(patch_size=48), spacing_mm=spacing_mm)
    session.add_click((17.0, 0.0, 0.0))
    assert session.grid.spacing_mm == pytest.approx((spacing_mm,) * 3)
    assert mask_size_mm3(session) == pytest.approx(truth.size_mm3, rel=0.05)
    i, j, k = truth.volume.geometry.voxel_from_ras((0, 0, 0))
    assert not session.mask[k, j, i]


def test_the_update_is_the_tight_box_of_the_change() -> None:
    session = ball_session(cube(spacing_mm=1.0))
    before = session.mask
    update = session.add_click((0.0, 0.0, 0.0))
    np.testing.assert_array_equal(applied(before, update), session.mask)
    assert update.bbox == BoundingBox.from_mask(session.mask != before)
    before = session.mask
    update = session.add_click((14.0, 0.0, 0.0), positive=False)
    np.testing.assert_array_equal(applied(before, update), session.mask)
    assert update.bbox == BoundingBox.from_mask(session.mask != before)
    assert update.mask_kji.size < session.mask.size / 100


def test_a_single_slice_volume() -> None:
    session = ball_session(centred_geometry((80, 80, 3), (1, 1, 3)))
    session.add_click((0.0, 0.0, 0.0))
    assert session.mask.shape[0] == 1
    assert session.mask.sum() == pytest.approx(math.pi * BALL_RADIUS_MM**2, rel=0.05)


@pytest.mark.parametrize("name", ["axial", "oblique left-handed coronal"])
def test_clicks_in_the_corner_voxels(name) -> None:
    geometry = centred_geometry((90, 80, 100), (1.5, 2, 2.5), ORIENTATIONS[name])
    last = np.array(geometry.size_ijk) - 1
    # The click goes to the middle of the outermost 2 mm voxel of the grid, 1 mm from three faces.
    r = BALL_RADIUS_MM
    octant = BALL_SIZE_MM3 / 8 + 3 * math.pi * r**2 / 4 * 1.0 + 3 * r * 1.0**2 + 1.0**3
    for corner in np.ndindex(2, 2, 2):
        voxel = np.where(corner, last, 0)
        session = ball_session(geometry)
        # At the very edge of the voxel, not at its centre.
        inside = voxel + np.where(corner, 0.499, -0.499)
        session.add_click(geometry.ras_from_ijk(inside))
        assert session.mask[tuple(voxel[::-1])]
        assert mask_size_mm3(session) == pytest.approx(octant, rel=0.03)


# Structures larger than a patch ----------------------------------------------------------------


def test_a_long_tube_grows_patch_by_patch_and_loses_nothing() -> None:
    truth = phantom(
        centred_geometry((40, 40, 240), (2, 2, 2.5)), tube((0, 0, -100), (0, 0, 100), 10.0)
    )
    predictor = ComponentPredictor()
    session = open_session(truth.volume, predictor)
    sizes = []
    for z in (-80.0, -40.0, 0.0, 40.0, 80.0):
        before = session.mask
        session.add_click((0.0, 0.0, z))
        assert not (before & ~session.mask).any()
        sizes.append(mask_size_mm3(session))
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.5 * truth.size_mm3
    assert sizes[-1] == pytest.approx(truth.size_mm3, rel=0.04)
    assert len(session.state.patches) > 3
    assert predictor.encode_calls == len(session.state.patches)


def test_the_order_of_the_patches_does_not_matter_for_a_tube() -> None:
    geometry = centred_geometry((40, 40, 200), (2, 2, 2), OBLIQUE)
    truth = phantom(geometry, tube(OBLIQUE @ (0, 0, -90), OBLIQUE @ (0, 0, 90), 10.0))
    masks = []
    for order in ([-70.0, -30.0, 0.0, 30.0, 70.0], [0.0, 70.0, -70.0, 30.0, -30.0]):
        session = open_session(truth.volume, ComponentPredictor())
        for z in order:
            session.add_click(OBLIQUE @ (0.0, 0.0, z))
        assert mask_size_mm3(session) == pytest.approx(truth.size_mm3, rel=0.05)
        masks.append(session.mask)
    assert (masks[0] != masks[1]).sum() < 0.02 * masks[0].sum()


def test_overlapping_patches_leave_no_seam() -> None:
    geometry = cube(200)
    session = ball_session(geometry, radius=14.0)
    session.add_click((0.0, 0.0, 0.0))
    before = session.mask
    # The ball reaches into the next patch, whose answer knows it through the earlier logits.
    session.add_click((44.0, 0.0, 0.0))
    assert len(session.state.patches) == 2
    assert not (before & ~session.mask).any()
    overlap_mm3 = lens_size_mm3(28.0, 44.0)
    expected = 2 * 4 / 3 * math.pi * 28.0**3 - overlap_mm3
    assert mask_size_mm3(session) == pytest.approx(expected, rel=0.02)


def lens_size_mm3(radius_mm: float, distance_mm: float) -> float:
    """Common part of two equal balls."""
    return math.pi * (4 * radius_mm + distance_mm) * (2 * radius_mm - distance_mm) ** 2 / 12


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


# Undo, redo, removal ---------------------------------------------------------------------------

positions = st.tuples(*[st.sampled_from([-70.0, -30.0, -11.0, 0.0, 9.0, 40.0, 75.0])] * 3)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), positions, st.booleans()),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("reset")),
        st.tuples(st.just("set"), st.lists(st.tuples(positions, st.booleans()), max_size=3)),
    ),
    min_size=1,
    max_size=8,
)
BIG = empty_volume(centred_geometry((160, 160, 160), (4, 4, 4)))


def coarse_predictor() -> BallPredictor:
    return BallPredictor(patch_size=16, radius=4.0, negative_radius=2.0, spacing_mm=4.0)


class Oracle:
    """Lists of clicks with undo and redo, by plain copies."""

    def __init__(self) -> None:
        self.lists: list[list[Click]] = [[]]
        self.at = 0

    @property
    def clicks(self) -> list[Click]:
        return self.lists[self.at]

    def step(self, clicks: list[Click]) -> None:
        self.lists = [*self.lists[: self.at + 1], clicks]
        self.at += 1


def perform(session: InteractiveSession, oracle: Oracle, action: tuple) -> MaskUpdate | None:
    """Do the same to the session and to the oracle."""
    kind, *arguments = action
    if kind == "add":
        oracle.step([*oracle.clicks, Click(*arguments)])
        return session.add_click(*arguments)
    if kind == "undo":
        oracle.at = max(oracle.at - 1, 0)
        return session.undo()
    if kind == "redo":
        oracle.at = min(oracle.at + 1, len(oracle.lists) - 1)
        return session.redo()
    if kind == "remove":
        if not oracle.clicks:
            return None
        index = arguments[0] % len(oracle.clicks)
        oracle.step(oracle.clicks[:index] + oracle.clicks[index + 1 :])
        return session.remove_click(index)
    wanted = [Click(*item) for item in arguments[0]] if kind == "set" else []
    if wanted != oracle.clicks:
        oracle.step(wanted)
    return session.reset() if kind == "reset" else session.set_clicks(wanted)


@given(actions)
def test_any_path_to_a_click_list_gives_the_mask_of_that_list(sequence) -> None:
    session = open_session(BIG, coarse_predictor())
    oracle = Oracle()
    for action in sequence:
        before = session.mask
        update = perform(session, oracle, action)
        assert list(session.clicks) == oracle.clicks
        assert session.can_undo == (oracle.at > 0)
        assert session.can_redo == (oracle.at + 1 < len(oracle.lists))
        if update is not None:
            np.testing.assert_array_equal(applied(before, update), session.mask)
            assert update.bbox == BoundingBox.from_mask(before != session.mask)
    fresh = open_session(BIG, coarse_predictor())
    for click in oracle.clicks:
        fresh.add_click(click.position_ras, click.positive)
    np.testing.assert_array_equal(session.mask, fresh.mask)


def test_undo_and_redo_need_no_model() -> None:
    session = ball_session(cube())
    masks = [session.mask]
    for position in ((0.0, 0.0, 0.0), (20.0, 0.0, 0.0)):
        session.add_click(position)
        masks.append(session.mask)
    calls = session.predictor.decode_calls
    for expected in (masks[1], masks[0], masks[0]):
        session.undo()
        np.testing.assert_array_equal(session.mask, expected)
    for expected in (masks[1], masks[2], masks[2]):
        session.redo()
        np.testing.assert_array_equal(session.mask, expected)
    assert session.predictor.decode_calls == calls
    assert session.redo().bbox.is_empty


def test_a_known_prefix_is_not_computed_again() -> None:
    session = ball_session(cube())
    for x in (0.0, 10.0, 20.0, 30.0):
        session.add_click((x, 0.0, 0.0))
    clicks = session.clicks
    session.set_clicks(clicks[:2])
    assert session.predictor.decode_calls == 4
    session.set_clicks(clicks)
    assert session.predictor.decode_calls == 4
    session.remove_click(2)
    assert session.predictor.decode_calls == 5
    assert session.clicks == ClickHistory([clicks[0], clicks[1], clicks[3]])
    session.reset()
    assert not session.mask.any()
    session.undo()
    assert len(session.clicks) == 3


# Errors ----------------------------------------------------------------------------------------


def outside(session: InteractiveSession) -> None:
    session.add_click((51.0, 0.0, 0.0))


def not_a_position(session: InteractiveSession) -> None:
    session.add_click((0.0, math.nan, 0.0))


def list_with_an_outside_click(session: InteractiveSession) -> None:
    session.set_clicks([Click((9.0, 0.0, 0.0)), Click((0.0, 0.0, -51.0))])


@pytest.mark.parametrize(
    ("action", "error", "text"),
    [
        (outside, ClickOutsideVolumeError, r"expected a position inside the volume.*got RAS \[51"),
        (not_a_position, GeometryError, "3 finite numbers"),
        (list_with_an_outside_click, ClickOutsideVolumeError, "inside the volume"),
        (lambda session: session.remove_click(7), IndexError, "no prompt 7"),
    ],
)
def test_bad_input_leaves_the_session_as_it_was(action, error, text) -> None:
    session = ball_session(cube())
    session.add_click((0.0, 0.0, 0.0))
    state = session.state
    with pytest.raises(error, match=text):
        action(session)
    assert session.state is state
    assert not session.can_redo


@pytest.mark.parametrize("position", [(1.0, 2.0, 3.0), (40.0, 40.0, 40.0)])
def test_an_error_inside_the_model_leaves_the_session_as_it_was(position) -> None:
    session = ball_session(cube())
    session.add_click((0.0, 0.0, 0.0))
    session.add_click((5.0, 0.0, 0.0))
    session.undo()
    state = session.state
    session.predictor.fail_next = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        session.add_click(position)
    assert session.state is state
    assert session.can_redo
    session.add_click(position)
    assert len(session.clicks) == 2


def test_something_that_is_no_model_is_refused() -> None:
    with pytest.raises(BundleError, match="expected a model id, a path or a Predictor, got float"):
        open_session(empty_volume(cube()), 3.0)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(BundleError, match="unknown model 'no-such-model'"):
        open_session(empty_volume(cube()), "no-such-model")


# Memory and bookkeeping -------------------------------------------------------------------------


def test_without_clicks_the_mask_is_empty_and_cannot_be_written() -> None:
    session = ball_session(cube())
    assert session.mask.shape == session.volume.geometry.shape_kji
    assert session.mask.dtype == np.bool_
    assert not session.mask.any()
    assert not session.can_undo
    assert session.undo().bbox.is_empty
    assert session.reset().bbox.is_empty
    with pytest.raises(ValueError, match="read-only"):
        session.mask[0, 0, 0] = True


def test_a_step_in_a_large_volume_costs_a_patch_not_the_volume() -> None:
    # 512 x 512 x 1500 voxels of one shared number: 0 bytes of image.
    voxels = np.broadcast_to(np.int16(40), (1500, 512, 512))
    volume = Volume(voxels, Geometry(np.diag([0.8, 0.8, 1.0, 1.0]), voxels.shape))
    session = open_session(volume, BallPredictor())
    first = session.state
    for position in ((200.0, 200.0, 700.0), (200.0, 215.0, 700.0), (100.0, 100.0, 1400.0)):
        session.add_click(position)
        parent = session.state.parent
        step = session.state.mask.own_nbytes(parent.mask)
        step += session.state.logits.own_nbytes(parent.logits)
        assert 0 < step < 3 * 2**20
    assert (first.mask.nbytes, first.logits.nbytes) == (0, 0)
    session.undo()
    assert session.state.mask.own_nbytes(session.state.mask) == 0


class Sparse(BallPredictor):
    """Answers with a few positive voxels, elsewhere and different at every call."""

    def logits(self, _call):
        rng = np.random.default_rng(len(self.decoded))
        logits = rng.uniform(-9, -0.5, (self.patch_size,) * 3)
        logits[rng.random(logits.shape) < 0.006] = 9.0
        return logits


@pytest.mark.parametrize("predictor", [BallPredictor(radius=9.0), Sparse(patch_size=8)])
def test_the_mask_is_the_zero_level_of_the_logits_everywhere(predictor) -> None:
    geometry = centred_geometry((70, 60, 50), (0.7, 1.0, 1.6), OBLIQUE)
    session = open_session(empty_volume(geometry), predictor)
    rng = np.random.default_rng(3)
    voxels = rng.integers(0, geometry.size_ijk, (40 if predictor.patch_size == 8 else 7, 3))
    for number, voxel in enumerate(voxels):
        session.add_click(geometry.ras_from_ijk(voxel), number % 4 != 2)
    logits = session.logits_on_volume(BoundingBox.from_shape(geometry.shape_kji))
    assert logits.shape == session.mask.shape
    assert session.mask.sum() > 100
    different = np.argwhere((logits > 0) != session.mask)[:, ::-1].tolist()
    assert [voxel for voxel in different if voxel not in voxels.tolist()] == []


def test_a_change_at_the_face_of_a_patch_moves_the_surface_beyond_it() -> None:
    class Scripted(BallPredictor):
        def logits(self, _call):
            answer = np.full((8, 8, 8), -0.5 if self.decode_calls == 1 else -9.0)
            if self.decode_calls == 1:
                answer[4, 4, 6] = 9.0
            return answer

    session = open_session(empty_volume(cube(60, 0.5)), Scripted(patch_size=8))
    whole = BoundingBox.from_shape(session.volume.geometry.shape_kji)
    voxels = [(15, 15, 15), (22, 15, 15)]
    for number, voxel in enumerate(voxels, start=1):
        # The bright voxel (17, 15, 15) ends up just outside the second patch.
        session.add_click(session.grid.ras_from_ijk(voxel))
        assert session.state.patches[-1].start_ijk[0] == (11, 18)[number - 1]
        assert ((session.logits_on_volume(whole) > 0) != session.mask).sum() <= number


@pytest.mark.parametrize(
    "box",
    [BoundingBox.empty(), BoundingBox((0, 0, 0), (51, 1, 1)), BoundingBox((-1, 0, 0), (1, 1, 1))],
)
def test_logits_of_a_box_outside_the_volume_are_refused(box) -> None:
    with pytest.raises(VolumeError, match="expected a box inside the volume"):
        ball_session(cube()).logits_on_volume(box)


def test_the_session_tells_what_it_works_on() -> None:
    predictor: Sequence | BallPredictor = BallPredictor()
    volume = empty_volume(cube())
    session = open_session(volume, predictor)
    assert session.volume is volume
    assert session.predictor is predictor
    assert session.grid.spacing_mm == pytest.approx((2.0, 2.0, 2.0))
    assert dict(session.timings_ms) == {}
