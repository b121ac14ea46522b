"""The states of a session: undo, redo, and which of them a list of prompts starts from."""

from __future__ import annotations

from dataclasses import replace

from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.prompts import Click, Prompts
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.history import StepHistory
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import answered

FIRST, SECOND, THIRD = (Click((x, 0.0, 0.0)) for x in (0.0, 8.0, 16.0))
VOLUME = empty_volume(centred_geometry([100] * 3, [2] * 3))
ENCODER = PatchEncoder(VOLUME, model_grid(VOLUME.geometry, 2.0), BallPredictor())
START = SessionState.empty(VOLUME.geometry, ENCODER.grid)


def after(state: SessionState, *clicks: Click) -> SessionState:
    for click in clicks:
        state = answered(ENCODER, state, click)
    return state


def history_of(*states: SessionState) -> StepHistory:
    history = StepHistory(states[0])
    for state in states[1:]:
        history.add(state)
    return history


def test_a_known_state_is_returned_itself_also_one_that_was_no_step() -> None:
    one = after(START, FIRST)
    two = after(one, SECOND)
    history = history_of(START, two)
    assert history.longest_known(one.prompts) is one
    assert history.longest_known(two.prompts) is two
    assert history.longest_known(Prompts([FIRST, THIRD])) is one
    assert history.longest_known(Prompts([THIRD])) is START


def test_of_states_with_equal_prompts_the_present_one_counts_then_the_latest() -> None:
    one, again = after(START, FIRST), after(START, FIRST)
    history = history_of(START, one, again, START)
    assert history.longest_known(one.prompts) is again
    history.undo()
    history.undo()
    assert history.state is one
    assert history.longest_known(one.prompts) is one


def test_the_present_state_and_its_line_win_over_edited_ones() -> None:
    one = after(START, FIRST)
    before_edit = after(one, SECOND)
    edited = replace(one, parent=None)
    after_edit = after(edited, SECOND)
    both = before_edit.prompts
    history = history_of(START, one, before_edit, edited, after_edit)
    assert history.longest_known(both) is after_edit
    history.undo()
    assert history.state is edited
    assert history.longest_known(both) is after_edit
    assert history.longest_known(Prompts()) is START
    history.undo()
    assert history.longest_known(both) is before_edit
    # From where no state of the first click is the present one, the later edit counts.
    history.undo()
    history.undo()
    assert history.longest_known(both) is after_edit
    # Undone to before the edit, and the state after the first click without its successor.
    history = history_of(START, one, edited, after_edit)
    history.undo()
    history.undo()
    assert history.longest_known(both) is one


def test_undo_and_redo_tell_the_change_and_end_at_both_ends() -> None:
    one = after(START, FIRST)
    history = StepHistory(START)
    assert not history.can_undo
    assert not history.can_redo
    assert history.undo().bbox.is_empty
    change = history.add(one)
    assert change.mask_kji.any()
    assert history.add(one).bbox.is_empty
    undone = history.undo()
    assert undone.bbox == change.bbox
    assert not undone.mask_kji.any()
    assert history.can_redo
    assert history.redo().mask_kji.tolist() == change.mask_kji.tolist()
    assert history.redo().bbox.is_empty


def test_a_step_after_undo_drops_what_was_undone() -> None:
    history = history_of(START, after(START, FIRST))
    history.undo()
    history.add(after(START, SECOND))
    assert not history.can_redo
    history.undo()
    assert history.state is START
