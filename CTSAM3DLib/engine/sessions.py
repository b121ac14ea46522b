"""The sessions that the engine's thread keeps; used by no other thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from CTSAM3DLib.engine.messages import ClickAnswer, ClickProgress, ClickRequest, ModelChoice
from CTSAM3DLib.errors import NotEnoughMemoryError
from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.models.contract import Predictor, notices_of
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.air import air_notices
from CTSAM3DLib.session.cuts import cut_notices
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.memory import memory_error, memory_warning
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import MASK_BLOCK, SessionState
from CTSAM3DLib.session.where_next import Suggestion

Structure = tuple[Hashable, Hashable]
"""Volume and structure."""


@dataclass(eq=False)
class Sessions:
    """One model, the image embeddings of volumes, and one session a structure."""

    load_predictor: Callable[[str | Path | None, str], Predictor]
    _predictors: dict[tuple[str | Path | None, str], Predictor] = field(default_factory=dict)
    _encoders: dict[tuple[Hashable, float | None], PatchEncoder] = field(default_factory=dict)
    _structures: dict[Structure, tuple[ModelChoice, InteractiveSession]] = field(
        default_factory=dict
    )
    _notices: list[str] = field(default_factory=list)

    def predictor(self, choice: ModelChoice) -> Predictor:
        """Return the model of a choice; the one before is dropped with all its sessions."""
        key = (choice.model, choice.device)
        if key not in self._predictors:
            predictor = self.load_predictor(*key)
            self.forget_models()
            self._predictors[key] = predictor
        return self._predictors[key]

    def answer(
        self,
        request: ClickRequest,
        cancelled: Callable[[], bool],
        post: Callable[[ClickProgress], None],
    ) -> ClickAnswer:
        """Bring the session of a structure from the prompts before to those after."""
        started = perf_counter()
        with _memory_errors_named():
            session = self._taken(request)
            session.cancelled, session.on_patch = cancelled, None
            if session.grow is GrowMode.AUTO:  # what is not followed now is after the next prompt
                session.cancelled = lambda: cancelled() or request.hurry.is_set()
            try:
                _bring_to_present(session, request)
                reporter = _Reporter(request, session.state, post)
                session.on_patch = reporter if request.in_parts else None
                session.set_prompts(request.prompts_after)
            finally:
                if not cancelled():  # else the state may be less than what its prompts give
                    self._structures[_key(request)] = (request.choice, session)
            update = session.state.changes_since(reporter.shown)
        before = set(request.prompts_before)
        added = [prompt for prompt in request.prompts_after if prompt not in before]
        self._notices += air_notices(request.volume, added)
        cuts = cut_notices(session.state, request.limit)
        return self._answer(session, update, started, cuts)

    def carry(self, request: ClickRequest, cancelled: Callable[[], bool]) -> ClickAnswer:
        """Answer the prompts after, with the present mask as that of the frame before.

        Raises CancelledError once `cancelled`: a part of a mask is no answer.
        """
        started = perf_counter()
        with _memory_errors_named():
            session = InteractiveSession(self._encoder(request))
            session.cancelled = cancelled
            update = session.carry(request.prompts_after, request.present or MaskUpdate.nothing())
        if cancelled():
            raise CancelledError
        return self._answer(session, update, started, cut_notices(session.state))

    def _answer(
        self,
        session: InteractiveSession,
        update: MaskUpdate,
        started: float,
        cuts: tuple[str, ...],
    ) -> ClickAnswer:
        seconds = perf_counter() - started
        predictor = session.predictor
        notices = (*self._notices, *notices_of(predictor))
        self._notices.clear()
        return ClickAnswer(update, seconds, session.timings_ms, predictor.device, notices, cuts)

    def where_next(self, request: ClickRequest) -> Suggestion | None:
        """Return where a further prompt helps most after `prompts_before` of a request."""
        return self._present(request).where_next()

    def uncertainty(self, request: ClickRequest) -> float | None:
        """Return how unsure the model is of the mask after `prompts_before` of a request."""
        with _memory_errors_named():
            return self._present(request).uncertainty

    def warm_up(self, request: ClickRequest, click: Click) -> None:
        """Encode the patch of a click."""
        encoder = self._encoder(request)
        choice, session = self._structures.get(_key(request), (None, None))
        if session is None or choice != request.choice:
            session = InteractiveSession(encoder)
        session.warm_up(click.position_ras)

    def forget_models(self) -> None:
        """Drop the model and all that it has computed."""
        self._predictors, self._encoders, self._structures = {}, {}, {}

    def forget(self, volume_key: Hashable) -> None:
        """Drop the sessions of a volume."""
        self._encoders = {k: v for k, v in self._encoders.items() if k[0] != volume_key}
        self._structures = {k: v for k, v in self._structures.items() if k[0] != volume_key}

    def _taken(self, request: ClickRequest) -> InteractiveSession:
        """Take out the session of a structure, or open one."""
        encoder = self._encoder(request)
        choice, session = self._structures.pop(_key(request), (None, None))
        starts_empty = request.present is None and not request.prompts_before
        if session is None or choice != request.choice or starts_empty:
            return InteractiveSession(encoder, grow=request.choice.grow)
        return session

    def _present(self, request: ClickRequest) -> InteractiveSession:
        """Bring the session of a structure to the prompts before and the present mask."""
        session = self._taken(request)
        session.cancelled = session.on_patch = None
        _bring_to_present(session, request)
        self._structures[_key(request)] = (request.choice, session)
        return session

    def _encoder(self, request: ClickRequest) -> PatchEncoder:
        """Return the encoder whose image embeddings all structures share."""
        choice = request.choice
        predictor = self.predictor(choice)
        key = (request.volume_key, choice.spacing_mm)
        if key not in self._encoders:
            grow = bool(GrowMode.of(choice.grow))
            warning = memory_warning(request.volume, predictor, choice.spacing_mm, grow)
            if warning is not None:
                self._notices.append(warning)
            usual = InteractiveSession.for_volume(request.volume, predictor, choice.spacing_mm)
            self._encoders[key] = usual.encoder
        return self._encoders[key].for_anatomy(choice.anatomy)


@contextmanager
def _memory_errors_named() -> Iterator[None]:
    """Turn errors of memory into one that says what to do."""
    try:
        yield
    except NotEnoughMemoryError:
        raise
    except MemoryError as error:
        raise memory_error(error) from error


def _key(request: ClickRequest) -> Structure:
    return (request.volume_key, request.structure_key)


@dataclass(eq=False)
class _Reporter:
    """Posts what each patch has changed."""

    request: ClickRequest
    shown: SessionState
    post: Callable[[ClickProgress], None]

    def __call__(self, state: SessionState) -> None:
        """Post the change since the last call."""
        self.post(ClickProgress(self.request, state.changes_since(self.shown)))
        self.shown = state


def _bring_to_present(session: InteractiveSession, request: ClickRequest) -> None:
    """Go to the prompts before; to the present mask only if they do not give it themselves."""
    session.set_prompts(request.prompts_before)
    present = request.present
    if present is not None and _differs(present, session.state):
        session.rebase(request.prompts_before, present)


def _differs(present: MaskUpdate, state: SessionState) -> bool:
    """Tell whether a mask is another one than that of a state."""
    empty = BlockArray(state.mask.shape_kji, np.bool_, False, MASK_BLOCK)
    return not empty.written(present.bbox, present.mask_kji).changed_box(state.mask).is_empty
