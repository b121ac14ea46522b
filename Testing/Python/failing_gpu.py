"""A GPU that fails at a planned call, and what it is asked meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from fake_predictor import BallPredictor

from CTSAM3DLib.bundles.fallback import FallbackPredictor, stages_from
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.session.session import InteractiveSession

OOM = torch.cuda.OutOfMemoryError
SHAPE = (40, 44, 48)
CLICKS = [((40.0, 44.0, 40.0), True), ((48.0, 44.0, 40.0), True), ((44.0, 44.0, 44.0), False)]
PROCESSOR = "now computing on the processor, which is slower."
NO_MEMORY = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 2 GiB"
# What TorchScript makes of any error in the middle of a model.
SCRIPTED = f"""The following operation failed in the TorchScript interpreter.
Traceback of TorchScript, serialized code (most recent call last):
  File "code/__torch__/CTSAM3DLib/network/model.py", line 12, in decode
    _0 = torch.conv3d(x, w)
         ~~~~~~~~~~~~ <--- HERE
RuntimeError: {NO_MEMORY}
"""
GONE = [
    "CUDA error: device-side assert triggered",
    "no CUDA-capable device is detected",
    "CUDA driver version is insufficient for CUDA runtime version",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    SCRIPTED.replace(NO_MEMORY, "CUDA error: an illegal memory access was encountered"),
]


@dataclass
class Card:
    """Predictors by device; each raises what is planned for its n-th call, counted from 1."""

    plan: dict[tuple[str, int], BaseException]
    loads: list[str] = field(default_factory=list)
    predictors: dict[str, BallPredictor] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    on_load: Callable[[str], None] = lambda label: None

    def load(self, device: str) -> Predictor:
        self.on_load(device)
        self.loads.append(device)
        self.count(device)
        self.predictors[device] = _OnCard(self, device)
        return self.predictors[device]

    def count(self, device: str) -> None:
        self.calls[device] = self.calls.get(device, 0) + 1
        planned = self.plan.pop((device, self.calls[device]), None)
        if planned is not None:
            raise planned


class _OnCard(BallPredictor):
    """Counts encode and decode of one device; the first call is that of loading it."""

    def __init__(self, card: Card, device: str) -> None:
        super().__init__()
        self._card, self._device = card, device

    def encode(self, patch_hu: np.ndarray):
        self._card.count(self._device)
        return super().encode(patch_hu)

    def decode(self, *arguments):
        self._card.count(self._device)
        return super().decode(*arguments)


def on_card(plan: dict[tuple[str, int], BaseException]) -> tuple[FallbackPredictor, Card]:
    card = Card(plan)
    return FallbackPredictor(stages_from("cuda:0"), card.load), card


def volume() -> Volume:
    return Volume(np.zeros(SHAPE, np.int16), Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE))


def clicked(predictor: Predictor) -> InteractiveSession:
    session = InteractiveSession.for_volume(volume(), predictor)
    for position, positive in CLICKS:
        session.add_click(position, positive)
    return session
