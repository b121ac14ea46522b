"""Sessions of many structures on one inference thread: requests in, changes of masks out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from CTSAM3DLib.block_array import BlockArray
from CTSAM3DLib.bounding_box import BoundingBox
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.predictor import Predictor
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.session_state import MASK_BLOCK, SessionState
from CTSAM3DLib.volume import MaskUpdate, Volume
from CTSAM3DLib.worker import SessionWorker

T = TypeVar("T")
Structure = tuple[Hashable, "ModelChoice", Hashable]
"""Key of a session: volume, choice, structure."""


@dataclass(frozen=True)
class ModelChoice:
    """Which model answers, and how.

    Parameters
    ----------
    model : str or Path, optional
        Id or file; default: the bundled model.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    spacing_mm : float, optional
        Voxel size of the model grid; default: see `roi.choose_spacing_mm`.
    grow : bool
        Whether a structure is followed beyond the patch of the click.

    Examples
    --------
    >>> ModelChoice(device="cpu").grow
    False
    """

    model: str | Path | None = None
    device: str = "auto"
    spacing_mm: float | None = None
    grow: bool = False


@dataclass(frozen=True, eq=False)
class ClickRequest:
    """Clicks on one structure, to be turned into the change of its mask.

    Parameters
    ----------
    volume : Volume
        The CT.
    volume_key, structure_key : hashable
        Tell apart volumes (new voxels, new key) and structures; requests with equal keys share
        what was computed.
    before, after : ClickHistory
        The clicks that made the present mask, and those wanted now.
    present : MaskUpdate, optional
        The present mask, where it may be another one than what this engine answered last for
        `before`: painted by hand, imported, or loaded from a file.
    session : int
        Number, chosen by the asker, of the session that is to hold the structure.
    continued : bool
        Whether that session is relied upon to hold the present mask. Without this and without
        `present`, the structure begins anew, empty.
    """

    volume: Volume
    volume_key: Hashable
    structure_key: Hashable
    before: ClickHistory
    after: ClickHistory
    present: MaskUpdate | None = None
    session: int = 0
    continued: bool = False


@dataclass(frozen=True, eq=False)
class ClickAnswer:
    """What a request has come to.

    Parameters
    ----------
    update : MaskUpdate
        Changed box relative to the present mask, with its new content.
    seconds : float
        Time on the inference thread.
    timings_ms : mapping
        Of the last click, see `SessionState`.
    device : str
        Where the model ran.
    """

    update: MaskUpdate
    seconds: float
    timings_ms: Mapping[str, float]
    device: str


@dataclass(frozen=True, eq=False)
class ClickProgress:
    """A part of an answer that is on its way: one more patch of a structure that is followed.

    Parameters
    ----------
    request : ClickRequest
        What was asked.
    update : MaskUpdate
        Changed box relative to the part before, or to the mask at the start.
    """

    request: ClickRequest
    update: MaskUpdate


class StaleSessionError(CTSAM3DError):
    """The session that a request relies on is gone: ask again with the present mask."""


def bundled_predictor(model: str | Path | None, device: str) -> Predictor:
    """Load a model with PyTorch, which is imported here and not before.

    Raises
    ------
    BundleError
        If the model is unknown, missing or damaged.
    DeviceError
        If the device is unknown or not available.
    ImportError
        If PyTorch is not installed.
    """
    from CTSAM3DLib.network.torch_predictor import load_predictor

    return load_predictor(model, device)


class SegmentationEngine:
    """Answers requests in their order on one thread that touches nothing but numbers.

    All methods are for the owner's thread; they return at once, except `close`.

    Parameters
    ----------
    load_predictor : callable
        From model and device to a `Predictor`; runs on the inference thread.
    choice : ModelChoice
        Holds for later requests until `choose` is called.

    Examples
    --------
    >>> engine = SegmentationEngine()
    >>> engine.run(lambda predictor: predictor.settings.model_id).result()
    'ctsam3d-lite'
    >>> engine.close()
    """

    def __init__(
        self,
        load_predictor: Callable[[str | Path | None, str], Predictor] = bundled_predictor,
        choice: ModelChoice | None = None,
    ) -> None:
        """Load nothing yet."""
        self.choice = choice or ModelChoice()
        self._worker = SessionWorker()
        self._sessions = _Sessions(load_predictor)

    @property
    def busy(self) -> bool:
        """Whether requests are under way or not drained."""
        return self._worker.pending > 0

    @property
    def idling(self) -> bool:
        """Whether something is being prepared in spare time."""
        return self._worker.idling

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: then requests raise."""
        return not self._worker.is_running

    def choose(self, choice: ModelChoice) -> None:
        """Use another model, device or way for later requests."""
        self.choice = choice

    def request(
        self, request: ClickRequest, choice: ModelChoice | None = None
    ) -> Future[ClickAnswer]:
        """Queue a request.

        Parameters
        ----------
        request : ClickRequest
            What is there and what is wanted.
        choice : ModelChoice, optional
            Default: `choice` of the engine, now.

        Returns
        -------
        Future
            Ends with a `ClickAnswer`, or with the error of session or model; with a
            `StaleSessionError` if the session that the request relies on is gone. A request that
            fails leaves everything as it was.
        """
        worker, chosen = self._worker, choice or self.choice
        return worker.submit(self._sessions.answer, request, chosen, worker.cancelled, worker.post)

    def run(self, function: Callable[[Predictor], T]) -> Future[T]:
        """Queue a function of the loaded model, for work without clicks of a user."""
        choice = self.choice
        return self._worker.submit(lambda: function(self._sessions.predictor(choice)))

    def prepare(self) -> None:
        """Load the model in spare time."""
        self._worker.submit_idle(self._sessions.predictor, self.choice)

    def warm_up(self, request: ClickRequest, click: Click) -> None:
        """Encode in spare time the patch that a click would use."""
        self._worker.submit_idle(self._sessions.warm_up, request, self.choice, click)

    def forget(self, volume_key: Hashable) -> None:
        """Drop all that belongs to a volume, once the requests before are answered."""
        self._worker.submit_quiet(self._sessions.forget, volume_key)

    def drain(self) -> list[Future[Any] | ClickProgress]:
        """Return what is new since the last call, in order: requests that ended, and parts."""
        return self._worker.drain()

    def cancel(self) -> None:
        """Take back waiting requests; a running one stops at its next patch."""
        self._worker.cancel()

    def close(self) -> None:
        """Cancel and end the thread."""
        self._worker.shutdown()


@dataclass(eq=False)
class _Sessions:
    """What the inference thread keeps; used by no other thread."""

    load_predictor: Callable[[str | Path | None, str], Predictor]
    _predictors: dict[tuple[str | Path | None, str], Predictor] = field(default_factory=dict)
    _roots: dict[tuple[Hashable, float | None], InteractiveSession] = field(default_factory=dict)
    _structures: dict[Structure, tuple[int, InteractiveSession]] = field(default_factory=dict)

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
        return ClickAnswer(update, seconds, session.timings_ms, session.predictor.device)

    def warm_up(self, request: ClickRequest, choice: ModelChoice, click: Click) -> None:
        """Encode the patch of a click."""
        root = self.root(request, choice)
        _, session = self._structures.get(_structure(request, choice), (0, root))
        session.warm_up(click.position_ras)

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
