"""The sessions that the engine's thread keeps; used by no other thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from CTSAM3DLib.engine.messages import (
    ClickAnswer,
    ClickProgress,
    ClickRequest,
    ModelChoice,
    StaleSessionError,
)
from CTSAM3DLib.errors import NotEnoughMemoryError
from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.models.contract import Predictor, notices_of
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.memory import memory_error, memory_warning
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import MASK_BLOCK, SessionState

Structure = tuple[Hashable, ModelChoice, Hashable]
"""Key of a session: volume, choice, structure."""


@dataclass(eq=False)
class Sessions:
    """Models, image embeddings and structures.

    Parameters
    ----------
    load_predictor : callable
        From model and device to a `Predictor`.
    """

    load_predictor: Callable[[str | Path | None, str], Predictor]
    _predictors: dict[tuple[str | Path | None, str], Predictor] = field(default_factory=dict)
    _roots: dict[tuple[Hashable, float | None], InteractiveSession] = field(default_factory=dict)
    _structures: dict[Structure, tuple[int, InteractiveSession]] = field(default_factory=dict)
    _notices: list[str] = field(default_factory=list)

    def predictor(self, choice: ModelChoice) -> Predictor:
        """Return the model of a choice; the one used before is let go."""
        key = (choice.model, choice.device)
        if key not in self._predictors:
            predictor = self.load_predictor(*key)
            self._predictors = {key: predictor}
            self._roots, self._structures = {}, {}
        return self._predictors[key]

    def root(self, request: ClickRequest, choice: ModelChoice) -> InteractiveSession:
        """Return the session without clicks whose image embeddings all structures share."""
        predictor = self.predictor(choice)
        key = (request.volume_key, choice.spacing_mm)
        if key not in self._roots:
            self._check_memory(request, choice, predictor)
            self._roots[key] = InteractiveSession.for_volume(
                request.volume, predictor, choice.spacing_mm
            )
        return self._roots[key]

    def session(self, request: ClickRequest, choice: ModelChoice) -> InteractiveSession:
        """Take out the session of a structure, with its state that of the clicks before."""
        root = self.root(request, choice)
        number, session = self._structures.pop(_structure(request, choice), (None, None))
        if number != request.session or (request.present is None and not request.continued):
            number, session = None, None
        if session is None and request.continued:
            message = f"expected session {request.session} of the structure, got none"
            raise StaleSessionError(message)
        if session is None:
            session = InteractiveSession(root.encoder, grow=choice.grow)
        if request.present is None:
            session.set_clicks(request.before)
        else:
            _align(session, request.before, request.present)
        return session

    def answer(
        self,
        request: ClickRequest,
        choice: ModelChoice,
        cancelled: Callable[[], bool],
        post: Callable[[ClickProgress], None],
    ) -> ClickAnswer:
        """Bring the session of a structure from the clicks before to those after."""
        try:
            return self._answer(request, choice, cancelled, post)
        except NotEnoughMemoryError:
            raise
        except MemoryError as error:
            raise memory_error(error) from error

    def _answer(
        self,
        request: ClickRequest,
        choice: ModelChoice,
        cancelled: Callable[[], bool],
        post: Callable[[ClickProgress], None],
    ) -> ClickAnswer:
        started = perf_counter()
        session = self.session(request, choice)
        session.cancelled = cancelled
        session.on_patch = _Reporter(request, session.state, post)
        try:
            update = session.set_clicks(request.after)
        finally:
            if not cancelled():  # else the state may be less than what its clicks stand for
                self._structures[_structure(request, choice)] = (request.session, session)
        if request.present is not None:
            update = _difference(request.present, session)
        seconds = perf_counter() - started
        predictor = session.predictor
        notices = (*self._notices, *notices_of(predictor))
        self._notices.clear()
        return ClickAnswer(update, seconds, session.timings_ms, predictor.device, notices)

    def _check_memory(
        self, request: ClickRequest, choice: ModelChoice, predictor: Predictor
    ) -> None:
        """Have the next answer say that the memory may not suffice; raise if it cannot."""
        grow = bool(GrowMode.of(choice.grow))
        warning = memory_warning(request.volume, predictor, choice.spacing_mm, grow)
        if warning is not None:
            self._notices.append(warning)

    def warm_up(self, request: ClickRequest, choice: ModelChoice, click: Click) -> None:
        """Encode the patch of a click."""
        root = self.root(request, choice)
        _, session = self._structures.get(_structure(request, choice), (0, root))
        session.warm_up(click.position_ras)

    def forget_models(self) -> None:
        """Drop the model and all that it has computed."""
        self._predictors, self._roots, self._structures = {}, {}, {}

    def forget(self, volume_key: Hashable) -> None:
        """Drop the sessions of a volume."""
        self._roots = {k: v for k, v in self._roots.items() if k[0] != volume_key}
        self._structures = {k: v for k, v in self._structures.items() if k[0] != volume_key}


def _structure(request: ClickRequest, choice: ModelChoice) -> Structure:
    return (request.volume_key, choice, request.structure_key)


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


def _align(session: InteractiveSession, before: ClickHistory, present: MaskUpdate) -> None:
    """Make the session's state that of the stored clicks, with the present mask."""
    if len(before) > 0 and len(session.clicks) == 0:
        # From a file, perhaps: then the clicks alone give the mask, soft borders included.
        session.set_clicks(before)
        if _changed(present, session)[0].is_empty:
            return
    session.rebase(before, present)


def _changed(present: MaskUpdate, session: InteractiveSession) -> tuple[BoundingBox, BlockArray]:
    """Return the box in which the session's mask differs from another, and that other one."""
    empty = BlockArray(session.volume.geometry.shape_kji, np.bool_, False, MASK_BLOCK)
    stored = empty.written(present.bbox, present.mask_kji)
    return stored.changed_box(session.state.mask), stored


def _difference(present: MaskUpdate, session: InteractiveSession) -> MaskUpdate:
    """Return what leads from a mask to that of the session."""
    box, _ = _changed(present, session)
    return MaskUpdate(session.state.mask.read(box), box)
