"""From logits to probabilities that are as often right as they say, measured for each model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.resources import resource_path

CALIBRATION_FILE = "Models/calibration.json"


@dataclass(frozen=True)
class Calibration:
    """What the logits of a model near a mask are worth; by default what they say.

    Fitted on validation data by ``Testing/Benchmarks/measure_uncertainty.py``.

    Examples
    --------
    >>> Calibration((-2.0, 2.0), (0.1, 0.5)).probabilities(np.float32([-9, 0, 9]))
    array([0.1, 0.3, 0.5], dtype=float32)
    """

    # logits, probabilities_there: A rising curve, straight between its points; empty for
    # the sigmoid
    logits: tuple[float, ...] = ()
    probabilities_there: tuple[float, ...] = ()
    # From the error that the probabilities let expect to the one that was measured, for a
    # mask of 1000 voxels of the model grid
    scale: float = 1.0
    # The scale falls with the number of voxels to this power: small masks have larger
    # errors
    size_power: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether there is a curve."""
        return bool(self.logits)

    def error_of(self, expected: ArrayLike, voxels: ArrayLike) -> NDArray[np.float64]:
        """Return the error, 0 to 1, that masks have of which the probabilities let expect another.

        `expected` is the 1 - Dice that the probabilities let expect; `voxels` the size of each mask
        on the model grid, at least 1, of the same shape.

        Examples
        --------
        >>> Calibration(scale=2.0, size_power=0.5).error_of([0.2, 0.2, 0.9], [1000, 4000, 10])
        array([0.4, 0.2, 1. ])
        """
        scale = self.scale * (np.asarray(voxels) / 1000.0) ** -self.size_power
        found: NDArray[np.float64] = np.minimum(1.0, scale * np.asarray(expected))
        return found

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the probabilities of logits of any shape, float32."""
        values = logits.astype(np.float32)
        if self.is_measured:
            found = np.interp(values, self.logits, self.probabilities_there)
            return found.astype(np.float32)
        sigmoid: NDArray[np.float32] = 0.5 + 0.5 * np.tanh(0.5 * values)  # no overflow
        return sigmoid


def calibration_of(settings: ModelSettings) -> Calibration:
    """Return the calibration of a model, or of that which it has learnt from, by id and version.

    Examples
    --------
    >>> calibration_of(ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))).is_measured
    False
    """
    name = settings.calibrated_as or settings.model_id
    return _rows().get((name, settings.version), Calibration())


@lru_cache(maxsize=1)
def _rows() -> Mapping[tuple[str, int], Calibration]:
    """Return what the resource file says."""
    path = resource_path(CALIBRATION_FILE)
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["calibrations"]
        return {
            (str(row["model"]), int(row["version"])): Calibration(
                tuple(map(float, row["logits"])),
                tuple(map(float, row["probabilities"])),
                float(row["scale"]),
                float(row["size_power"]),
            )
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is no table of calibrations: {error!r}") from error
