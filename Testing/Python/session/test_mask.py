"""From the model grid to the voxels of the volume; most of it is tested through sessions."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.mask import grid_voxel, logits_on_volume, mask_after


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


def test_rounding_at_the_edge_stays_inside_the_grid() -> None:
    grid = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (5, 6, 7))
    assert grid_voxel(Click((-1.0000000001, -1.0, 4.0)), grid) == (0, 0, 2)
    assert grid_voxel(Click((13.0000000001, 11.0, 9.0)), grid) == (6, 5, 4)


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
    logits = state.logits.written(whole, field[whole.slices_kji])
    mask = mask_after(session.encoder, state, logits, [whole], whole).dense()
    at_once = logits_on_volume(
        logits, grid, volume.geometry, BoundingBox.from_shape(volume.geometry.shape_kji)
    )
    assert mask.any()
    assert not mask.all()
    np.testing.assert_array_equal(mask[abs(at_once) > 1e-5], at_once[abs(at_once) > 1e-5] > 0)
    assert (abs(at_once) > 1e-5).mean() > 0.9
