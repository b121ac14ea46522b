"""Going to a list of clicks from known states."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.errors import ClickOutsideVolumeError
from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.replay import replayed
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import next_state

FIRST, SECOND, THIRD = (Click((x, 0.0, 0.0)) for x in (0.0, 8.0, 16.0))


class Stepper:
    """Clicks on an empty volume, counted."""

    def __init__(self) -> None:
        volume = empty_volume(centred_geometry([100] * 3, [2] * 3))
        self.encoder = PatchEncoder(volume, model_grid(volume.geometry, 2.0), BallPredictor())
        self.start = SessionState.empty(volume.geometry, self.encoder.grid)
        self.steps = 0

    def __call__(self, state: SessionState, click: Click) -> SessionState:
        self.steps += 1
        return next_state(self.encoder, state, click)


def test_replay_returns_a_known_state_itself() -> None:
    step = Stepper()
    one = step(step.start, FIRST)
    two = step(one, SECOND)
    assert replayed([two], one.clicks, step) is one
    assert replayed([two], two.clicks, step) is two
    assert step.steps == 2
    other = replayed([two], ClickHistory([FIRST, THIRD]), step)
    assert other.parent is one
    assert step.steps == 3


def test_of_states_with_equal_clicks_the_later_is_taken() -> None:
    step = Stepper()
    one, again = step(step.start, FIRST), step(step.start, FIRST)
    assert replayed([one, again, step.start], one.clicks, step) is again
    assert replayed([again, one, step.start], one.clicks, step) is one


def test_the_present_state_and_its_line_win_over_edited_ones() -> None:
    step = Stepper()
    one = step(step.start, FIRST)
    before_edit = step(one, SECOND)
    edited = replace(one, parent=None)
    after_edit = step(edited, SECOND)
    known = [step.start, one, before_edit, edited, after_edit]
    both = ClickHistory([FIRST, SECOND])
    assert replayed([*known, edited], both, step) is after_edit
    assert replayed([*known, before_edit], both, step) is before_edit
    # Undone to before the edit, and the state after the first click without its successor.
    assert replayed([step.start, one, edited, after_edit, one], both, step).parent is one
    # From where no state of the first click is the present one, the later edit counts.
    assert replayed([*known, step.start], both, step) is after_edit
    assert replayed([*known, edited], ClickHistory(), step) is step.start


def test_a_click_outside_ends_the_replay() -> None:
    step = Stepper()
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        replayed([step.start], ClickHistory([FIRST, Click((0.0, 0.0, 51.0))]), step)
