"""One edit of a segment by prompts, and how it has ended. Main thread only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import slicer

from CTSAM3DLib.engine import ClickAnswer, ClickRequest, ModelChoice
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml import volume_identity
from CTSAM3DLib.prompts import Prompts
from CTSAM3DModuleLib.editing.fingerprints import Series
from CTSAM3DModuleLib.editing.snapshots import Content
from CTSAM3DModuleLib.editing.target import EditTarget


@dataclass(frozen=True, eq=False)
class Outcome:
    """How an edit has ended."""

    target: EditTarget
    prompts: Prompts  # The prompts of the segment now
    # With times; None when it failed, was cancelled, or was lost to a change by others
    answer: ClickAnswer | None = None
    # Why it failed; the segment and its prompts are as before, unless `partial`
    error: BaseException | None = None
    partial: bool = False  # Parts of an answer without an end are kept; undo takes them back
    anew: bool = False  # The mask was to be computed from the prompts alone


@dataclass(eq=False)
class Edit:
    """From one list of prompts to another: waiting, or under way if it has a request."""

    target: EditTarget
    before: Prompts
    after: Prompts
    choice: ModelChoice
    anew: bool = False
    request: ClickRequest | None = None
    series: Series | None = None
    parts: int = 0
    base: Content = field(default_factory=dict)  # What it was asked for

    @property
    def stored(self) -> Prompts:
        """The prompts in the tag while the request is under way."""
        return self.after if self.parts else self.before

    def is_of(self, segmentation_node: Any) -> bool:
        """Tell whether it is an edit of a segmentation."""
        return self.target.segmentation_node is segmentation_node

    def moved_to(self, now: Prompts) -> bool:
        """Start from the prompts that there are now; False if the edit has lost its own list.

        What was added can be added to any list; what was moved or removed cannot.
        """
        count = len(self.before)
        if now != self.before and (self.anew or self.after[:count] != self.before):
            return False
        if now != self.before:
            self.after = Prompts([*now, *self.after[count:]])
        self.before = now
        return True

    def still_applies(self, scene: slicer.vtkMRMLScene) -> bool:
        """Tell whether segment and volume are there, the volume with the voxels of the request."""
        try:
            return self.target.exists(scene) and (
                volume_identity(self.target.volume_node) == self.series.identity
            )
        except CTSAM3DError:  # the volume has no voxels any more
            return False


class Outcomes:
    """Tells `listeners` the `Outcome` of each edit, once nothing is half done any more."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.listeners: list[Callable[[Outcome], object]] = []
        self._scene = scene
        self._untold: list[Outcome] = []
        self._errors: list[Exception] = []

    def add(self, edit: Edit, **how: Any) -> None:
        """Have the end of an edit told by the next call of `tell`."""
        target = edit.target
        try:
            exists = target.exists(self._scene)
            prompts = target.stored_prompts() if exists else Prompts()
        except CTSAM3DError:  # a tag that is not ours
            prompts = Prompts()
        self._untold.append(Outcome(target, prompts, anew=edit.anew, **how))

    def guard(self, listener: Callable[[Any], object], what: Any) -> None:
        """Call a listener; its error is raised by the next call of `tell`."""
        try:
            listener(what)
        except Exception as error:  # the others hear of it all the same
            self._errors.append(error)

    def tell(self) -> None:
        """Call all listeners; the first error of one is raised in the end."""
        while self._untold:
            outcome = self._untold.pop(0)
            for listener in list(self.listeners):
                self.guard(listener, outcome)
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
