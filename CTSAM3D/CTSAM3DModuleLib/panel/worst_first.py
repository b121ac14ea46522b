"""Structures in the order in which they should be corrected: the least sure ones first."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from CTSAM3DLib.prompts import Prompts
from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.panel.progress import QuestionProgress
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.widgets import Connections


class WorstFirst:
    """A button that goes to the least sure structure, and at each further press to the next one."""

    def __init__(self, ui: Any, connections: Connections, workplace: Workplace) -> None:
        self._work = workplace
        self._known: dict[str, tuple[Any, float | None]] = {}  # of which state, how much
        self._visited: list[str] = []
        self._segmentation: Any = None
        self._button = connections.button(ui.worstButton, self._on_press)

    def show(self) -> None:
        """Show what holds now."""
        work = self._work
        if work.nodes.segmentation not in (None, self._segmentation):
            self._segmentation, self._known, self._visited = work.nodes.segmentation, {}, []
        self._button.allow(work.reason or work.nodes.clicks_reason or work.waiting_reason)

    def uncertainty(self, segment_id: str, prompts: Prompts) -> float | None:
        """Return how unsure the model is of a structure, None if that is not known."""
        state, uncertainty = self._known.get(segment_id, (None, None))
        return uncertainty if state is not None and state[1] == prompts else None

    # ---- inside

    def _on_press(self) -> None:
        nodes = self._work.nodes
        states = {one: self._state(one) for one in nodes.with_clicks()}
        self._known = {
            one: known for one, known in self._known.items() if states.get(one) == known[0]
        }
        missing = {one: state for one, state in states.items() if one not in self._known}
        if not missing:
            self._go_on()
            return
        self._work.begin(lambda: Asking(self._work, missing, self._known, self._go_on))

    def _state(self, segment_id: str) -> tuple[Any, ...]:
        """Return what tells whether a structure is as it was."""
        target = self._work.nodes.target(segment_id)
        choice = target.own(self._work.editor.choice)
        return (target.key, target.stored_prompts(), target.digest(), choice)

    def _go_on(self) -> None:
        """Go to the least sure structure that was not visited yet."""
        work = self._work
        order = sorted(
            (one for one in work.nodes.with_clicks() if one in self._known),
            key=lambda one: -(self._known[one][1] or 0.0),
        )
        if not order or work.reason:  # structures or the volume were taken away meanwhile
            return
        left = [one for one in order if one not in self._visited]
        if not left:
            self._visited, left = [], order
        worst = left[0]
        self._visited.append(worst)
        work.select(worst)
        text = _("{name}: uncertainty {value:.2f} ({number} of {total}).").format(
            name=work.nodes.segment_name(worst),
            value=self._known[worst][1] or 0.0,
            number=order.index(worst) + 1,
            total=len(order),
        )
        work.editor.where_next(text)


class Asking(QuestionProgress):
    """Asks how unsure the model is of structures, and notes it; the scene stays as it is.

    `states` holds what tells whether each structure has changed; `known` gets state and uncertainty
    of each; `go_on` is called without arguments once all are known.
    """

    def __init__(
        self, work: Workplace, states: dict[str, tuple[Any, ...]], known: dict[str, Any], go_on: Any
    ) -> None:
        super().__init__(work, [work.nodes.target(one) for one in states])
        self._states, self._noted, self._go_on = states, known, go_on

    def ask(self) -> None:
        """Ask for all of them."""
        for one in self._states:
            self._work.logic.controller.questions.uncertainty(
                self._work.nodes.target(one),
                self._work.editor.choice,
                lambda future, one=one: self.on_answer(
                    future, lambda uncertainty: self._note(one, uncertainty)
                ),
            )

    def report(self) -> Status:
        """Return a line for the user: what is under way."""
        text = _("Looking at {name} ({number} of {total}) ...").format(
            name=next(iter(self._waiting.values())), number=self.done + 1, total=self.total
        )
        return Status(text, "busy")

    def finish(self) -> None:
        """Go on with all of them."""
        self._work.end(Status())
        self._go_on()

    def _note(self, one: str, uncertainty: float | None) -> None:
        self._noted[one] = (self._states[one], uncertainty)
        self._waiting.pop(self._states[one][0])
