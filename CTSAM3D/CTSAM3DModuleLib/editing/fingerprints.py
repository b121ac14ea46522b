"""What the engine knows of the voxels of segments: to notice whatever else has changed them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count
from typing import Any

from CTSAM3DLib.engine.engine import ModelChoice
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml import VolumeIdentity
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DModuleLib.editing.target import EditTarget

EMPTY = "empty"


@dataclass(frozen=True)
class Place:
    """Everything that decides an answer: structure, volume, model and clicks."""

    structure: Hashable
    identity: VolumeIdentity
    choice: ModelChoice
    clicks: ClickHistory

    @property
    def series(self) -> tuple[Hashable, VolumeIdentity, ModelChoice]:
        """What one session of the engine stands for."""
        return (self.structure, self.identity, self.choice)


@dataclass(frozen=True, eq=False)
class Start:
    """Where a request starts: see `ClickRequest`."""

    session: int
    continued: bool
    present: MaskUpdate | None = None


class MaskMemory:
    """Digests of segments as they were at the last request and after each answer."""

    def __init__(self) -> None:
        self._stamped: dict[Hashable, tuple[Hashable, str]] = {}
        self._expected: dict[Hashable, str] = {}
        self._answered: dict[Place, str] = {}
        self._sessions: dict[Any, int] = {}
        self._numbers = count(1)

    def new_session(self) -> int:
        """Return a number that no session has yet."""
        return next(self._numbers)

    def start(self, target: EditTarget, place: Place) -> Start:
        """Return how to ask from what is in the segment now."""
        digest = self._digest(target)
        self._expected[target.key] = digest
        session = self._sessions.get(place.series)
        if session is not None and digest == self._answered.get(place):
            return Start(session, continued=True)
        self._answered[place] = digest
        if digest == EMPTY and not place.clicks:
            session = None  # nothing of an older session is wanted
        if session is None:
            session = self._sessions[place.series] = self.new_session()
        if digest == EMPTY and not place.clicks:
            return Start(session, continued=False)
        return Start(session, continued=False, present=target.mask())

    def chained(self, place: Place) -> Start:
        """Return how to ask from an answer that is still under way."""
        session = self._sessions.get(place.series)
        # With another model there is none: the engine will say so, and the asker starts again.
        return Start(self.new_session() if session is None else session, continued=True)

    def remember(self, target: EditTarget, place: Place) -> None:
        """Take the voxels, just written, as the answer for a place."""
        digest = self._digest(target)
        self._expected[target.key] = digest
        self._answered[place] = digest

    def has_changed(self, target: EditTarget) -> bool:
        """Tell whether somebody else has changed the voxels since the last request or answer."""
        return self._digest(target) != self._expected.get(target.key)

    def distrust(self, target: EditTarget) -> None:
        """Have the engine take the voxels as they are at the next request."""
        key = target.key
        self._answered = {p: v for p, v in self._answered.items() if p.structure != key}
        self._sessions = {s: v for s, v in self._sessions.items() if s[0] != key}

    def clear(self) -> None:
        """Forget all segments; numbers of sessions do not come back."""
        for memory in (self._stamped, self._expected, self._answered, self._sessions):
            memory.clear()

    def _digest(self, target: EditTarget) -> str:
        stamp = target.stamp()
        kept = self._stamped.get(target.key)
        if kept is None or kept[0] != stamp:
            kept = (stamp, target.digest())
            self._stamped[target.key] = kept
        return kept[1]
