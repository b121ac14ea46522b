"""Sessions on phantoms with closed-form volumes: sizes, places, patches, memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import SimpleITK as sitk
from fake_predictor import BallPredictor, ComponentPredictor
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
from session_case import BALL_RADIUS_MM, BALL_SIZE_MM3, applied, ball_session, cube, mask_size_mm3

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume


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
