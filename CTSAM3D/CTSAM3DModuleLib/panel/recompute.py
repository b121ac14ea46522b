"""Computing structures again from their points, with another model or device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from slicer.i18n import tr as _

from CTSAM3DLib.engine.engine import ClickAnswer, ClickRequest
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml import VolumeIdentity, volume_identity
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DModuleLib.editing.editor import Status
from CTSAM3DModuleLib.editing.requests import ClickController
from CTSAM3DModuleLib.editing.target import EditTarget

_SESSION = "computed again"


@dataclass(frozen=True, eq=False)
class _Job:
    """A structure under way."""

    target: EditTarget
    clicks: ClickHistory
    identity: VolumeIdentity
    future: Future[ClickAnswer]


@dataclass
class Recomputer:
    """Replaces masks by what the points alone give, one structure after the other.

    Each is one step of undo. Main thread only; `poll` does the work and is called by a timer.

    Parameters
    ----------
    controller : ClickController
        Its engine computes, its undo is used.
    """

    controller: ClickController
    total: int = 0
    done: int = 0
    seconds: float = 0.0
    device: str = ""
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    _waiting: deque[EditTarget] = field(default_factory=deque)
    _job: _Job | None = None

    @property
    def busy(self) -> bool:
        """Whether structures are waiting or under way."""
        return self._job is not None or bool(self._waiting)

    def start(self, targets: Iterable[EditTarget]) -> None:
        """Begin with the structures; those of a run under way are forgotten."""
        self.cancel()
        self._waiting.extend(targets)
        self.total, self.done, self.seconds = len(self._waiting), 0, 0.0
        self.problems, self.notices = [], []
        self._next()

    def cancel(self) -> None:
        """Take back what is waiting; what is written stays."""
        if self.busy:
            self._waiting.clear()
            self._job = None
            self.controller.engine.cancel()

    def poll(self) -> bool:
        """Write an answer that has come and ask for the next; True if one has come."""
        job = self._job
        if job is None or not job.future.done():
            return False
        self._job = None
        self.controller.drain()  # so that the engine knows that it was fetched
        try:
            self._finish(job)
        except CancelledError:
            self._waiting.clear()
        except (CTSAM3DError, ImportError) as error:
            self._blame(job.target, error)
        self.done += 1
        self._next()
        return True

    def report(self) -> Status:
        """Return a line for the user: what is under way, or what has come of it."""
        if self._job is not None:
            text = _("Segmenting {name} ({number} of {total}) ...").format(
                name=_name(self._job.target), number=self.done + 1, total=self.total
            )
            return Status(text, "busy")
        if self.problems:
            return Status("\n".join([*self.notices, *self.problems]), "error")
        text = _("Structures: {total}. Computed in {seconds:.2f} s on {device}.").format(
            total=self.total, seconds=self.seconds, device=self.device
        )
        text = " ".join([*self.notices, text])
        return Status(text, "done", self.seconds, self.device)

    def _next(self) -> None:
        while self._waiting and self._job is None:
            target = self._waiting.popleft()
            try:
                self._job = self._ask(target)
            except CTSAM3DError as error:
                self._blame(target, error)
                self.done += 1

    def _ask(self, target: EditTarget) -> _Job:
        target.check()
        clicks = self.controller.clicks(target)
        identity, volume = self.controller.volume(target)
        nothing, number = ClickHistory(), self.controller.new_session()
        request = ClickRequest(volume, identity, _SESSION, nothing, clicks, session=number)
        return _Job(target, clicks, identity, self.controller.engine.request(request))

    def _finish(self, job: _Job) -> None:
        target = job.target
        answer = job.future.result()
        self.notices += answer.notices
        if (
            not target.exists(self.controller.scene)
            or volume_identity(target.volume_node) != job.identity
            or self.controller.clicks(target) != job.clicks
        ):
            self.problems.append(_("{name} was changed meanwhile").format(name=_name(target)))
            return
        self.controller.process(target, lambda _old: answer.update)
        self.seconds += answer.seconds
        self.device = answer.device

    def _blame(self, target: EditTarget, error: BaseException) -> None:
        self.problems.append(f"{_name(target)}: {error}")


def _name(target: EditTarget) -> str:
    segment = target.segmentation_node.GetSegmentation().GetSegment(target.segment_id)
    return segment.GetName() if segment is not None else target.segment_id
