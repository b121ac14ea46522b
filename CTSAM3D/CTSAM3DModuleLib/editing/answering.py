"""What becomes of answers: written, asked for again, or given up. Main thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

import slicer

from CTSAM3DLib.engine.engine import (
    ClickAnswer,
    ClickProgress,
    SegmentationEngine,
    StaleSessionError,
)
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml import SegmentTarget, volume_identity, write_segment
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DLib.session.memory import memory_error
from CTSAM3DModuleLib.editing.fingerprints import MaskMemory
from CTSAM3DModuleLib.editing.jobs import Job, Outcome
from CTSAM3DModuleLib.editing.target import EditTarget

MOST_TRIES = 3


class Answering:
    """The half of `ClickController` that deals with answers; the other half asks."""

    scene: slicer.vtkMRMLScene
    engine: SegmentationEngine
    undo_keepers: dict[Hashable, Callable[[Any], bool]]
    finished: list[Callable[[Outcome], None]]
    _jobs: dict[Future[Any], Job]
    _memory: MaskMemory

    def _submit(self, *arguments: Any) -> None:
        raise NotImplementedError

    def editor_logic(self, editor_node: Any) -> slicer.vtkSlicerSegmentEditorLogic:
        """Return the editor that writes with the settings of a node."""
        raise NotImplementedError

    def drain(self) -> None:
        """Write the answers that have come."""
        for item in self.engine.drain():
            if isinstance(item, ClickProgress):
                self._show_part(item)
            elif item in self._jobs:
                job = self._jobs.pop(item)
                try:
                    self._finish(job, item)
                except Exception as error:  # one answer must not take the others with it
                    self._give_up(job, error)

    def _finish(self, job: Job, future: Future[ClickAnswer]) -> None:
        target = job.target
        if not self._still_applies(job):
            self._drop_later(target)
            self._tell(Outcome(target, self._clicks_now(target)))
            return
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or (error and not isinstance(error, StaleSessionError)):
            self._give_up(job, error)
        elif self._changed_meanwhile(job):
            self._drop_later(target)
            self._again(job)
        elif error is not None:
            self._resume(job)
        else:
            self._write(job, future.result().update)
            self._tell(Outcome(target, job.after, future.result()))

    def _give_up(self, job: Job, error: BaseException | None) -> None:
        """Tell that a request has come to nothing, and those that build on it with it."""
        if isinstance(error, MemoryError):
            error = memory_error(error)
        if error is not None:
            logging.getLogger(__name__).debug("a request came to nothing", exc_info=error)
        self._drop_later(job.target)
        clicks = self._clicks_now(job.target)
        self._tell(Outcome(job.target, clicks, None, error, job.parts > 0))

    def _resume(self, job: Job) -> None:
        """Ask again, with the present mask, for what relied on a session that is gone."""
        later = [j for j in self._jobs.values() if j.target.key == job.target.key]
        self._drop_later(job.target)
        for one in [job, *later]:
            if one.tries < MOST_TRIES:
                self._submit(
                    one.target, one.before, one.after, one.added, one.tries + 1, one.place.choice
                )

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
        for future, job in list(self._jobs.items()):
            if job.request is not progress.request:
                continue
            try:
                if self._still_applies(job) and not self._changed_meanwhile(job):
                    self._write(job, progress.update)
                    job.parts += 1
            except Exception as error:
                del self._jobs[future]
                self._give_up(job, error)

    def _write(self, job: Job, update: MaskUpdate) -> None:
        target = job.target
        save = _nothing if job.parts else self._saver(target)
        write_segment(self._segment(target), target.limited(update), job.after, save)
        self._memory.remember(target, job.place)

    def save_for_undo(self, segmentation_node: Any, editor_node: Any) -> None:
        """Save the state in every editor of a segmentation, or else in our own."""
        kept = [keep(segmentation_node) for keep in list(self.undo_keepers.values())]
        if not any(kept):
            self.editor_logic(editor_node).SaveStateForUndo()

    def _saver(self, target: EditTarget) -> Callable[[], None]:
        return lambda: self.save_for_undo(target.segmentation_node, target.editor_node)

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

    def _tell(self, outcome: Outcome) -> None:
        for callback in list(self.finished):
            callback(outcome)


def _nothing() -> None:
    """Save no state."""
