"""From clicks of a user to the voxels of a segment: requests go out, answers are written.

Main thread only. The engine's thread sees numbers alone; what it answers is written by `drain`,
which a timer calls.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from typing import Any

import slicer

from CTSAM3DLib.engine import ClickAnswer, ClickProgress, ClickRequest, SegmentationEngine
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.slicer_adapter import (
    SegmentTarget,
    VolumeIdentity,
    click_from_world_ras,
    volume_from_node,
    volume_identity,
    write_segment,
)
from CTSAM3DLib.slicer_adapter.labelmaps import boxed
from CTSAM3DLib.volume import MaskUpdate, Volume
from CTSAM3DModuleLib.jobs import Job, Outcome
from CTSAM3DModuleLib.memory import MaskMemory, Place
from CTSAM3DModuleLib.targets import EditTarget

MOST_TRIES = 3
KEPT_VOLUMES = 2


class ClickController:
    """Keeps segments, their click tags and the engine in step.

    A segment is always written as one step of undo that holds voxels and clicks; the tag of the
    segment is the only memory of clicks. If somebody draws, undoes or loads in between, that is
    noticed by the voxels themselves, and the next click goes on from what is there.

    Parameters
    ----------
    scene : vtkMRMLScene
        Answers for nodes that are no longer in it are dropped.
    engine : SegmentationEngine
        Owned by the caller.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, engine: SegmentationEngine) -> None:
        self.scene = scene
        self.engine = engine
        self.finished: list[Callable[[Outcome], None]] = []
        self.started: list[Callable[[], None]] = []
        self._jobs: dict[Future[Any], Job] = {}
        self._logics: dict[str, slicer.vtkSlicerSegmentEditorLogic] = {}
        self._volumes: dict[VolumeIdentity, Volume] = {}
        self._memory = MaskMemory()
        self._generation = 0

    # ---- clicks

    def clicks(self, target: EditTarget) -> ClickHistory:
        """Return the clicks of a segment, those included whose answer is under way."""
        pending = [job for job in self._jobs.values() if job.target.key == target.key]
        return pending[-1].after if pending else target.stored_clicks()

    def add_click(
        self, target: EditTarget, position_world_ras: Sequence[float], positive: bool = True
    ) -> Click:
        """Ask for the mask with one more click.

        Parameters
        ----------
        target : EditTarget
            What is clicked.
        position_world_ras : three floats
            World RAS, mm.
        positive : bool
            Inside the structure.

        Returns
        -------
        Click
            The click in the RAS frame of the volume.

        Raises
        ------
        ClickOutsideVolumeError, NodeError, VolumeError
            At once, with nothing changed.
        """
        target.check()
        click = click_from_world_ras(position_world_ras, target.volume_node, positive)
        target.check_inside_roi(click)
        before = self.clicks(target)
        self._submit(target, before, before.added(click), click)
        return click

    def set_clicks(self, target: EditTarget, clicks: ClickHistory) -> None:
        """Ask for the mask of another list of clicks: one was moved, or some were removed.

        Raises
        ------
        ClickOutsideVolumeError, NodeError, VolumeError
            At once, with nothing changed.
        """
        target.check()
        geometry = self._volume(target)[1].geometry
        for click in clicks:
            geometry.voxel_from_ras(click.position_ras)
        before = self.clicks(target)
        if clicks != before:
            self._submit(target, before, clicks, None)

    def warm_up(self, target: EditTarget, position_world_ras: Sequence[float]) -> None:
        """Prepare a click at a position in spare time; a position outside is passed over."""
        if self.busy:
            return
        try:
            click = click_from_world_ras(position_world_ras, target.volume_node)
            identity, volume = self._volume(target)
        except CTSAM3DError:
            return
        nothing = ClickHistory()
        request = ClickRequest(volume, identity, self._structure(target), nothing, nothing)
        self.engine.warm_up(request, click)

    def process(self, target: EditTarget, function: Callable[[MaskUpdate], MaskUpdate]) -> None:
        """Replace the mask by a function of it, as one step of undo; the clicks stay.

        Raises
        ------
        CTSAM3DError
            Of the function, or see `write_segment`; nothing is changed.
        """
        target.check()
        old = target.mask()
        new = function(old)
        box = old.bbox.union(new.bbox)
        update = MaskUpdate(boxed(new, box), box)
        write_segment(self._segment(target), target.limited(update), None, target.save_state)

    # ---- answers

    @property
    def is_closed(self) -> bool:
        """Whether its engine has ended and will answer no more."""
        return self.engine.is_closed

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._jobs)

    def drain(self) -> None:
        """Write the answers that have come."""
        for item in self.engine.drain():
            if isinstance(item, ClickProgress):
                self._show_part(item)
            elif item in self._jobs:
                self._finish(self._jobs.pop(item), item)

    def wait(self, seconds: float = 60.0) -> None:
        """Write all answers under way, waiting for them; for scripts and tests.

        Raises
        ------
        TimeoutError
            If they have not come in time.
        """
        while self._jobs:
            if wait(list(self._jobs), seconds).not_done:
                message = f"expected an answer within {seconds:g} s, got none"
                raise TimeoutError(message)
            self.drain()

    def cancel(self) -> None:
        """Take back what is under way; the segments stay as they are."""
        self.engine.cancel()
        jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            self._memory.distrust(job.target)
            clicks = self._clicks_now(job.target)
            self._tell(Outcome(job.target, clicks, partial=job.parts > 0))

    def reset(self) -> None:
        """Forget everything of the scene: it is about to close."""
        self._jobs.clear()
        self.engine.cancel()
        for identity in self._volumes:
            self.engine.forget(identity)
        for memory in (self._volumes, self._logics, self._memory):
            memory.clear()
        self._generation += 1

    # ---- undo of a panel, which has no segment editor of its own

    def editor_logic(self, editor_node: Any) -> slicer.vtkSlicerSegmentEditorLogic:
        """Return the editor that writes with the settings of a node; its undo steps are ours."""
        logic = self._logics.get(editor_node.GetID())
        if logic is None or logic.GetSegmentEditorNode() is not editor_node:
            logic = slicer.vtkSlicerSegmentEditorLogic()
            logic.SetMRMLScene(self.scene)
            logic.SetSegmentEditorNode(editor_node)
            self._logics[editor_node.GetID()] = logic
        return logic

    # ---- inside

    def _submit(
        self,
        target: EditTarget,
        before: ClickHistory,
        after: ClickHistory,
        added: Click | None,
        tries: int = 1,
    ) -> None:
        identity, volume = self._volume(target)
        chained = any(job.target.key == target.key for job in self._jobs.values())
        present = None
        if not chained:
            present = self._memory.mask_unless_known(target, self._place(target, identity, before))
        request = ClickRequest(volume, identity, self._structure(target), before, after, present)
        future = self.engine.request(request)
        self._jobs[future] = Job(target, before, after, added, identity, request, tries)
        for callback in self.started:
            callback()

    def _finish(self, job: Job, future: Future[ClickAnswer]) -> None:
        target = job.target
        if not self._still_applies(job):
            self._drop_later(target)
            self._tell(Outcome(target, self._clicks_now(target)))
            return
        if future.cancelled() or future.exception() is not None:
            self._drop_later(target)
            error = None if future.cancelled() else future.exception()
            partial = job.parts > 0
            self._tell(Outcome(target, self._clicks_now(target), None, error, partial))
            return
        if self._changed_meanwhile(job):
            self._drop_later(target)
            self._again(job)
            return
        try:
            self._write(job, future.result().update)
        except CTSAM3DError as error:
            self._drop_later(target)
            self._tell(Outcome(target, self._clicks_now(target), None, error))
            return
        self._tell(Outcome(target, job.after, future.result()))

    def _still_applies(self, job: Job) -> bool:
        """Tell whether segment and volume are there, the volume with the voxels of the request."""
        try:
            return job.target.exists(self.scene) and (
                volume_identity(job.target.volume_node) == job.identity
            )
        except CTSAM3DError:  # the volume has no voxels any more
            return False

    def _show_part(self, progress: ClickProgress) -> None:
        """Write a part of an answer; all parts and the rest are one step of undo."""
        found = [job for job in self._jobs.values() if job.request is progress.request]
        for job in found:
            if self._still_applies(job) and not self._changed_meanwhile(job):
                self._write(job, progress.update)
                job.parts += 1

    def _write(self, job: Job, update: MaskUpdate) -> None:
        target = job.target
        save = _nothing if job.parts else target.save_state
        write_segment(self._segment(target), target.limited(update), job.after, save)
        self._memory.remember(target, self._place(target, job.identity, job.after))

    def _changed_meanwhile(self, job: Job) -> bool:
        """Tell whether somebody drew, undid or loaded since the request."""
        target = job.target
        return self._memory.has_changed(target) or target.stored_clicks() != job.stored

    def _again(self, job: Job) -> None:
        """Ask again from what is there now.

        Not for a moved or removed click, which has lost its list, nor for one that was undone
        while its parts were coming.
        """
        before = self._clicks_now(job.target)
        if job.added is None or job.parts or job.tries >= MOST_TRIES:
            self._tell(Outcome(job.target, before))
            return
        self._submit(job.target, before, before.added(job.added), job.added, job.tries + 1)

    def _drop_later(self, target: EditTarget) -> None:
        """Drop requests that build on one that came to nothing."""
        self._memory.distrust(target)
        self._jobs = {f: job for f, job in self._jobs.items() if job.target.key != target.key}

    def _clicks_now(self, target: EditTarget) -> ClickHistory:
        return target.stored_clicks() if target.exists(self.scene) else ClickHistory()

    def _segment(self, target: EditTarget) -> SegmentTarget:
        logic = self.editor_logic(target.editor_node)
        return SegmentTarget(target.segmentation_node, target.segment_id, target.volume_node, logic)

    def _structure(self, target: EditTarget) -> Hashable:
        return (self._generation, *target.key)

    def _place(self, target: EditTarget, identity: VolumeIdentity, clicks: ClickHistory) -> Place:
        return (target.key, identity, self.engine.choice, clicks)

    def _volume(self, target: EditTarget) -> tuple[VolumeIdentity, Volume]:
        """Return a volume as the engine takes it; the last ones are kept."""
        identity = volume_identity(target.volume_node)
        volume = self._volumes.pop(identity, None)
        if volume is None:
            volume = volume_from_node(target.volume_node)
        self._volumes[identity] = volume
        while len(self._volumes) > KEPT_VOLUMES:
            oldest = next(iter(self._volumes))
            del self._volumes[oldest]
            self.engine.forget(oldest)
        return identity, volume

    def _tell(self, outcome: Outcome) -> None:
        for callback in list(self.finished):
            callback(outcome)


def _nothing() -> None:
    """Save no state."""
