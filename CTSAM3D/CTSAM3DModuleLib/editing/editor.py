"""One segment under the hands of a user: its markers, its clicks, and what is told about it.

The panel of the module and the Segment Editor effect both work through this. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml import click_from_world_ras, prompt_from_world_ras
from CTSAM3DLib.mrml.frames import geometry_from_node, world_from_volume
from CTSAM3DLib.prompts import Box, Lasso, Prompt, Prompts, Scribble
from CTSAM3DLib.session import Suggestion
from CTSAM3DLib.session.air import air_notices
from CTSAM3DModuleLib.editing.edit import Outcome
from CTSAM3DModuleLib.editing.markers import ClickMarkers
from CTSAM3DModuleLib.editing.questions import reason_text
from CTSAM3DModuleLib.editing.requests import Requests
from CTSAM3DModuleLib.editing.shapes import Shapes
from CTSAM3DModuleLib.editing.status import Status, refusal
from CTSAM3DModuleLib.editing.target import EditTarget
from CTSAM3DModuleLib.editing.tidying import refinement
from CTSAM3DModuleLib.widgets import Observed, timer


class ClickEditor:
    """Edits one segment at a time by prompts; `on_status` is called with each `Status`.

    The controller is shared by all editors.
    """

    def __init__(
        self, controller: Requests, on_status: Callable[[Status], object] = lambda _: None
    ) -> None:
        self.controller = controller
        self.choice = ModelChoice()
        self.status = Status()
        self._on_status = on_status
        self._target: EditTarget | None = None
        self._soon = timer(0, self._refresh_now, single=True)
        self._notices: list[str] = []  # not told yet
        self._in_air: tuple[str, ...] = ()  # told while the last prompts are answered
        self._told = Prompts()  # those that the status is about
        self._lines = 0  # how many were told
        self._volume = Observed(self.refresh_later)  # prompts move along with it
        self.shapes = Shapes(controller.scene)
        self.markers = ClickMarkers(controller.scene, self._on_markers, self._refused)
        controller.started.append(self.refresh)  # another editor may have asked
        controller.finished.append(self._on_finished)

    @property
    def target(self) -> EditTarget | None:
        """What is edited; None for nothing."""
        return self._target

    @property
    def next_choice(self) -> ModelChoice:
        """What answers the next prompt: the segment may have a model of its own."""
        target = self._target
        if target is None or not target.exists(self.controller.scene):
            return self.choice
        return target.own(self.choice)

    def edit(self, target: EditTarget | None) -> None:
        """Turn to another segment; answers under way still reach the segment they belong to."""
        changed = target != self._target
        self._target = target
        event = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self._volume.follow(None if target is None else target.volume_node, [event])
        self.refresh()
        if changed:
            self._say(Status())

    def refresh(self) -> None:
        """Show the clicks as they are now: after undo, redo, loading, or a change by others."""
        target = self._target
        if target is None or not target.exists(self.controller.scene):
            self.markers.hide()
            self.shapes.remove()
            return
        try:
            prompts = self.controller.prompts(target)
            self.markers.show(prompts, target.volume_node)
            self.shapes.show(prompts, target.volume_node)
        except CTSAM3DError as error:  # a tag that is not ours
            self.markers.hide()
            self.shapes.remove()
            self._refused(error)

    def refresh_later(self) -> None:
        """Refresh once the present event is over: some come in the middle of a change."""
        self._soon.start()

    def _refresh_now(self) -> None:
        if self._target is None:
            return
        self.refresh()
        count = len(self.markers.shown)
        if self.status.kind in ("done", "warning") and self.markers.shown != self._told:  # undone
            text = _("Prompts: {clicks}.").format(clicks=count) if count else ""
            self._say(Status(text, "done"))

    def close(self) -> None:
        """Show nothing and hear nothing any more."""
        self._target = None
        self._volume.follow(None)
        self._soon.stop()
        self.markers.remove()
        self.shapes.remove()
        if self._on_finished in self.controller.finished:
            self.controller.started.remove(self.refresh)
            self.controller.finished.remove(self._on_finished)

    # ---- what the user does

    def click(self, position_world_ras: Sequence[float], positive: bool) -> bool:
        """Add a click at a point of the world (RAS, mm); False, with a status, if it is refused."""
        return self._try(
            lambda target: self._add(
                target, click_from_world_ras(position_world_ras, target.volume_node, positive)
            )
        )

    def draw(self, kind: str, corners_world_ras: Sequence[Sequence[float]], positive: bool) -> bool:
        """Add what was drawn in a slice; False, with a status, if it is refused.

        Of `kind`, a ``"scribble"`` is a line, a ``"lasso"`` a closed curve and a ``"box"`` a
        rectangle, which becomes a box as deep as its longer side. The corners (N, 3) are in order,
        world RAS, mm.
        """
        shape = {"scribble": Scribble, "lasso": Lasso, "box": Box.of_rectangle}[kind]

        def action(target: EditTarget) -> None:
            drawn = shape([tuple(corner) for corner in corners_world_ras], positive)
            self._add(target, prompt_from_world_ras(drawn, target.volume_node))

        return self._try(action)

    def remove_last(self) -> bool:
        """Take back the newest click."""
        return self._try(lambda target: self._put(target, self.controller.prompts(target)[:-1]))

    def take_back(self) -> bool:
        """Take back the newest edit of the segmentation that is awaited; False for none."""
        return self._target is not None and self.controller.take_back(
            self._target.segmentation_node
        )

    def prompt_at(self, slice_node: Any, render_window: Any, xy: Iterable[int]) -> int | None:
        """Return the number of the prompt that is meant at a pixel of a slice view, None for none.

        A point goes before a shape; see `ClickMarkers.nearest` and `Shapes.nearest`.
        """
        index = self.markers.nearest(slice_node, render_window, xy)
        if index is not None:
            return index
        shape = self.shapes.nearest(slice_node, render_window, xy)
        return None if shape is None else list(self.markers.shown).index(shape)

    def remove(self, index: int) -> bool:
        """Take back one prompt of those that are shown."""
        left = self.markers.shown.removed(index)
        return self._try(lambda target: self._put(target, left))

    def clear(self) -> bool:
        """Take back all clicks."""
        return self._try(lambda target: self._put(target, Prompts()))

    def _add(self, target: EditTarget, prompt: Prompt) -> None:
        target.check_limits(prompt)
        self._put(target, self.controller.prompts(target).added(prompt))

    def _put(self, target: EditTarget, prompts: Prompts) -> None:
        before = set(self.controller.prompts(target))
        elsewhere = len(target.prompts_elsewhere()) if prompts and not before else 0
        self.controller.put(target, prompts, self.choice)
        if elsewhere:
            text = _("Prompts on another volume ({count}) are replaced; Undo brings them back.")
            self._notices.append(text.format(count=elsewhere))
        volume = self.controller.volumes.get(target.volume_node)[1]
        self._in_air = air_notices(volume, [one for one in prompts if one not in before])

    def _say_busy(self) -> None:
        self._say(Status(" ".join([*self._in_air, _("Segmenting ...")]), "busy"))

    def refine(self, step: str, smoothing_mm: float) -> bool:
        """Tidy up the mask as one step of undo, see `tidying.refinement`; False if it stays."""
        changed = False

        def action(target: EditTarget) -> None:
            nonlocal changed
            geometry = geometry_from_node(target.volume_node)
            function = refinement(step, target.stored_prompts(), geometry, smoothing_mm)
            changed = self.controller.process(target, function)
            if not changed:
                self._say(Status(_("There is nothing to tidy up; nothing was changed.")))

        self._try(action)
        return changed

    def hover(self, position_world_ras: Sequence[float]) -> None:
        """Prepare a click where the mouse rests."""
        target, controller = self._target, self.controller
        if target is not None and target.exists(controller.scene) and not controller.busy:
            controller.questions.warm_up(target, position_world_ras, self.choice)

    def where_next(self, text: str = "") -> bool:
        """Take the slice views to the place where a further prompt helps most, and say why.

        `text` is said before; with it the first prompt is shown where there is no such place.
        """

        def action(target: EditTarget) -> None:
            if self.controller.busy:
                self._say(Status(_("Wait for the result first."), "busy"))
                return
            lines = self._lines
            self.controller.questions.where_next(
                target, self.choice, lambda future: self._on_place(target, text, lines, future)
            )

        return self._try(action)

    def _on_place(
        self, target: EditTarget, text: str, lines: int, future: Future[Suggestion | None]
    ) -> None:
        if future.cancelled() or target != self._target or self.controller.busy:
            return
        if lines != self._lines:  # the user has gone on to something else
            return
        if future.exception() is not None:
            self._refused(future.exception())
            return
        found = future.result()
        if found is None and not text:
            self._say(Status(_("Nothing is segmented yet: click inside the structure.")))
            return
        if found is None:
            self.go_to(target.stored_prompts()[0].anchor_ras)
        else:
            self.go_to(found.position_ras)
            text = f"{text} {reason_text(found.reason)}".strip()
        self._say(Status(text, "done"))

    def go_to(self, position_ras: Sequence[float]) -> None:
        """Show a point of the volume (RAS, mm) in the middle of all slice views."""
        if self._target is not None:
            world_ras = world_from_volume(position_ras, self._target.volume_node)
            slices = slicer.vtkMRMLSliceNode
            slices.JumpAllSlices(
                self.controller.scene, *world_ras.tolist(), slices.CenteredJumpSlice
            )

    # ---- what comes back

    def _try(self, action: Callable[[EditTarget], object]) -> bool:
        target = self._target
        if target is None or not target.exists(self.controller.scene):
            self._say(Status(_("Choose a volume and a segment first."), "error"))
            return False
        try:
            action(target)
        except CTSAM3DError as error:
            self._refused(error)
            self.refresh_later()  # not now: the views may still be busy with a point
            return False
        if self.controller.busy:
            self._say_busy()
        self.refresh()
        return True

    def _on_markers(self, prompts: Prompts) -> None:
        def action(target: EditTarget) -> None:
            before = self.controller.prompts(target)
            for prompt in prompts:
                if prompt not in before:  # placed or dragged
                    target.check_limits(prompt)
            self._put(target, prompts)

        self._try(action)

    def _on_finished(self, outcome: Outcome) -> None:
        target = self._target
        if outcome.anew:  # the panel tells of these
            if target is not None and outcome.target.key == target.key:
                self.refresh()
            return
        if outcome.answer is not None:
            self._notices += outcome.answer.notices
        if target is None or outcome.target.key != target.key:
            if self._notices and not self.controller.busy:
                self._say(Status(self._with_notices(""), "warning"))
            return
        self.refresh()
        if outcome.error is not None:
            self._refused(outcome.error)
        elif outcome.partial:
            self._say(Status(_("Stopped; what was found so far is kept. Undo takes it back.")))
        elif self.controller.busy:
            self._in_air = () if outcome.answer is None else self._in_air
            self._say_busy()
        elif outcome.answer is None:
            self._say(Status(_("Cancelled; nothing was changed.")))
        else:
            self._say(self._done(outcome))

    def _done(self, outcome: Outcome) -> Status:
        answer = outcome.answer
        text = _("Prompts: {clicks}. Computed in {seconds:.2f} s on {device}.").format(
            clicks=len(outcome.prompts), seconds=answer.seconds, device=answer.device
        )
        if outcome.prompts and not outcome.prompts.has_positive and not outcome.target.has_voxels():
            text = _("Only points outside so far: click inside the structure, too.")
        if answer.cuts:  # of the last answer alone; both together are too long for the label
            self._notices += answer.cuts
            text = ""
        kind = "warning" if self._notices else "done"
        return Status(self._with_notices(text), kind)

    def _with_notices(self, text: str) -> str:
        """Return a line with what the engine wants the user to know, once, before it."""
        notices, self._notices = self._notices, []
        return " ".join([*notices, text]).strip()

    def _refused(self, error: BaseException) -> None:
        self._say(refusal(error))

    def keep_line(self) -> None:
        """Have no answer under way replace the line of state: others have told a newer one."""
        self._lines += 1

    def _say(self, status: Status) -> None:
        self.keep_line()
        self.status, self._told = status, self.markers.shown
        self._on_status(status)
