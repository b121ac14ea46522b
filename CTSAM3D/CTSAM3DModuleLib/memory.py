"""What the engine knows of the voxels of segments: to notice whatever else has changed them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from CTSAM3DLib.volume import MaskUpdate
from CTSAM3DModuleLib.targets import EditTarget

Place = tuple[Any, ...]


class MaskMemory:
    """Digests of segments: as they were at the last request, and after each answer.

    A *place* is a target's key with everything that decides an answer: volume, model, clicks.
    """

    def __init__(self) -> None:
        self._stamped: dict[Hashable, tuple[Hashable, str]] = {}
        self._expected: dict[Hashable, str] = {}
        self._answered: dict[Place, str] = {}

    def mask_unless_known(self, target: EditTarget, place: Place) -> MaskUpdate | None:
        """Return the present mask, or None if the engine has made it itself at this place."""
        digest = self._digest(target)
        self._expected[target.key] = digest
        is_start = not place[-1]
        if digest == self._answered.get(place, "empty" if is_start else None):
            return None
        self._answered[place] = digest
        return target.mask()

    def remember(self, target: EditTarget, place: Place) -> None:
        """Take the voxels, just written, as the answer for a place."""
        digest = self._digest(target)
        self._expected[target.key] = digest
        self._answered[place] = digest

    def has_changed(self, target: EditTarget) -> bool:
        """Tell whether somebody else has changed the voxels since the last request or answer."""
        return self._digest(target) != self._expected[target.key]

    def distrust(self, target: EditTarget) -> None:
        """Have the engine take the voxels as they are at the next request."""
        self._answered = {k: v for k, v in self._answered.items() if k[0] != target.key}

    def clear(self) -> None:
        """Forget all segments."""
        for memory in (self._stamped, self._expected, self._answered):
            memory.clear()

    def _digest(self, target: EditTarget) -> str:
        stamp = target.stamp()
        kept = self._stamped.get(target.key)
        if kept is None or kept[0] != stamp:
            kept = (stamp, target.digest())
            self._stamped[target.key] = kept
        return kept[1]
