"""Between the model grid and the voxels of the volume; much of it is tested through sessions."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from phantoms import (
    CORONAL,
    FLIPPED_I,
    OBLIQUE,
    Phantom,
    ball,
    centred_geometry,
    empty_volume,
    phantom,
)

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.geometry.resampling import sample_on_volume
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.session.mask import MASK_LOGIT, REACH_VOXELS, logits_of_mask, logits_on_volume

# From logits to a mask --------------------------------------------------------------------------


def test_a_click_in_a_thick_slice_whose_centre_lies_beyond_the_patch_is_obeyed() -> None:
    volume = empty_volume(centred_geometry((90, 90, 90), (1, 1, 45)))
    session = open_session(volume, BallPredictor(), spacing_mm=2.0)
    session.add_click((0.0, 0.0, -20.0))
    session.add_click((20.0, 0.0, 5.0))
    (patch,) = session.state.patches
    i, j, k = session.volume.geometry.voxel_from_ras((20.0, 0.0, 5.0))
    centre = session.grid.ijk_from_ras(session.volume.geometry.ras_from_ijk((i, j, k)))
    assert centre[2] > patch.stop_ijk[2]
    assert session.mask[k, j, i]


@pytest.mark.parametrize("spacing_mm", [0.7, 2.0, 5.0])
def test_part_by_part_gives_what_all_at_once_gives(
    rng: np.random.Generator, spacing_mm: float
) -> None:
    size = round(360 / spacing_mm)
    volume = empty_volume(centred_geometry((size, 40, 70), (spacing_mm, 3.0, 2.0)))
    session = open_session(volume, BallPredictor(), spacing_mm=4.0)
    state, grid = session.state, session.grid
    coarse = rng.normal(0, 3, [-(-size // 4) for size in grid.shape_kji])
    field = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)  # with parts of one sign
    whole = BoundingBox.from_shape(grid.shape_kji)
    after = state.with_logits(whole, field[whole.slices_kji])
    mask = after.mask.dense()
    at_once = logits_on_volume(
        after.logits, grid, volume.geometry, BoundingBox.from_shape(volume.geometry.shape_kji)
    )
    assert mask.any()
    assert not mask.all()
    np.testing.assert_array_equal(mask[abs(at_once) > 1e-5], at_once[abs(at_once) > 1e-5] > 0)
    assert (abs(at_once) > 1e-5).mean() > 0.9


# From a mask to logits --------------------------------------------------------------------------


def block_logits(truth: Phantom, grid: Geometry, chunk_voxels: int = 128) -> BlockArray:
    geometry = truth.volume.geometry
    box = BoundingBox.from_mask(truth.mask_kji)
    mask = BlockArray(geometry.shape_kji, bool).written(box, truth.mask_kji[box.slices_kji])
    unknown = BlockArray(grid.shape_kji, np.float16, np.nan, 32)
    return logits_of_mask(mask, box, geometry, grid, unknown, chunk_voxels)


@pytest.mark.parametrize("spacing", [(0.7, 0.9, 1.3), (2.0, 2.0, 2.0), (1.0, 1.0, 5.0)])
@pytest.mark.parametrize("directions", [np.eye(3), OBLIQUE @ CORONAL @ FLIPPED_I])
def test_the_zero_level_is_the_surface_of_the_mask(spacing, directions) -> None:
    geometry = centred_geometry((80, 70, 90), spacing, directions)
    centre, radius = np.array([5.0, -4.0, 6.0]), 20.0
    truth = phantom(geometry, ball(centre, radius))
    grid = model_grid(geometry, 2.0)
    logits = block_logits(truth, grid).dense().astype(np.float64)
    k, j, i = np.indices(grid.shape_kji)
    points = grid.ras_from_ijk(np.stack([i, j, k], axis=-1).astype(float))
    depth = radius - np.linalg.norm(points - centre, axis=-1)
    # Linear interpolation of voxels blurs over one voxel of the coarser grid, here by its diagonal.
    blur = np.linalg.norm(np.maximum(spacing, 2.0))
    np.testing.assert_allclose(logits[depth > blur], MASK_LOGIT)
    outside = logits[depth < -blur]
    assert (np.isnan(outside) | (outside == -MASK_LOGIT)).all()
    assert (logits > 0).sum() * 8 == pytest.approx(truth.size_mm3, rel=0.04)
    back = sample_on_volume(
        np.nan_to_num(logits, nan=-MASK_LOGIT),
        BoundingBox.from_shape(grid.shape_kji),
        grid,
        geometry,
        BoundingBox.from_shape(geometry.shape_kji),
    )
    assert ((back > 0) != truth.mask_kji).sum() < 0.05 * truth.mask_kji.sum()


def test_background_is_known_near_the_mask_only() -> None:
    geometry = centred_geometry((160, 160, 160), (2, 2, 2))
    grid = model_grid(geometry, 2.0)
    truth = phantom(geometry, ball((0.0, 0.0, 0.0), 10.0))
    logits = block_logits(truth, grid)
    known = BoundingBox.from_mask(~np.isnan(logits.dense()))
    assert known == BoundingBox.from_mask(truth.mask_kji).padded(REACH_VOXELS)
    assert logits.nbytes <= 8 * 32**3 * 2


def test_a_mask_at_the_border_of_the_volume_stays_in_full() -> None:
    geometry = centred_geometry((41, 41, 41), (1, 1, 1))
    grid = model_grid(geometry, 2.0)
    mask = BlockArray(geometry.shape_kji, bool)
    whole = BoundingBox.from_shape(geometry.shape_kji)
    unknown = BlockArray(grid.shape_kji, np.float16, np.nan, 32)
    everything = mask.written(whole, np.ones(geometry.shape_kji, bool))
    logits = logits_of_mask(everything, whole, geometry, grid, unknown)
    assert (logits.dense() == MASK_LOGIT).all()


def test_large_masks_are_joined_without_seams() -> None:
    geometry = centred_geometry((300, 60, 60), (1.5, 1.5, 1.5))
    grid = model_grid(geometry, 1.5)
    rng = np.random.default_rng(5)
    values = rng.random(geometry.shape_kji) < 0.02
    box = BoundingBox.from_mask(values)
    mask = BlockArray(geometry.shape_kji, bool).written(box, values[box.slices_kji])
    unknown = BlockArray(grid.shape_kji, np.float16, np.nan, 32)
    logits = logits_of_mask(mask, box, geometry, grid, unknown).dense()
    # Grid and volume are the same here, so that the logits are those of the voxels themselves.
    assert grid.shape_kji == geometry.shape_kji
    near = ~np.isnan(logits)
    np.testing.assert_array_equal(logits[near], np.where(values, MASK_LOGIT, -MASK_LOGIT)[near])
    for k, j, i in np.argwhere(values)[::17]:
        around = BoundingBox((i, j, k), (i + 1, j + 1, k + 1)).padded(REACH_VOXELS)
        assert near[around.clipped(geometry.shape_kji).slices_kji].all()


@pytest.mark.parametrize("spacing", [(1.5, 1.1, 1.9), (2.0, 3.0, 14.0)])
def test_it_does_not_matter_how_the_work_is_divided(spacing) -> None:
    geometry = centred_geometry((80, 70, 120), spacing, OBLIQUE)
    grid = model_grid(geometry, 2.0)
    values = np.random.default_rng(6).random(geometry.shape_kji) < 0.3
    truth = Phantom(Volume(values.astype(np.int16), geometry), values, 0.0)
    whole = block_logits(truth, grid).dense()
    np.testing.assert_array_equal(block_logits(truth, grid, 16).dense(), whole)


def test_no_mask_gives_no_logits() -> None:
    geometry = Geometry(np.eye(4), (5, 5, 5))
    mask = BlockArray(geometry.shape_kji, bool)
    unknown = BlockArray(geometry.shape_kji, np.float16, np.nan)
    assert logits_of_mask(mask, BoundingBox.empty(), geometry, geometry, unknown).nbytes == 0
