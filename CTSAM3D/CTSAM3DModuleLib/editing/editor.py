"""One segment under the hands of a user: its markers, its clicks, and what is told about it.

The panel of the module and the Segment Editor effect both work through this. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slicer.i18n import tr as _

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import ClickOutsideVolumeError, CTSAM3DError
from CTSAM3DLib.mrml import click_from_world_ras, scribble_from_world_ras
from CTSAM3DLib.mrml.frames import geometry_from_node
from CTSAM3DLib.prompts import ClickHistory, Prompt
from CTSAM3DModuleLib.editing.markers import ClickMarkers
from CTSAM3DModuleLib.editing.requests import Outcome, Requests
from CTSAM3DModuleLib.editing.strokes import Strokes
from CTSAM3DModuleLib.editing.target import EditTarget
from CTSAM3DModuleLib.editing.tidying import refinement
from CTSAM3DModuleLib.widgets import timer


@dataclass(frozen=True)
class Status:
    """One line for the user.

    Parameters
    ----------
    text : str
        In plain words.
    kind : str
        ``"idle"``, ``"busy"``, ``"done"`` or ``"error"``.
    seconds : float, optional
        Time of the last answer on the inference thread.
    device : str
        Where it was computed.
    """

    text: str = ""
    kind: str = "idle"
    seconds: float | None = None
    device: str = ""


class ClickEditor:
    """Edits one segment at a time by clicks.

    Parameters
    ----------
    controller : Requests
        Shared by all editors.
    on_status : callable
        Called with a `Status`.
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
        self.strokes = Strokes(controller.scene)
        self.markers = ClickMarkers(controller.scene, self._on_markers, self._refused)
        controller.finished.append(self._on_finished)

    @property
    def target(self) -> EditTarget | None:
        """What is edited; None for nothing."""
        return self._target

    def edit(self, target: EditTarget | None) -> None:
        """Turn to another segment; answers under way still reach the segment they belong to."""
        changed = target != self._target
        self._target = target
        self.refresh()
        if changed:
            self._say(Status())

    def refresh(self) -> None:
        """Show the clicks as they are now: after undo, redo, loading, or a change by others."""
        target = self._target
        if target is None or not target.exists(self.controller.scene):
            self.markers.hide()
            self.strokes.remove()
            return
        try:
            prompts = self.controller.prompts(target)
            self.markers.show(prompts, target.volume_node)
            self.strokes.show(prompts, target.volume_node)
        except CTSAM3DError as error:  # a tag that is not ours
            self.markers.hide()
            self.strokes.remove()
            self._refused(error)

    def refresh_later(self) -> None:
        """Refresh once the present event is over: some come in the middle of a change."""
        self._soon.start()

    def _refresh_now(self) -> None:
        if self._target is not None:
            self.refresh()

    def close(self) -> None:
        """Show nothing and hear nothing any more."""
        self._target = None
        self._soon.stop()
        self.markers.remove()
        self.strokes.remove()
        if self._on_finished in self.controller.finished:
            self.controller.finished.remove(self._on_finished)

    # ---- what the user does

    def click(self, position_world_ras: Sequence[float], positive: bool) -> bool:
        """Add a click at a point of the world (RAS, mm); False, with a status, if it is refused."""
        return self._try(
            lambda target: self._add(
                target, click_from_world_ras(position_world_ras, target.volume_node, positive)
            )
        )

    def scribble(self, line_world_ras: Sequence[Sequence[float]], positive: bool) -> bool:
        """Add a line through points of the world (N, 3) (RAS, mm); False if it is refused."""
        return self._try(
            lambda target: self._add(
                target, scribble_from_world_ras(line_world_ras, target.volume_node, positive)
            )
        )

    def remove_last(self) -> bool:
        """Take back the newest click."""
        return self._try(lambda target: self._put(target, self.controller.prompts(target)[:-1]))

    def remove(self, index: int) -> bool:
        """Take back one click of those that are shown."""
        left = self.markers.shown.removed(index)
        return self._try(lambda target: self._put(target, left))

    def clear(self) -> bool:
        """Take back all clicks."""
        return self._try(lambda target: self._put(target, ClickHistory()))

    def _add(self, target: EditTarget, prompt: Prompt) -> None:
        target.check_inside_roi(prompt)
        self._put(target, self.controller.prompts(target).added(prompt))

    def _put(self, target: EditTarget, prompts: ClickHistory) -> None:
        self.controller.put(target, prompts, self.choice)

    def refine(self, step: str, smoothing_mm: float) -> bool:
        """Tidy up the mask as one step of undo; see `tidying.refinement`."""
        return self._try(lambda target: self._refine(target, step, smoothing_mm))

    def _refine(self, target: EditTarget, step: str, smoothing_mm: float) -> None:
        geometry = geometry_from_node(target.volume_node)
        clicks = target.stored_prompts()
        self.controller.process(target, refinement(step, clicks, geometry, smoothing_mm))

    def hover(self, position_world_ras: Sequence[float]) -> None:
        """Prepare a click where the mouse rests."""
        if self._target is not None and self._target.exists(self.controller.scene):
            self.controller.warm_up(self._target, position_world_ras, self.choice)

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
            self.refresh()
            return False
        if self.controller.busy:
            self._say(Status(_("Segmenting ..."), "busy"))
        self.refresh()
        return True

    def _on_markers(self, clicks: ClickHistory) -> None:
        self._try(lambda target: self._put(target, clicks))

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
                self._say(Status(self._with_notices(""), "done"))
            return
        self.refresh()
        if outcome.error is not None:
            self._refused(outcome.error)
        elif outcome.partial:
            self._say(Status(_("Stopped; what was found so far is kept. Undo takes it back.")))
        elif self.controller.busy:
            self._say(Status(_("Segmenting ..."), "busy"))
        elif outcome.answer is None:
            self._say(Status(_("Cancelled; nothing was changed.")))
        else:
            self._say(self._done(outcome))

    def _done(self, outcome: Outcome) -> Status:
        answer = outcome.answer
        text = _("Points: {clicks}. Computed in {seconds:.2f} s on {device}.").format(
            clicks=len(outcome.prompts), seconds=answer.seconds, device=answer.device
        )
        if outcome.prompts and not outcome.prompts.has_positive and not outcome.target.has_voxels():
            text = _("Only points outside so far: click inside the structure, too.")
        return Status(self._with_notices(text), "done", answer.seconds, answer.device)

    def _with_notices(self, text: str) -> str:
        """Return a line with what the engine wants the user to know, once, before it."""
        notices, self._notices = self._notices, []
        return " ".join([*notices, text]).strip()

    def _refused(self, error: BaseException) -> None:
        if isinstance(error, ImportError):
            text = _("PyTorch is needed and not ready: see module CT-SAM3D, section PyTorch.")
        elif isinstance(error, ClickOutsideVolumeError) and "volume" in str(error):
            text = _("That point lies outside the CT. Click inside the image.")
        else:
            text = str(error)
        self._say(Status(text, "error"))

    def _say(self, status: Status) -> None:
        self.status = status
        self._on_status(status)
