"""States that hold a given mask."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import OBLIQUE, ball, centred_geometry, phantom

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.state import SessionState

GEOMETRY = centred_geometry((60, 70, 50), (0.7, 1.1, 2.5), OBLIQUE)
GRID = model_grid(GEOMETRY, 2.0)


def given_ball() -> MaskUpdate:
    mask = phantom(GEOMETRY, ball((4.0, -3.0, 2.0), 14.0)).mask_kji
    box = BoundingBox.from_mask(mask)
    return MaskUpdate(mask[box.slices_kji], box)


def test_a_given_mask_is_kept_voxel_for_voxel() -> None:
    given = given_ball()
    clicks = ClickHistory([Click((0.0, 0.0, 0.0))])
    state = SessionState.of_mask(given, GEOMETRY, GRID, clicks)
    assert state.mask.read(given.bbox).tolist() == given.mask_kji.tolist()
    assert state.mask.dense().sum() == given.mask_kji.sum()
    assert (state.prompts, state.patches, state.parent) == (clicks, (), None)
    assert SessionState.of_mask(given, GEOMETRY, GRID).prompts == ClickHistory()


def test_the_frame_of_a_mask_may_be_larger_than_its_content() -> None:
    given = given_ball()
    whole = np.zeros(GEOMETRY.shape_kji, bool)
    whole[given.bbox.slices_kji] = given.mask_kji
    loose = MaskUpdate(whole, BoundingBox.from_shape(GEOMETRY.shape_kji))
    tight = SessionState.of_mask(given, GEOMETRY, GRID)
    state = SessionState.of_mask(loose, GEOMETRY, GRID)
    assert state.changes_since(tight).bbox.is_empty
    np.testing.assert_array_equal(state.logits.dense(), tight.logits.dense())


@pytest.mark.parametrize("size", [(0, 0, 0), (3, 3, 3)])
def test_an_empty_mask_is_the_empty_state(size) -> None:
    given = MaskUpdate(np.zeros(size, bool), BoundingBox((0, 0, 0), size))
    state = SessionState.of_mask(given, GEOMETRY, GRID)
    assert (state.mask.nbytes, state.logits.nbytes) == (0, 0)


def test_a_mask_outside_the_volume_is_refused() -> None:
    given = MaskUpdate(np.ones((2, 2, 2), bool), BoundingBox((-1, 0, 0), (1, 2, 2)))
    with pytest.raises(VolumeError, match=r"expected a mask inside the volume.*got Bound.*-1"):
        SessionState.of_mask(given, GEOMETRY, GRID)


def test_changes_are_the_tight_box_with_the_new_content() -> None:
    geometry = Geometry(np.eye(4), (9, 9, 9))
    one = MaskUpdate(np.ones((2, 2, 2), bool), BoundingBox((1, 1, 1), (3, 3, 3)))
    two = MaskUpdate(np.ones((2, 2, 2), bool), BoundingBox((2, 1, 1), (4, 3, 3)))
    states = [SessionState.of_mask(mask, geometry, geometry) for mask in (one, two)]
    update = states[1].changes_since(states[0])
    assert update.bbox == BoundingBox((1, 1, 1), (4, 3, 3))
    assert update.mask_kji[0, 0].tolist() == [False, True, True]
