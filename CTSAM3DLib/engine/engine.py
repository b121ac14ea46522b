"""Sessions of many structures on one inference thread: requests in, changes of masks out."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from CTSAM3DLib.engine.messages import (
    DEFAULT_CHOICE,
    ClickAnswer,
    ClickProgress,
    ClickRequest,
    ModelChoice,
)
from CTSAM3DLib.engine.sessions import Sessions
from CTSAM3DLib.engine.worker import SessionWorker
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.where_next import Suggestion

T = TypeVar("T")


def bundled_predictor(model: str | Path | None, device: str) -> Predictor:
    """Load a model with PyTorch, which is imported here and not before.

    Raises BundleError if the model is unknown, missing or damaged; DeviceError if the device is
    unknown or not available; ImportError if PyTorch is not installed.
    """
    from CTSAM3DLib.bundles.predictor import load_predictor

    return load_predictor(model, device)


class SegmentationEngine:
    """Answers requests in their order on one thread that touches nothing but numbers.

    All methods are for the owner's thread. They return at once, except `wait` and `close`.
    `load_predictor` makes a `Predictor` from model and device, on the inference thread. `on_queued`
    is called without arguments after anything was queued: from then on, until `is_working` is
    False, the owner should call `wait` and `drain` again and again.

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
    ) -> None:
        """Load nothing yet."""
        self.on_queued: Callable[[], object] | None = None
        self._worker = SessionWorker()
        self._load_predictor = load_predictor
        self._sessions = Sessions(load_predictor)
        self._model: tuple[str | Path | None, str] | None = None
        self._generation = 0

    # ---- asking

    def request(self, request: ClickRequest) -> Future[ClickAnswer]:
        """Queue a request; the future ends with its answer, or with the error of session or model.

        A request that fails leaves everything as it was. Raises CTSAM3DError: the engine was
        closed.
        """
        worker = self._worker
        return self._submitted(self._sessions.answer, request, worker.cancelled, worker.post)

    def where_next(self, request: ClickRequest) -> Future[Suggestion | None]:
        """Queue the question where a further prompt helps most after `prompts_before`.

        Raises CTSAM3DError: the engine was closed.
        """
        return self._submitted(self._sessions.where_next, request)

    def uncertainty(self, request: ClickRequest) -> Future[float | None]:
        """Queue the question how unsure the model is of the mask after `prompts_before`.

        See `InteractiveSession.uncertainty`. Raises CTSAM3DError: the engine was closed.
        """
        return self._submitted(self._sessions.uncertainty, request)

    def carry(self, request: ClickRequest) -> Future[ClickAnswer]:
        """Queue a request on the next frame of a series; see `InteractiveSession.carry`.

        `prompts_after` are answered; `present` is the whole mask of the frame before. The answer is
        the whole mask of this frame. Once cancelled it ends with CancelledError at the next patch.
        Raises CTSAM3DError: the engine was closed.
        """
        return self._submitted(self._sessions.carry, request, self._worker.cancelled)

    def run(
        self, function: Callable[[Predictor], T], choice: ModelChoice = DEFAULT_CHOICE
    ) -> Future[T]:
        """Queue a function of the loaded model, for work without prompts of a user.

        Raises CTSAM3DError: the engine was closed.
        """
        predictor = self._sessions.predictor
        future = self._worker.submit(lambda: function(predictor(choice)))
        self._queued(choice)
        return future

    def prepare(self, choice: ModelChoice = DEFAULT_CHOICE) -> None:
        """Load the model in spare time."""
        if self._worker.submit_idle(self._sessions.predictor, choice):
            self._queued(choice)

    def warm_up(self, request: ClickRequest, click: Click) -> None:
        """Encode in spare time the patch that a click would use."""
        if self._worker.submit_idle(self._sessions.warm_up, request, click):
            self._queued(request.choice)

    def forget(self, volume_key: Hashable) -> None:
        """Drop all that belongs to a volume, once the requests before are answered."""
        self._worker.submit_quiet(self._sessions.forget, volume_key)

    def forget_models(self) -> None:
        """Load models anew from now on: the file of one may be another now."""
        self._sessions = Sessions(self._load_predictor)  # requests before keep the other one
        self._model = None

    def generation(self, choice: ModelChoice) -> int:
        """Return a number that stays the same as long as the sessions of a choice are kept.

        One model is kept at a time. A request with another one, of whatever structure, drops all
        sessions; then the next request of each structure must bring the present mask.
        """
        return self._generation + (_model_of(choice) != self._model)

    def _submitted(
        self, question: Callable[..., T], request: ClickRequest, *arguments: object
    ) -> Future[T]:
        """Queue a question of a request that is answered as a whole."""
        future = self._worker.submit(question, request, *arguments)
        self._queued(request.choice)
        return future

    def _queued(self, choice: ModelChoice) -> None:
        self._generation = self.generation(choice)
        self._model = _model_of(choice)
        if self.on_queued is not None:
            self.on_queued()

    # ---- waiting and fetching

    @property
    def busy(self) -> bool:
        """Whether there are requests without an answer that was drained."""
        return self._worker.pending > 0

    @property
    def is_working(self) -> bool:
        """Whether anything is queued, running or not drained, preparations included."""
        return self._worker.is_working

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: then requests raise."""
        return not self._worker.is_running

    def wait(self, seconds: float) -> None:
        """Wait until something has ended, `seconds` at most, so that the thread runs Python."""
        self._worker.wait(seconds)

    def drain(self) -> list[Future[Any] | ClickProgress]:
        """Return what is new since the last call, in order: requests that ended, and parts."""
        return self._worker.drain()

    def cancel(self) -> None:
        """Take back waiting requests; a running one stops at its next patch."""
        self._worker.cancel()

    def close(self) -> None:
        """Cancel and end the thread."""
        self._worker.shutdown()


def _model_of(choice: ModelChoice) -> tuple[str | Path | None, str]:
    return (choice.model, choice.device)
