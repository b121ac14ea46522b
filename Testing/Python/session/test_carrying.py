"""From frame to frame: a bright ball that moves out from under its click."""

from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.errors import ClickOutsideVolumeError, VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.prompts import Box, Click, Lasso, Prompts, Scribble
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.session.carrying import Drift, followed_prompts, moved_prompts

SHAPE = (48, 48, 64)
GEOMETRY = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE)
RADIUS = 6.0


class Bright:
    """Takes what is bright for the object."""

    settings = ModelSettings("bright", 32, (1.0, 4.0), 2.0, ((0.0, 200.0),))
    device = "cpu"

    def __init__(self) -> None:
        self.shown: list[np.ndarray | None] = []

    def encode(self, patch_hu):
        return patch_hu

    def decode(self, embedding, points_kji, labels, previous_logits):  # noqa: ARG002
        self.shown.append(previous_logits)
        return ((embedding - 100.0) / 50.0).astype(np.float32)

    def cross_patch(self, patch_hu, mask, neighbour_hu):  # noqa: ARG002
        return np.zeros_like(patch_hu)


def ball(centre_ijk, radius=RADIUS) -> np.ndarray:
    k, j, i = np.indices(SHAPE)
    at = np.stack([i, j, k], axis=-1)
    return np.linalg.norm(at - np.array(centre_ijk), axis=-1) < radius


def frame(truth: np.ndarray) -> Volume:
    return Volume(np.where(truth, 200, 0).astype(np.int16), GEOMETRY)


def whole(mask: np.ndarray) -> MaskUpdate:
    box = BoundingBox.from_mask(mask)
    return MaskUpdate(mask[box.slices_kji], box)


def test_prompts_follow_the_mask_where_repeated_clicks_lose_it() -> None:
    predictor = Bright()
    prompts = Prompts([Click((40.0, 40.0, 40.0))])
    earlier = None
    for number, shift in enumerate((0, 3, 6, 9, 12)):
        truth = ball((20 + shift, 20, 20))
        session = InteractiveSession.for_volume(frame(truth), predictor)
        if earlier is None:
            update = session.add(prompts[0])
        else:
            update = session.carry(prompts, earlier)
            prompts = followed_prompts(prompts, earlier, update, GEOMETRY)
            assert not Drift.between(earlier, update, GEOMETRY).is_suspicious
            assert (predictor.shown[-1] > 0).any()  # of the frame before
        assert dice(session.mask, truth) > 0.99, number
        earlier = update
    np.testing.assert_allclose(prompts[0].position_ras, (64.0, 40.0, 40.0), atol=1.0)
    repeated = InteractiveSession.for_volume(frame(truth), predictor)
    repeated.add_click((40.0, 40.0, 40.0))
    assert dice(repeated.mask, truth) < 0.5


def test_what_the_earlier_mask_shows_may_go() -> None:
    session = InteractiveSession.for_volume(frame(ball((20, 20, 20))), Bright())
    large = whole(ball((20, 20, 20), 11.0))
    session.carry(Prompts([Click((40.0, 40.0, 40.0))]), large)
    assert dice(session.mask, ball((20, 20, 20))) > 0.99
    assert session.can_undo


def test_patches_follow_an_earlier_mask_beyond_those_of_the_prompts() -> None:
    rod = np.zeros(SHAPE, bool)
    rod[20:26, 20:26, 2:62] = True
    session = InteractiveSession.for_volume(frame(rod), Bright())
    click = Click((10.0, 44.0, 44.0))
    session.add(click)
    assert dice(session.mask, rod) < 0.8
    carried = session.for_another_structure()
    carried.carry([click], whole(rod))
    assert dice(carried.mask, rod) > 0.95


def test_nothing_to_carry() -> None:
    session = InteractiveSession.for_volume(frame(ball((20, 20, 20))), Bright())
    empty = MaskUpdate(np.zeros((0, 0, 0), bool), BoundingBox.empty())
    session.carry([Click((40.0, 40.0, 40.0))], empty)
    assert session.mask.any()
    session.carry([], whole(ball((20, 20, 20))))
    assert not session.mask.any()


def test_what_does_not_fit_changes_nothing() -> None:
    session = InteractiveSession.for_volume(frame(ball((20, 20, 20))), Bright())
    session.add_click((40.0, 40.0, 40.0))
    before = session.mask.copy()
    with pytest.raises(ClickOutsideVolumeError):
        session.carry([Click((-40.0, 0.0, 0.0))], whole(ball((20, 20, 20))))
    box = BoundingBox((60, 0, 0), (70, 2, 2))
    with pytest.raises(VolumeError):
        session.carry([Click((40.0, 40.0, 40.0))], MaskUpdate(np.ones((2, 2, 10), bool), box))
    np.testing.assert_array_equal(session.mask, before)


def test_a_prompt_that_the_new_mask_contradicts_stays() -> None:
    one, two = ball((20, 20, 20)), ball((26, 20, 20))
    two[20, 20, 26] = False
    prompts = Prompts([Click((40.0, 40.0, 40.0)), Click((46.0, 40.0, 40.0))])
    moved = followed_prompts(prompts, whole(one), whole(two), GEOMETRY)
    assert moved[0] == prompts[0]
    np.testing.assert_allclose(moved[1].position_ras, (58.0, 40.0, 40.0), atol=0.1)


def test_every_kind_of_prompt_moves() -> None:
    corners = [(10, 10, 10), (20, 10, 10), (20, 20, 10)]
    prompts = Prompts(
        [Click(corners[0], False), Scribble(corners), Lasso(corners), Box.of_rectangle(corners)]
    )
    moved = moved_prompts(prompts, (1.0, 2.0, 3.0), GEOMETRY)
    for one, other in zip(prompts, moved, strict=True):
        assert (one.kind, one.positive) == (other.kind, other.positive)
        np.testing.assert_allclose(np.subtract(other.anchor_ras, one.anchor_ras), (1, 2, 3))
    assert moved_prompts(prompts, (500.0, 0.0, 0.0), GEOMETRY) == prompts


def test_a_lasso_at_the_limit_of_flatness_that_rounding_takes_beyond_it_stays() -> None:
    corners = [(10.0, 5.0, 4.0), (16.1, 5.0, 6.0), (16.1, 11.1, 4.0), (10.0, 11.1, 6.0)]
    prompts = Prompts([Lasso(corners)])
    assert moved_prompts(prompts, (0.1, 0.0, 0.0), GEOMETRY) == prompts


@pytest.mark.parametrize(
    ("later", "suspicious"),
    [
        (ball((26, 20, 20)), False),
        (ball((20, 20, 20), 8.0), True),
        (ball((20, 20, 20), 4.0), True),
        (ball((12, 20, 20), 4.8) | ball((28, 20, 20), 4.8), True),
        (np.zeros(SHAPE, bool), True),
    ],
)
def test_drift(later, suspicious) -> None:
    drift = Drift.between(whole(ball((20, 20, 20))), whole(later), GEOMETRY)
    assert drift.is_suspicious is suspicious
