"""The states that a session has been through, with undo and redo."""

from __future__ import annotations

from collections.abc import Iterator

from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session.state import SessionState


class StepHistory:
    """A line of states of one structure, of which one is the present one."""

    def __init__(self, start: SessionState) -> None:
        """Start with one state."""
        self._steps = [start]
        self._at = 0

    @property
    def state(self) -> SessionState:
        """The present state."""
        return self._steps[self._at]

    @property
    def can_undo(self) -> bool:
        """Whether there is a step before the present one."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone and nothing else was done since."""
        return self._at + 1 < len(self._steps)

    def undo(self) -> MaskUpdate:
        """Go back one step; without an earlier step nothing changes and the update is empty."""
        return self._move_to(max(self._at - 1, 0))

    def redo(self) -> MaskUpdate:
        """Repeat the step that was undone last; without one the update is empty."""
        return self._move_to(min(self._at + 1, len(self._steps) - 1))

    def add(self, state: SessionState) -> MaskUpdate:
        """Make a state the present one, dropping undone steps; the present one is no step."""
        if state is self.state:
            return self._move_to(self._at)
        self._steps = [*self._steps[: self._at + 1], state]
        return self._move_to(self._at + 1)

    def longest_known(self, prompts: Prompts) -> SessionState:
        """Return the known state of as many of the first prompts of a list as possible.

        The states that steps came from count too. Of states with equal prompts the present one
        is taken, else the latest. A state that came from other states than the present one, by
        equal prompts, is not: an edit by hand lies between them.
        """
        present = {state.prompts: state for state in _line(self.state)}
        known: dict[Prompts, SessionState] = {}
        for latest in [*self._steps, self.state]:
            for state in reversed(list(_line(latest))):
                if present.get(state.prompts, state) is not state:
                    break
                known[state.prompts] = state
        length = len(prompts)
        while prompts[:length] not in known:
            length -= 1
        return known[prompts[:length]]

    def _move_to(self, index: int) -> MaskUpdate:
        """Make another step the present one and return what changes in the mask."""
        update = self._steps[index].changes_since(self.state)
        self._at = index
        return update


def _line(state: SessionState) -> Iterator[SessionState]:
    """Yield a state and those that it came from, the latest first."""
    ancestor: SessionState | None = state
    while ancestor is not None:
        yield ancestor
        ancestor = ancestor.parent
