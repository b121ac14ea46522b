"""The methods that can be compared, all driven click by click."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.baselines import BASELINES, Baseline
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.session import InteractiveSession

MODEL = "model"
"""Name of the method that is our model in its interactive session."""


Attempt: TypeAlias = Callable[[Click], NDArray[np.bool_]]
"""One structure being segmented: one more click to the mask (K, J, I) on the volume's voxels."""


class Method(Protocol):
    """Something that turns clicks into masks."""

    @property
    def name(self) -> str:
        """Name in tables, with its options where they were given."""
        ...

    def start(self, volume: Volume, anatomy: str = "") -> Attempt:
        """Begin a structure in a volume; what it is may be known."""
        ...


@dataclass
class ModelMethod:
    """Our model in its interactive session; patches of one volume are encoded once."""

    predictor: Predictor  # The loaded model
    spacing_mm: float | None = None  # Voxel size of the model grid; default: chosen by the session
    name: str = MODEL  # Name in tables
    grow: bool | str = False  # See `InteractiveSession`
    _last: InteractiveSession | None = field(default=None, repr=False)

    def start(self, volume: Volume, anatomy: str = "") -> Attempt:
        """Begin a structure in a volume."""
        if self._last is None or self._last.volume is not volume:
            self._last = InteractiveSession.for_volume(
                volume, self.predictor, self.spacing_mm, grow=self.grow
            )
        session = self._last.for_another_structure(anatomy=anatomy)

        def add_click(click: Click) -> NDArray[np.bool_]:
            session.add_click(click.position_ras, click.positive)
            return session.mask

        return add_click


@dataclass(frozen=True)
class BaselineMethod:
    """A classical method, which sees all clicks anew each time."""

    baseline: Baseline  # The algorithm with its options
    name: str  # Name in tables

    def start(self, volume: Volume, anatomy: str = "") -> Attempt:  # noqa: ARG002 - they know no anatomy
        """Begin a structure in a volume."""
        self.baseline.prepare()
        clicks: list[Click] = []

        def add_click(click: Click) -> NDArray[np.bool_]:
            clicks.append(click)
            return self.baseline.mask(volume, clicks)

        return add_click


def split_methods(text: str) -> list[str]:
    """Split a list of methods at the commas outside square brackets.

    Examples
    --------
    >>> split_methods("model,grow_from_seeds[margin_mm=40,locality=0.1]")
    ['model', 'grow_from_seeds[margin_mm=40,locality=0.1]']
    """
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def model_options(text: str) -> tuple[str | None, str]:
    """Return which model a method names, None for the default one, and how it grows.

    Raises CTSAM3DError when there is no such way to grow.

    Examples
    --------
    >>> model_options("model"), model_options("model:other.pt[grow=auto]")
    ((None, 'off'), ('other.pt', 'auto'))
    """
    match = re.fullmatch(rf"{MODEL}(?::([^\[\]]+))?(?:\[grow=(\w+)\])?", text)
    if match is None:
        raise CTSAM3DError(f"expected {MODEL}, {MODEL}:ID or {MODEL}[grow=auto], got {text!r}")
    return match.group(1), str(GrowMode.of(match.group(2) or False))


def baseline_method(text: str) -> BaselineMethod:
    """Build a classical method from its name, with options in square brackets.

    For example ``grow_from_seeds`` or ``confidence_connected[multiplier=2.5,iterations=3]``. Raises
    CTSAM3DError when the method or an option is unknown, or a value is not a number.

    Examples
    --------
    >>> baseline_method("random_walker[beta=90]").baseline.beta
    90
    """
    match = re.fullmatch(r"(\w+)(?:\[([^\]]*)\])?", text)
    name = match.group(1) if match else text
    if match is None or name not in BASELINES:
        known = ", ".join([MODEL, *BASELINES])
        raise CTSAM3DError(f"expected a method of {known}, got {text!r}")
    kind = BASELINES[name]
    options = _options(match.group(2) or "", [option.name for option in fields(kind)], text)
    return BaselineMethod(kind(**options), text)


def _options(text: str, known: list[str], method: str) -> dict[str, Any]:
    options = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, _, value = part.partition("=")
        if key not in known:
            raise CTSAM3DError(f"{method}: expected an option of {', '.join(known)}, got {key!r}")
        try:
            number = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            number = None
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise CTSAM3DError(f"{method}: expected a number for {key}, got {value!r}")
        options[key] = number
    return options
