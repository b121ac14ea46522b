"""What the engine is asked besides edits: no answer is written. Main thread only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from slicer.i18n import tr as _

from CTSAM3DLib.engine import ClickAnswer, ClickRequest, ModelChoice, SegmentationEngine
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml import click_from_world_ras
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session import Suggestion
from CTSAM3DLib.session.where_next import LOOSE_PART, UNCLOSED_FACE, UNSURE_BORDER
from CTSAM3DModuleLib.editing.edit import Outcomes
from CTSAM3DModuleLib.editing.fingerprints import Fingerprints, Series
from CTSAM3DModuleLib.editing.target import EditTarget
from CTSAM3DModuleLib.editing.volumes import Volumes


class Questions:
    """Asks `engine`, which is to be set, and keeps who wants to know.

    The fingerprints know which masks were changed by others; the outcomes keep the errors of those
    who are answered.
    """

    engine: SegmentationEngine

    def __init__(self, volumes: Volumes, fingerprints: Fingerprints, outcomes: Outcomes) -> None:
        self._volumes, self._fingerprints, self._outcomes = volumes, fingerprints, outcomes
        self._asked: dict[Future[Any], Callable[[Future[Any]], object]] = {}
        self._awaited: dict[Future[Any], Callable[[Future[Any] | None], object]] = {}

    @property
    def awaited(self) -> list[Future[Any]]:
        """Those that a user waits for."""
        return list(self._awaited)

    def warm_up(
        self, target: EditTarget, position_world_ras: Sequence[float], choice: ModelChoice
    ) -> None:
        """Prepare a click at a position in spare time; a position outside is ignored."""
        try:
            click = click_from_world_ras(position_world_ras, target.volume_node)
            identity, volume = self._volumes.get(target.volume_node)
        except CTSAM3DError:
            return
        nothing = Prompts()
        own = target.own(choice)
        request = ClickRequest(volume, identity, target.key, nothing, nothing, own)
        self.engine.warm_up(request, click)

    def where_next(
        self,
        target: EditTarget,
        choice: ModelChoice,
        on_answer: Callable[[Future[Suggestion | None]], object],
    ) -> None:
        """Ask where a further prompt helps most; `on_answer` gets the future when it is done.

        Raises NodeError, VolumeError as `Requests.put`.
        """
        self._asked[self.engine.where_next(self._present(target, choice))] = on_answer

    def uncertainty(
        self,
        target: EditTarget,
        choice: ModelChoice,
        on_answer: Callable[[Future[float | None] | None], object],
    ) -> None:
        """Ask how unsure the model is of a segment; the user waits for it.

        `on_answer` gets the future when it is done, or None once it was cancelled. Raises
        NodeError, VolumeError as `Requests.put`.
        """
        self._awaited[self.engine.uncertainty(self._present(target, choice))] = on_answer

    def carry(
        self, request: ClickRequest, on_answer: Callable[[Future[ClickAnswer] | None], object]
    ) -> None:
        """Ask for a structure in the next frame, see `SegmentationEngine.carry`.

        For `on_answer` see `uncertainty`.
        """
        self._awaited[self.engine.carry(request)] = on_answer

    def answer(self, future: object) -> None:
        """Pass an answer on, if it is one to a question."""
        for asked in (self._asked, self._awaited):
            if future in asked:
                self._outcomes.guard(asked.pop(future), future)

    def cancel(self) -> None:
        """Take back all questions; edits go on."""
        awaited, self._awaited = self._awaited, {}
        for future in (*awaited, *self._asked):
            future.cancel()
        self._asked = {}
        for on_answer in awaited.values():
            self._outcomes.guard(on_answer, None)

    def clear(self) -> None:
        """Forget who wanted to know."""
        self._asked, self._awaited = {}, {}

    def _present(self, target: EditTarget, choice: ModelChoice) -> ClickRequest:
        """Return a request for what a segment is now."""
        target.check()
        prompts, choice = target.stored_prompts(), target.own(choice)
        identity, volume = self._volumes.get(target.volume_node)
        series = Series(identity, choice, self.engine.generation(choice))
        mask = self._fingerprints.present_mask(target, series, prompts)
        return ClickRequest(volume, identity, target.key, prompts, prompts, choice, mask)


def reason_text(reason: str) -> str:
    """Return what to do at a place, by the reason of a `Suggestion`."""
    return {
        UNSURE_BORDER: _("Unsure border: click in the middle, inside or outside."),
        UNCLOSED_FACE: _("Unclosed face: the structure may go on here. Click inside if it does."),
        LOOSE_PART: _("Loose part: click outside if it does not belong to the structure."),
    }[reason]
