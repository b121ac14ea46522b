"""Where a further prompt helps most: each reason on logits that are made for it."""

from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session import SessionState
from CTSAM3DLib.session.where_next import where_next

SHAPE = (40, 44, 64)
SPACING_MM = 2.0
PATCH = BoundingBox((4, 4, 4), (36, 36, 36))


@pytest.fixture
def empty() -> SessionState:
    matrix = np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1.0])
    matrix[:3, 3] = 10.0, 20.0, -30.0
    geometry = Geometry(matrix, SHAPE)
    return SessionState.empty(geometry, geometry)


def ball(state: SessionState, centre_ijk, radius: float, height: float = 8.0) -> np.ndarray:
    """Return logits of a patch, positive inside a ball."""
    k, j, i = np.indices(PATCH.shape_kji)
    at = np.stack([i, j, k], axis=-1) + np.array(PATCH.start_ijk)
    return np.clip(radius - np.linalg.norm(at - centre_ijk, axis=-1), -1, 1) * height


def voxel(state: SessionState, found) -> np.ndarray:
    return state.geometry.ijk_from_ras(np.array(found.position_ras))


def test_nothing_segmented_gives_no_place(empty: SessionState) -> None:
    assert where_next(empty) is None


def test_where_the_model_is_in_doubt(empty: SessionState) -> None:
    logits = ball(empty, (20, 20, 20), 8.0)
    logits[26:32, 10:16, 12:18] = -0.1  # k, j, i of the patch: a block that may belong
    state = empty.with_prompt(Click(tuple(empty.geometry.ras_from_ijk((20, 20, 20)))))
    state = state.with_logits(PATCH, logits)
    found = where_next(state)
    assert found.reason == "unsure border"
    lower = np.array([12, 10, 26]) + PATCH.start_ijk
    assert np.all(voxel(state, found) >= lower)
    assert np.all(voxel(state, found) < lower + 6)
    # About half of the voxels of the block, as far as its surroundings are summed.
    assert 0.2 * 216 < found.wrong_mm3 / SPACING_MM**3 < 216


def test_a_face_where_the_structure_goes_on(empty: SessionState) -> None:
    state = empty.with_logits(PATCH, ball(empty, (33, 20, 20), 8.0))
    found = where_next(state)
    assert found.reason == "unclosed face"
    i, j, k = voxel(state, found)
    assert 36 <= i <= 40
    assert abs(j - 20) <= 1
    assert abs(k - 20) <= 1


@pytest.mark.parametrize(("axis", "side"), [(1, -1), (1, 1), (2, -1), (2, 1)])
def test_faces_along_the_other_axes(empty: SessionState, axis: int, side: int) -> None:
    centre = [20, 20, 20]
    centre[axis] = 33 if side > 0 else 6
    found = where_next(empty.with_logits(PATCH, ball(empty, centre, 8.0)))
    assert found.reason == "unclosed face"
    at = voxel(empty, found)[axis]
    assert at >= 36 if side > 0 else at < 4


def test_the_border_of_the_volume_is_no_face(empty: SessionState) -> None:
    box = BoundingBox((0, 0, 0), (64, 44, 40))
    logits = np.full(box.shape_kji, -8.0)
    logits[10:20, 10:20, 40:] = 8.0
    assert where_next(empty.with_logits(box, logits)).reason == "unsure border"


def test_a_part_without_a_prompt(empty: SessionState) -> None:
    logits = np.maximum(ball(empty, (14, 14, 14), 7.0), ball(empty, (28, 28, 28), 5.0))
    click = Click(tuple(empty.geometry.ras_from_ijk((14, 14, 14)).tolist()))
    state = empty.with_prompt(click).with_logits(PATCH, logits)
    found = where_next(state)
    assert found.reason == "loose part"
    np.testing.assert_allclose(voxel(state, found), (28, 28, 28), atol=1.0)
    # A prompt in it, and it is loose no more.
    second = Click(tuple(empty.geometry.ras_from_ijk((28, 28, 28)).tolist()))
    state = empty.with_prompt(click).with_prompt(second).with_logits(PATCH, logits)
    assert where_next(state).reason != "loose part"


def test_a_given_mask_has_no_open_faces(empty: SessionState) -> None:
    box = BoundingBox((5, 5, 5), (20, 18, 16))
    mask = MaskUpdate(np.ones(box.shape_kji, bool), box)
    state = SessionState.of_mask(mask, empty.geometry, empty.grid)
    assert where_next(state).reason == "unsure border"


def test_a_place_is_always_in_the_volume(empty: SessionState) -> None:
    start = (64 - 32, 4, 4)
    box = BoundingBox(start, (64, 36, 36))
    for centre in ((2, 16, 16), (16, 2, 16), (16, 16, 31)):
        k, j, i = np.indices(box.shape_kji)
        away = np.linalg.norm(np.stack([i, j, k], -1) - centre, axis=-1)
        state = empty.with_logits(box, np.clip(7.0 - away, -1, 1) * 6)
        empty.geometry.voxel_from_ras(where_next(state).position_ras)
