"""The states that a session has been through, with undo and redo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DLib.session.state import SessionState


class SessionSteps:
    """A line of states of one structure, of which one is the present one.

    Parameters
    ----------
    start : SessionState
        The first state.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import Geometry
    >>> geometry = Geometry(np.eye(4), (4, 5, 6))
    >>> steps = SessionSteps(SessionState.empty(geometry, geometry))
    >>> steps.can_undo, steps.mask.shape
    (False, (4, 5, 6))
    """

    def __init__(self, start: SessionState) -> None:
        """Start with one state."""
        self._steps = [start]
        self._at = 0
        self._dense: tuple[SessionState, NDArray[np.bool_]] | None = None

    @property
    def clicks(self) -> ClickHistory:
        """The clicks that made the present mask, oldest first."""
        return self.state.clicks

    @property
    def state(self) -> SessionState:
        """The present state: clicks, logits, mask, patches used and timings; immutable."""
        return self._steps[self._at]

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Times of the last click of the present state; empty when the model was not asked."""
        return self.state.timings_ms

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The structure on the volume's own voxels: bool, KJI, read-only.

        Made when asked for and kept until the next step; a large volume costs one byte a voxel.
        """
        if self._dense is None or self._dense[0] is not self.state:
            dense = self.state.mask.dense()
            dense.setflags(write=False)
            self._dense = (self.state, dense)
        return self._dense[1]

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

    @property
    def _known(self) -> Sequence[SessionState]:
        """All states at hand, the present one last."""
        return [*self._steps, self.state]

    def _step_to(self, state: SessionState) -> MaskUpdate:
        """Append a step, dropping undone ones; the present state again is no step."""
        if state is self.state:
            return self._move_to(self._at)
        update = state.changes_since(self.state)
        self._steps, self._at = [*self._steps[: self._at + 1], state], self._at + 1
        return update

    def _move_to(self, index: int) -> MaskUpdate:
        """Make another step the present one and tell what changes in the mask."""
        update = self._steps[index].changes_since(self.state)
        self._at = index
        return update
