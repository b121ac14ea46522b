"""A predictor that fails at its n-th call, in each way in which one can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fake_predictor import BallPredictor

RAISED: dict[str, Callable[[], BaseException]] = {
    "device lost": lambda: RuntimeError("CUDA error: unspecified launch failure"),
    "out of memory": MemoryError,
    "GPU out of memory": lambda: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "torch missing": lambda: ModuleNotFoundError("No module named 'torch'", name="torch"),
    "wrong kind": lambda: TypeError("expected a tensor"),
    "Ctrl-C": KeyboardInterrupt,
    "thread ends": lambda: SystemExit(1),
}
ANSWERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "answers NaN": lambda logits: np.full_like(logits, np.nan),
    "answers infinity": lambda logits: np.where(logits > 0, np.inf, logits).astype(np.float32),
    "answers too little": lambda logits: logits[1:],
}
KINDS = [*RAISED, *ANSWERED]


@dataclass
class FailingPredictor(BallPredictor):
    """Balls; at one call, counted from 1, it fails in some way; `hit` tells that it did."""

    kind: str = ""
    at: int = 0
    calls: int = 0
    hit: bool = False

    def fail(self, kind: str, at: int) -> None:
        """Fail at a call from now on."""
        self.kind, self.at, self.calls, self.hit = kind, at, 0, False

    def encode(self, patch_hu: Any) -> Any:
        self._count()
        return super().encode(patch_hu)

    def decode(self, *arguments: Any) -> Any:
        is_due = self._count()
        logits = super().decode(*arguments)
        if is_due and self.kind in ANSWERED:
            self.hit = True
            return ANSWERED[self.kind](logits)
        return logits

    def _count(self) -> bool:
        self.calls += 1
        if self.calls == self.at and self.kind in RAISED:
            self.hit = True
            raise RAISED[self.kind]()
        return self.calls == self.at
