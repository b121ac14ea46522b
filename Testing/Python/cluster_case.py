"""What workers of a test cluster import: models without a network."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from fake_predictor import BallPredictor
from numpy.typing import NDArray

from CTSAM3DLib.batch.case import LoadedModel
from CTSAM3DLib.errors import BundleError


class StuckPredictor(BallPredictor):
    """Waits for ever in the first process of all that decodes; works in the others."""

    folder = Path()
    often = 1

    def decode(self, *arguments: Any) -> NDArray[np.float32]:
        for number in range(self.often):
            try:
                with (self.folder / f"stuck-{number}").open("x") as file:
                    file.write(str(os.getpid()))
            except FileExistsError:
                continue
            while True:
                time.sleep(1)
        return super().decode(*arguments)


def counted_model(folder: str) -> LoadedModel:
    """Return a model; a file in a folder tells that this process has loaded it."""
    with (Path(folder) / f"loaded-{os.getpid()}").open("a") as file:
        file.write("x")
    return LoadedModel(BallPredictor(radius=4))


def stuck_model(folder: str, often: int = 1) -> LoadedModel:
    """Return a model with which the first processes stick."""
    predictor = StuckPredictor(radius=4)
    predictor.folder, predictor.often = Path(folder), often
    return LoadedModel(predictor)


def no_model() -> LoadedModel:
    """Fail as a model does that is not there."""
    raise BundleError("not here")
