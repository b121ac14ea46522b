"""A model that continues on the processor when its GPU fails."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray

from CTSAM3DLib.errors import DeviceError, NotEnoughMemoryError
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.session.memory import memory_error

T = TypeVar("T")

MAIN_MEMORY, MEMORY, LOST = "main memory", "memory", "lost"

# TorchScript hands errors of the device on as plain RuntimeError: only the text tells.
_NO_MAIN_MEMORY = re.compile("DefaultCPUAllocator|bad_alloc")
_NO_MEMORY = re.compile("out of memory|ALLOC_FAILED")
_DEVICE = re.compile("CUDA|CUDNN|cuDNN|CUBLAS|cuBLAS|CUFFT|NVRTC|NVML|NVIDIA|device-side")
_REASON_LENGTH = 120


def stages_from(device: str) -> tuple[str, ...]:
    """Return where a model runs first, and what comes after it when that fails."""
    return ("cpu",) if device == "cpu" else (device, "cpu")


@dataclass(eq=False)
class _Embedding:
    """An embedding and what is needed to make it again elsewhere."""

    stage: int
    value: Any
    patch_hu: NDArray[np.float32] | None  # None on the last device


class FallbackPredictor:
    """A `Predictor` that answers the call during which its device fails on the next device.

    It stays there until the model is loaded again. Embeddings of an earlier device are computed
    again, once, when they are decoded. Wrong arguments raise as they do in the model. `stages` are
    the devices in the order in which they are tried; `load` makes the model on one. Raises
    NotEnoughMemoryError: the main memory does not suffice; here as in all calls; BundleError,
    DeviceError: of `load`.
    """

    def __init__(self, stages: Sequence[str], load: Callable[[str], Predictor]) -> None:
        self._stages = tuple(stages)
        self._load = load
        self._at = 0
        self._model: Predictor | None = None
        self._made: WeakSet[_Embedding] = WeakSet()
        self._notice = ""
        self.settings = self._run(lambda model: model.settings)

    @property
    def device(self) -> str:
        """Where it runs now, such as ``cpu`` or ``cuda:0``."""
        return self._stages[self._at]

    def take_notices(self) -> tuple[str, ...]:
        """Return what the user should know and has not been told yet: at most one sentence."""
        notice, self._notice = self._notice, ""
        return (notice,) if notice else ()

    def encode(self, patch_hu: NDArray[np.float32]) -> _Embedding:
        """Embed a (D, H, W) patch of HU; see `Predictor.encode`."""
        value = self._run(lambda model: model.encode(patch_hu))
        last = self._at + 1 == len(self._stages)
        embedding = _Embedding(self._at, value, None if last else patch_hu)
        self._made.add(embedding)
        return embedding

    def decode(
        self,
        embedding: _Embedding,
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
        adapter: str = "",
    ) -> NDArray[np.float32]:
        """Decode clicks into (D, H, W) logits; see `Predictor.decode`."""

        def decoded(model: Predictor) -> NDArray[np.float32]:
            value = self._value(model, embedding)
            asked = (value, points_kji, labels, previous_logits)
            return model.decode(*asked, adapter=adapter) if adapter else model.decode(*asked)

        return self._run(decoded)

    def cross_patch(
        self,
        patch_hu: NDArray[np.float32],
        mask: NDArray[np.bool_],
        neighbour_hu: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Heat map of the expected click in the neighbour; see `Predictor.cross_patch`."""
        return self._run(lambda model: model.cross_patch(patch_hu, mask, neighbour_hu))

    def _run(self, action: Callable[[Predictor], T]) -> T:
        """Run an action on the model, and on the next device if this one fails."""
        while True:
            stage = self._stages[self._at]
            try:
                if self._model is None:
                    self._model = self._load(stage)
                return action(self._model)
            except NotEnoughMemoryError:
                raise
            except (MemoryError, RuntimeError, DeviceError) as error:
                trouble = _trouble(error, stage, self._at > 0)
                if trouble == MAIN_MEMORY:
                    raise memory_error(error) from error
                if trouble is None or self._at + 1 == len(self._stages):
                    raise
                reason = _first_line(error)
                traceback.clear_frames(error.__traceback__)  # which hold memory of the device
            self._step_down(trouble, reason)

    def _step_down(self, trouble: str, reason: str) -> None:
        """Go to the next device and release all that the present one holds."""
        self._at += 1
        failed = f"The GPU failed ({reason})"
        what = "The GPU has too little free memory" if trouble == MEMORY else failed
        self._notice = f"{what}: now computing on the processor, which is slower."
        self._model = None
        for embedding in self._made:
            embedding.value = None
        with suppress(RuntimeError):  # the device may be gone
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    def _value(self, model: Predictor, embedding: _Embedding) -> Any:
        """Return the embedding for the model on the present device."""
        if embedding.stage != self._at:
            embedding.value = model.encode(embedding.patch_hu)  # type: ignore[arg-type]
            embedding.stage = self._at
            if self._at + 1 == len(self._stages):
                embedding.patch_hu = None
        return embedding.value


def _trouble(error: BaseException, device: str, fallen: bool) -> str | None:
    """Tell what is wrong with a device or memory; None if something else is."""
    if isinstance(error, DeviceError):  # only the device that was asked for may be missing
        return LOST if fallen else None
    if isinstance(error, MemoryError) or _NO_MAIN_MEMORY.search(str(error)):
        return MAIN_MEMORY
    if device == "cpu":
        return None
    if isinstance(error, torch.cuda.OutOfMemoryError) or _NO_MEMORY.search(str(error)):
        return MEMORY
    return LOST if _DEVICE.search(str(error)) else None


def _first_line(error: BaseException) -> str:
    """Return what an error says in one line; TorchScript puts it at the end of its own text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if _DEVICE.search(line)]
    text = (told or lines or [type(error).__name__])[0].removeprefix("RuntimeError: ")
    return text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]} ..."
