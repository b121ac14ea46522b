"""Digests of the voxels of segments: tell whether somebody else has changed them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml import VolumeIdentity
from CTSAM3DLib.prompts import Prompts
from CTSAM3DModuleLib.editing.target import EditTarget

EMPTY = "empty"


@dataclass(frozen=True)
class Series:
    """What one session of the engine answers for a structure."""

    identity: VolumeIdentity  # The volume with its voxels
    choice: ModelChoice  # Model, device and way
    generation: int  # See `SegmentationEngine.generation`


class Fingerprints:
    """Digests of segments as they were at the last request and after each answer."""

    def __init__(self) -> None:
        self._stamped: dict[Hashable, tuple[Hashable, str]] = {}
        self._expected: dict[Hashable, str] = {}
        self._answered: dict[Hashable, tuple[Series, dict[Prompts, str]]] = {}

    def present_mask(
        self, target: EditTarget, series: Series, prompts: Prompts, anew: bool = False
    ) -> MaskUpdate | None:
        """Return the mask to send with a request; None if the engine knows it.

        It knows the answers of one series, and that a structure without prompts begins empty.
        With `anew` it begins empty whatever the segment holds.
        """
        digest = self._expected[target.key] = self._digest(target)
        answered_series, digests = self._answered.get(target.key, (None, {}))
        if anew or (digest == EMPTY and not prompts):
            self._answered[target.key] = (series, {})
            return None
        if answered_series != series:
            digests = {}
        known = bool(prompts) and digests.get(prompts) == digest
        present = None if known else target.mask()
        self._answered[target.key] = (series, {**digests, prompts: digest})
        return present

    def remember(self, target: EditTarget, series: Series, prompts: Prompts) -> None:
        """Take the voxels, just written, as the answer to a list of prompts."""
        digest = self._expected[target.key] = self._digest(target)
        answered_series, digests = self._answered.get(target.key, (None, {}))
        if answered_series == series:  # else its volume was dropped while it was under way
            self._answered[target.key] = (series, {**digests, prompts: digest})

    def has_changed(self, target: EditTarget) -> bool:
        """Tell whether somebody else has changed the voxels since the last request or answer."""
        return self._digest(target) != self._expected.get(target.key)

    def distrust(self, key: Hashable) -> None:
        """Have the present mask of a structure sent with the next request."""
        self._answered.pop(key, None)

    def forget_volume(self, identity: VolumeIdentity) -> None:
        """Distrust all structures of a volume."""
        for key, (series, _) in list(self._answered.items()):
            if series.identity == identity:
                self.distrust(key)

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
