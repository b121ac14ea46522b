"""A predictor without a network, for tests where there is no PyTorch: balls round the clicks."""

from __future__ import annotations

import threading

import numpy as np
from event_loop import HANG_S

from CTSAM3DLib.models.contract import ModelSettings

RADIUS = 6.0
NEGATIVE_RADIUS = 4.0
PATCH = 32


class BallPredictor:
    """Answers with balls round positive clicks and the earlier mask, less balls round negatives.

    Logits are distances in voxels, positive inside. `gate` holds answers back while it is cleared.
    """

    def __init__(self, spacing_mm=2.0):
        self.settings = ModelSettings("balls", PATCH, (1.0, 8.0), spacing_mm, ((-100.0, 100.0),))
        self.device = "cpu"
        self.gate = threading.Event()
        self.gate.set()
        self.threads = set()
        self.encoded = 0
        self.decoded = 0
        self.fail_next = None

    def encode(self, patch_hu):
        self._enter()
        self.encoded += 1
        return patch_hu.shape

    def decode(self, embedding, points_kji, labels, previous_logits):
        self._enter()
        self.decoded += 1
        grid = np.indices(embedding, dtype=np.float32)
        logits = np.full(embedding, -8.0, np.float32)
        if previous_logits is not None:
            logits = np.maximum(logits, previous_logits)
        for sign, change in ((1, self._add), (0, self._carve)):
            for point in points_kji[labels == sign]:
                away = np.linalg.norm(grid - point.reshape(3, 1, 1, 1), axis=0)
                logits = change(logits, away)
        return logits

    def cross_patch(self, patch_hu, mask, neighbour_hu):
        return np.zeros_like(patch_hu)

    @staticmethod
    def _add(logits, away):
        return np.maximum(logits, np.clip(RADIUS - away, -8.0, 8.0))

    @staticmethod
    def _carve(logits, away):
        return np.minimum(logits, np.clip(away - NEGATIVE_RADIUS, -8.0, 8.0))

    def _enter(self):
        self.threads.add(threading.current_thread().name)
        self.gate.wait(HANG_S)
        failure, self.fail_next = self.fail_next, None
        if failure is not None:
            raise failure
