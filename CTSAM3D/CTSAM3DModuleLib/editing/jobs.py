"""Requests under way, and how they end."""

from __future__ import annotations

from dataclasses import dataclass

from CTSAM3DLib.engine.engine import ClickAnswer, ClickRequest
from CTSAM3DLib.mrml import VolumeIdentity
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DModuleLib.editing.fingerprints import Place
from CTSAM3DModuleLib.editing.target import EditTarget


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a request has ended.

    Parameters
    ----------
    target : EditTarget
        What was edited.
    clicks : ClickHistory
        The clicks of the segment now.
    answer : ClickAnswer, optional
        With times; None when it failed or was cancelled.
    error : Exception, optional
        Why it failed; the segment and its clicks are as before, unless `partial`.
    partial : bool
        Parts of an answer that came to no end are kept; undo takes them back.
    """

    target: EditTarget
    clicks: ClickHistory
    answer: ClickAnswer | None = None
    error: BaseException | None = None
    partial: bool = False


@dataclass(eq=False)
class Job:
    """A request under way: what it leads from and to, and how far it has come."""

    target: EditTarget
    before: ClickHistory
    after: ClickHistory
    added: Click | None
    place: Place
    request: ClickRequest
    tries: int = 1
    parts: int = 0

    @property
    def identity(self) -> VolumeIdentity:
        """The volume with the voxels of the request."""
        return self.place.identity

    @property
    def stored(self) -> ClickHistory:
        """The clicks in the tag while the request is under way."""
        return self.after if self.parts else self.before
