"""From clicks of a user to the voxels of a segment: requests go out, answers are written.

Main thread only. The engine's thread sees numbers alone; what it answers is written by `drain`,
which a timer calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import slicer

from CTSAM3DLib.engine.engine import (
    ClickRequest,
    ModelChoice,
    SegmentationEngine,
)
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.mrml import (
    VolumeIdentity,
    click_from_world_ras,
    volume_from_node,
    volume_identity,
    write_segment,
)
from CTSAM3DLib.mrml.labelmaps import boxed
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DModuleLib.editing.answering import Answering
from CTSAM3DModuleLib.editing.fingerprints import MaskMemory, Place
from CTSAM3DModuleLib.editing.jobs import Job, Outcome
from CTSAM3DModuleLib.editing.target import EditTarget

KEPT_VOLUMES = 2


class ClickController(Answering):
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
        # Each editor keeps its own states for undo; what one writes, all can take back.
        self.undo_keepers: dict[Hashable, Callable[[Any], bool]] = {}
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
        geometry = self.volume(target)[1].geometry
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
            identity, volume = self.volume(target)
        except CTSAM3DError:
            return
        nothing = ClickHistory()
        request = ClickRequest(volume, identity, self._structure(target), nothing, nothing)
        self.engine.warm_up(request, click)
        self._tell_started()

    def prepare(self) -> None:
        """Load the model in spare time."""
        self.engine.prepare()
        self._tell_started()

    def new_session(self) -> int:
        """Return the number of a session for a request beside the clicks of a user."""
        return self._memory.new_session()

    def forget_missing(self) -> None:
        """Let go of volumes that have left the scene."""
        for identity in list(self._volumes):
            if self.scene.GetNodeByID(identity.node_id) is None:
                del self._volumes[identity]
                self.engine.forget(identity)

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
        write_segment(self._segment(target), target.limited(update), None, self._saver(target))

    # ---- answers

    @property
    def is_closed(self) -> bool:
        """Whether its engine has ended and will answer no more."""
        return self.engine.is_closed

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._jobs)

    def linger(self, seconds: float) -> None:
        """Wait a moment for an answer, so that the engine's thread gets to run Python.

        In Slicer the main thread holds Python's lock while it waits for events.
        """
        if self._jobs:
            wait(list(self._jobs), seconds, FIRST_COMPLETED)
        elif self.engine.idling:
            time.sleep(seconds)

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
        choice: ModelChoice | None = None,
    ) -> None:
        identity, volume = self.volume(target)
        chosen = choice or self.engine.choice
        place = Place(target.key, identity, chosen, before)
        chained = any(job.target.key == target.key for job in self._jobs.values())
        start = self._memory.chained(place) if chained else self._memory.start(target, place)
        request = ClickRequest(
            volume,
            identity,
            self._structure(target),
            before,
            after,
            start.present,
            start.session,
            start.continued,
        )
        future = self.engine.request(request, chosen)
        place = Place(target.key, identity, chosen, after)
        self._jobs[future] = Job(target, before, after, added, place, request, tries)
        self._tell_started()

    def _tell_started(self) -> None:
        for callback in self.started:
            callback()

    def _structure(self, target: EditTarget) -> Hashable:
        return (self._generation, *target.key)

    def volume(self, target: EditTarget) -> tuple[VolumeIdentity, Volume]:
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
