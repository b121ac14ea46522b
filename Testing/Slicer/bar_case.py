"""A bar that is longer than a patch, whose parts are found one after the other."""

from __future__ import annotations

import threading

import numpy as np
import slicer
from ball_predictor import BallPredictor
from event_loop import HANG_S, until
from view_mouse import click

SHAPE_KJI = (100, 30, 30)
START = (30.0, 30.0, 40.0)


class BarPredictor(BallPredictor):
    """Finds what is bright; with `permits`, only as many calls are answered as were permitted."""

    permits = None
    asked = 0

    def _enter(self):
        if self.permits is not None:
            self.asked += 1
            self.permits.acquire(timeout=HANG_S)
        super()._enter()

    def encode(self, patch_hu):
        self._enter()
        self.encoded += 1
        return np.where(patch_hu > 0, 8.0, -8.0).astype(np.float32)

    def decode(self, embedding, points_kji, labels, previous_logits):
        self._enter()
        self.decoded += 1
        return embedding


def bar_volume():
    """Return a volume node with the bar, shown in the slice views, and the voxels of the bar."""
    # As far from 0 as the bar, which so keeps its width when it is seen with larger voxels.
    array = np.full(SHAPE_KJI, -100, np.int16)
    array[5:95, 10:20, 10:20] = 100
    volume = slicer.util.addVolumeFromArray(array, np.diag([2.0, 2.0, 2.0, 1.0]), "Bar")
    volume.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume, array > 0


def click_and_see_the_first_part(case, controller):
    """Permit one call after the other until something is shown; the rest is held back."""
    predictor = case.predictor
    predictor.permits, predictor.asked = threading.Semaphore(0), 0
    click("Red", START)
    for number in range(1, 21):
        # The call that waits for its permit comes after what the one before has told.
        until(lambda number=number: predictor.asked == number, f"call {number}")
        controller.drain()
        if case.mask().any():
            break
        predictor.permits.release()


def go_on(case):
    """Permit all that is held back."""
    for _ in range(200):
        case.predictor.permits.release()
    case.settle()
