"""From prompts of a user to the voxels of a segment: requests go out, answers are written.

Main thread only. The engine's thread sees numbers alone; what it answers is written by `drain`,
which a timer calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.engine import (
    ClickAnswer,
    ClickProgress,
    ClickRequest,
    ModelChoice,
    SegmentationEngine,
)
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.mrml import VolumeIdentity
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session.memory import memory_error
from CTSAM3DModuleLib.editing.edit import Edit, Outcomes
from CTSAM3DModuleLib.editing.fingerprints import Fingerprints, Series
from CTSAM3DModuleLib.editing.questions import Questions
from CTSAM3DModuleLib.editing.target import EditTarget
from CTSAM3DModuleLib.editing.undo import UndoStates
from CTSAM3DModuleLib.editing.undone import Undone
from CTSAM3DModuleLib.editing.volumes import Volumes
from CTSAM3DModuleLib.waiting import Waiting


class Requests:
    """Keeps segments, their tags of prompts and the engine in step.

    A segment is always written as one step of undo that holds voxels and prompts; the tag of the
    segment is the only memory of prompts. If somebody draws, undoes or loads in between, that is
    noticed by the voxels themselves, and the next prompt goes on from what is there. One request a
    structure is under way at a time; further edits wait for its answer. Answers for nodes that are
    no longer in the scene are dropped. The engine is owned by the caller.

    `started` and `finished` list what is called after an edit was put, without arguments, and with
    the `Outcome` of each edit. `undo` keeps steps of undo, `waiting` waits for the engine, and for
    other threads if asked, `volumes` are the last ones that were asked about, `questions` is what
    is asked besides edits.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, engine: SegmentationEngine) -> None:
        self.scene = scene
        self.undo = UndoStates(scene)
        self.waiting = Waiting()
        self.started: list[Callable[[], None]] = []
        self._outcomes = Outcomes(scene)
        self.finished = self._outcomes.listeners
        self._edits: dict[Hashable, list[Edit]] = {}  # of each structure, the first under way
        self._under_way: dict[Future[Any], Edit] = {}
        self.volumes = Volumes(scene, self._forget)
        self._fingerprints = Fingerprints()
        self._undone = Undone(scene, self.undo, self._edits)
        self.questions = Questions(self.volumes, self._fingerprints, self._outcomes)
        self.engine = engine

    @property
    def engine(self) -> SegmentationEngine:
        """What answers."""
        return self._engine

    @engine.setter
    def engine(self, engine: SegmentationEngine) -> None:
        self._engine = self.questions.engine = engine
        engine.on_queued = lambda: self.waiting.watch(engine.wait, self._go_on)

    # ---- asking

    def prompts(self, target: EditTarget) -> Prompts:
        """Return the prompts of a segment, those included that are not answered yet."""
        edits = self._edits.get(target.key)
        return edits[-1].after if edits else target.stored_prompts()

    def put(
        self, target: EditTarget, prompts: Prompts, choice: ModelChoice, anew: bool = False
    ) -> None:
        """Ask for the mask of another list of prompts: with one more, or one moved or removed.

        `choice` says which model answers, if the segment has none of its own, and how; `anew`
        replaces the mask by what the prompts alone give. Raises ClickOutsideVolumeError, NodeError,
        VolumeError: at once, with nothing changed.
        """
        target.check(prompts)
        self._undone.follow(self._take_back_undone)
        before = self.prompts(target)
        if prompts == before and not anew:
            return
        edits = self._edits[target.key] = self._edits.pop(target.key, [])  # the newest is the last
        edits.append(Edit(target, before, prompts, target.own(choice), anew))
        if len(edits) == 1:
            try:
                self._ask(edits[0])
            except Exception:
                del self._edits[target.key]
                raise
        elif edits[0].request is not None:
            edits[0].request.hurry.set()
        self._undone.asked(edits[-1])
        for callback in self.started:
            callback()

    def process(self, target: EditTarget, function: Callable[[MaskUpdate], MaskUpdate]) -> bool:
        """Replace the mask by a function of it, as one step of undo; the prompts stay.

        False, without a step, if that changes nothing. Raises CTSAM3DError: of the function, or
        see `write_segment`; nothing is changed.
        """
        target.check()
        update = target.change_to(function(target.mask()))
        if not target.is_changed_by(update):
            return False
        self._write(target, update, None, is_step=True)
        return True

    # ---- waiting

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._edits or self.questions.awaited)

    @property
    def segmentations(self) -> list[Any]:
        """The segmentations whose answers are awaited."""
        return self._undone.segmentations

    def wait(self, seconds: float = 60.0) -> None:
        """Write all answers under way, waiting for them; for scripts and tests.

        Raises TimeoutError if they have not come in time.
        """
        while self.busy:
            if wait([*self._under_way, *self.questions.awaited], seconds).not_done:
                raise TimeoutError(f"expected an answer within {seconds:g} s, got none")
            self.drain()

    def drain(self) -> None:
        """Write the answers that have come, then tell of them all.

        An error of a listener is raised in the end.
        """
        self._undone.follow(self._take_back_undone)
        for item in self._engine.drain():
            try:
                self.questions.answer(item)
            except Exception as error:
                logging.getLogger(__name__).debug("a question failed", exc_info=error)
                self.questions.cancel()
            asked = item.request if isinstance(item, ClickProgress) else item
            for future, edit in list(self._under_way.items()):
                try:
                    if asked is edit.request:
                        self._show_part(edit, item)
                    elif asked is future:
                        self._finish(edit, future)
                        self._under_way.pop(future, None)
                except Exception as error:  # one answer must not take the others with it
                    self._give_up(edit, error)
        self._undone.take()
        self._outcomes.tell()

    def _go_on(self) -> bool:
        try:
            with slicer.util.tryWithErrorDisplay(_("CT-SAM3D could not write a result.")):
                self.drain()
        finally:  # an error must not end the waiting for other answers
            if self._engine.is_working:
                self.waiting.watch(self._engine.wait, self._go_on)
        return False

    # ---- ending

    def cancel(self, segmentation_node: Any = None) -> None:
        """Take back questions, and edits of one segmentation or all; segments stay as they are."""
        if segmentation_node is None:
            self.engine.cancel()
        self.questions.cancel()
        for edits in list(self._edits.values()):
            if segmentation_node is None or edits[0].is_of(segmentation_node):
                self._stop(edits[0])
        self._outcomes.tell()

    def take_back(self, segmentation_node: Any) -> bool:
        """Take back the newest edit of a segmentation that has written nothing; False for none."""
        edits = self._undone.newest(segmentation_node)
        if not edits or edits[-1].anew or edits[-1].parts:
            return False
        if len(edits) == 1:
            self._stop(edits[0])
        else:
            self._outcomes.add(edits.pop())
            if len(edits) == 1 and edits[0].request is not None:
                edits[0].request.hurry.clear()  # nothing waits for it any more
        self._outcomes.tell()
        return True

    def _stop(self, edit: Edit) -> None:
        """Take back the edit of a structure that is under way, and those that wait for it."""
        for future in [one for one, asked in self._under_way.items() if asked is edit]:
            future.cancel()
        if edit.request is not None:
            edit.request.hurry.set()
        self._give_up(edit, None)

    def _take_back_undone(self, segmentation_node: Any) -> None:
        if not self.take_back(segmentation_node):
            self.cancel(segmentation_node)

    def reset(self) -> None:
        """Forget everything of the scene: it is about to close."""
        self._edits.clear()
        self._under_way = {}
        self._undone.take()
        self.questions.clear()
        self.engine.cancel()
        self.volumes.clear()
        self.undo.clear()
        self._fingerprints.clear()

    def _forget(self, identity: VolumeIdentity) -> None:
        self._fingerprints.forget_volume(identity)
        self.engine.forget(identity)

    # ---- one edit after the other

    def _ask(self, edit: Edit) -> bool:
        """Ask from what is there now; False if the edit has lost its list."""
        target = edit.target
        if not edit.moved_to(target.stored_prompts()):
            return False
        before = edit.after
        for later in self._edits[target.key][1:]:
            if later.moved_to(before):
                before = later.after
        identity, volume = self.volumes.get(target.volume_node)
        edit.series = Series(identity, edit.choice, self.engine.generation(edit.choice))
        start = Prompts() if edit.anew else edit.before
        present = self._fingerprints.present_mask(target, edit.series, start, edit.anew)
        edit.request = ClickRequest(
            volume,
            identity,
            target.key,
            start,
            edit.after,
            edit.choice,
            present,
            target.limit(),
            in_parts=not edit.anew,
        )
        self._under_way[self.engine.request(edit.request)] = edit
        return True

    def _ask_first(self, key: Hashable) -> None:
        """Ask for the first edit of a structure that has not lost its list."""
        edits = self._edits[key]
        while edits:
            try:
                if self._ask(edits[0]):
                    return
            except Exception as error:
                self._give_up(edits[0], error)
                return
            self._outcomes.add(edits.pop(0))
        self._edits.pop(key, None)

    def _finish(self, edit: Edit, future: Future[ClickAnswer]) -> None:
        key = edit.target.key
        if not edit.still_applies(self.scene):
            self._drop(edit)
            self._outcomes.add(edit)
        elif future.cancelled() or future.exception() is not None:
            self._give_up(edit, None if future.cancelled() else future.exception())
        elif not self._changed_meanwhile(edit):
            self._write_answer(edit, future.result().update)
            self._edits[key].pop(0)
            self._ask_first(key)
            self._outcomes.add(edit, answer=future.result())
        else:
            self._fingerprints.distrust(key)
            if edit.parts:  # undone while they came
                self._outcomes.add(self._edits[key].pop(0))
            self._ask_first(key)

    def _give_up(self, edit: Edit, error: BaseException | None) -> None:
        """Drop an edit that has failed, and those that wait for it."""
        if isinstance(error, MemoryError):
            error = memory_error(error)
        if error is not None:
            logging.getLogger(__name__).debug("a request failed", exc_info=error)
        self._drop(edit)
        self._outcomes.add(edit, error=error, partial=edit.parts > 0)

    def _drop(self, edit: Edit) -> None:
        """Drop all edits of a structure, and what was asked for them."""
        self._under_way = {f: e for f, e in self._under_way.items() if e.target != edit.target}
        self._fingerprints.distrust(edit.target.key)
        for later in self._edits.pop(edit.target.key, [edit])[1:]:
            self._outcomes.add(later)

    def _changed_meanwhile(self, edit: Edit) -> bool:
        """Tell whether somebody drew, undid or loaded since the request."""
        if edit.target.stored_prompts() != edit.stored:
            return True
        return not edit.anew and self._fingerprints.has_changed(edit.target)

    def _show_part(self, edit: Edit, progress: ClickProgress) -> None:
        """Write a part of an answer; all parts and the rest are one step of undo."""
        if edit.still_applies(self.scene) and not self._changed_meanwhile(edit):
            self._write_answer(edit, progress.update)
            edit.parts += 1
        else:  # nobody wants the rest
            edit.request.hurry.set()

    # ---- writing and telling

    def _write_answer(self, edit: Edit, update: MaskUpdate) -> None:
        target = edit.target
        if edit.anew:
            update = target.change_to(update)
        self._write(target, update, edit.after, is_step=not edit.parts)
        self._undone.written(edit)
        self._fingerprints.remember(target, edit.series, edit.after)

    def _write(
        self, target: EditTarget, update: MaskUpdate, prompts: Prompts | None, is_step: bool
    ) -> None:
        def save() -> None:
            if is_step:
                self.undo.save(target.segmentation_node, target.editor_node)

        nodes = (target.segmentation_node, target.volume_node, target.editor_node)
        with self.undo.writer(*nodes) as editor_logic:
            target.write(update, prompts, editor_logic, save)
        self._undone.take()
