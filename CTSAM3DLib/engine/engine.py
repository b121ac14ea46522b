"""Sessions of many structures on one inference thread: requests in, changes of masks out."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from CTSAM3DLib.engine.messages import (
    ClickAnswer,
    ClickProgress,
    ClickRequest,
    ModelChoice,
    StaleSessionError,
)
from CTSAM3DLib.engine.sessions import Sessions
from CTSAM3DLib.engine.worker import SessionWorker
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.prompts import Click

__all__ = [
    "ClickAnswer",
    "ClickProgress",
    "ClickRequest",
    "ModelChoice",
    "SegmentationEngine",
    "StaleSessionError",
    "bundled_predictor",
]

T = TypeVar("T")


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
    from CTSAM3DLib.bundles.predictor import load_predictor

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
        self._sessions = Sessions(load_predictor)

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

    def forget_models(self) -> None:
        """Load models anew from now on: the file of one may be another now."""
        self._worker.submit_quiet(self._sessions.forget_models)

    def drain(self) -> list[Future[Any] | ClickProgress]:
        """Return what is new since the last call, in order: requests that ended, and parts."""
        return self._worker.drain()

    def cancel(self) -> None:
        """Take back waiting requests; a running one stops at its next patch."""
        self._worker.cancel()

    def close(self) -> None:
        """Cancel and end the thread."""
        self._worker.shutdown()
