"""What has come of structures that are computed again from their points. Main thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from slicer.i18n import tr as _

from CTSAM3DLib.mrml.frames import text_of
from CTSAM3DModuleLib.editing.edit import Outcome
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.editing.target import EditTarget


class Progress:
    """Counts the structures of one run, in the order of computing, and reports on them.

    `blocks` is why nothing can be edited meanwhile; empty if it can.
    """

    blocks = ""

    def __init__(self, targets: Iterable[EditTarget] = ()) -> None:
        self._waiting = {target.key: _name(target) for target in targets}
        self.total = len(self._waiting)
        self._computed = 0
        self._seconds = 0.0
        self._device = ""
        self._notices: list[str] = []
        self._problems: list[str] = []

    @property
    def busy(self) -> bool:
        """Whether structures are awaited."""
        return bool(self._waiting)

    def is_of(self, segmentation_node: Any) -> bool:
        """Tell whether structures of a segmentation are awaited."""
        return any(key[0] == segmentation_node.GetID() for key in self._waiting)

    @property
    def done(self) -> int:
        """How many have ended, well or not."""
        return self.total - len(self._waiting)

    def fail(self, target: EditTarget, error: BaseException) -> None:
        """Note that a structure could not be asked for."""
        self._problems.append(f"{self._waiting.pop(target.key)}: {error}")

    def note(self, outcome: Outcome) -> bool:
        """Note how a structure has ended; False if it is none of this run."""
        if not outcome.anew or outcome.target.key not in self._waiting:
            return False
        if outcome.error is not None:
            self.fail(outcome.target, outcome.error)
            return True
        name = self._waiting.pop(outcome.target.key)
        if outcome.answer is None:
            self._problems.append(_("{name} was changed meanwhile").format(name=name))
        else:
            self._computed += 1
            of = f"{name}: " if self.total > 1 else ""
            self._notices += [of + text for text in (*outcome.answer.notices, *outcome.answer.cuts)]
            self._seconds += outcome.answer.seconds
            self._device = outcome.answer.device
        return True

    def report(self) -> Status:
        """Return a line for the user: what is under way, or what has come of it."""
        if self._waiting:
            text = _("Segmenting {name} ({number} of {total}) ...").format(
                name=next(iter(self._waiting.values())), number=self.done + 1, total=self.total
            )
            return Status(text, "busy")
        if self._problems:
            return Status("\n".join([*self._notices, *self._problems]), "error")
        text = _("Structures: {total}. Computed in {seconds:.2f} s on {device}.").format(
            total=self.total, seconds=self._seconds, device=self._device
        )
        kind = "warning" if self._notices else "done"
        return Status(" ".join([*self._notices, text]), kind)

    def cancelled(self) -> Status:
        """Return a line for the user when what is awaited is taken back."""
        if not self._computed:
            return Status(_("Cancelled; nothing was changed."))
        text = _("Cancelled; {number} of {total} structures are computed, the others stay.")
        return Status(text.format(number=self._computed, total=self.total))


class QuestionProgress(Progress):
    """Asks the engine several questions: `ask`; after the last answer `finish` shows them."""

    def __init__(self, work: Any, targets: Iterable[EditTarget] = ()) -> None:
        super().__init__(targets)
        self._work = work

    def on_answer(self, future: Future[Any] | None, note: Callable[[Any], object]) -> None:
        """Have an answer noted; one that failed or was cancelled ends the others, too."""
        if self._work.progress is not self:  # the panel was left, or an answer before failed
            return
        if future is None or future.cancelled():
            self._work.end(self.cancelled())
        elif future.exception() is not None:
            self._work.end(Status(str(future.exception()), "error"))
        else:
            note(future.result())
            if self.busy:
                self._work.tell(self.report())
            else:
                self.finish()


def _name(target: EditTarget) -> str:
    segmentation = target.segmentation_node.GetSegmentation()
    return text_of(segmentation.GetSegment(target.segment_id).GetName())
