"""Undo, redo and removal of a session against replay from scratch, and its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_predictor import BallPredictor
from hypothesis import given
from hypothesis import strategies as st
from phantoms import centred_geometry, empty_volume
from session_case import applied, ball_session, cube

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import BundleError, ClickOutsideVolumeError, GeometryError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.session import InteractiveSession

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
