"""Going to a list of clicks by the shortest way from states that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.state import SessionState

Step: TypeAlias = Callable[[SessionState, Click], SessionState]
"""Gives the state after one more click."""


def replayed(known: Sequence[SessionState], clicks: ClickHistory, step: Step) -> SessionState:
    """Return the state of a list of clicks, starting from the best state at hand.

    Parameters
    ----------
    known : sequence of SessionState
        Known states, the present one last, one of them without clicks; the states that they
        came from count too. Of states with equal clicks the later one is taken. A state that
        came from other states than the present one, by equal clicks, is not: an edit by hand
        lies between them.
    clicks : ClickHistory
        The wanted list.
    step : callable
        What a click does.

    Returns
    -------
    SessionState
        A known state itself, if it has these clicks.

    Raises
    ------
    ClickOutsideVolumeError
        If a click is not inside the volume.
    """
    present = {state.clicks: state for state in _line(known[-1])}
    by_clicks: dict[ClickHistory, SessionState] = {}
    for latest in known:
        for state in reversed(list(_line(latest))):
            if present.get(state.clicks, state) is not state:
                break
            by_clicks[state.clicks] = state
    length = len(clicks)
    while clicks[:length] not in by_clicks:
        length -= 1
    state = by_clicks[clicks[:length]]
    for click in clicks[length:]:
        state = step(state, click)
    return state


def _line(state: SessionState) -> Iterator[SessionState]:
    """Yield a state and those that it came from, the latest first."""
    ancestor: SessionState | None = state
    while ancestor is not None:
        yield ancestor
        ancestor = ancestor.parent
