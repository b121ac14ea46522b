"""A scribble: a stroke drawn inside or outside the wanted structure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.prompts.click import OfLine, Position, finite_positions, sign

_SHOWN_STEPS = 12  # A model is shown one point on so many steps of a stroke


@dataclass(frozen=True)
class Scribble(OfLine):
    """One stroke of the user: straight lines from point to point.

    `line_ras` has at least one position, mm in the RAS frame of the volume itself; `positive` says
    whether all of it lies inside the wanted structure, or outside. Raises GeometryError: no
    position, or one that does not consist of three finite numbers.

    Examples
    --------
    >>> stroke = Scribble([(0, 0, 0), (4, 0, 0), (4, 3, 0)])
    >>> stroke.anchor_ras, stroke.points_ras(2.0).shape
    ((3.5, 0.0, 0.0), (5, 3))
    """

    kind: ClassVar[str] = "scribble"

    def __post_init__(self) -> None:
        """Normalise both fields to plain Python types."""
        line = finite_positions(self.line_ras, "a scribble")
        if not line:
            raise GeometryError("a scribble needs at least one position, got none")
        object.__setattr__(self, "line_ras", line)
        object.__setattr__(self, "positive", sign(self.positive, "a scribble"))

    @property
    def anchor_ras(self) -> Position:
        """The point halfway along the stroke."""
        r, a, s = self._at(np.array([0.5]))[0].tolist()
        return r, a, s

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:
        """Return points from its first position to its last, (N, 3) mm RAS, a step apart at most.

        They are equally far apart along the stroke; one for a stroke without length.
        """
        steps = math.ceil(float(self._lengths_mm()[-1]) / step_mm)
        return self._at(np.linspace(0.0, 1.0, steps + 1))

    def shown_ras(self, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return points for a model and their signs: two, or more on a long stroke.

        A model that was trained with clicks takes many points in a row as the size of what is
        meant, and finds less of it.
        """
        count = max(2, math.ceil(float(self._lengths_mm()[-1]) / (_SHOWN_STEPS * step_mm)))
        points = self._at((np.arange(count) + 0.5) / count)
        return points, np.full(count, self.positive)

    def _lengths_mm(self) -> NDArray[np.float64]:
        """Return the length of the stroke up to each of its positions."""
        steps = np.linalg.norm(np.diff(np.array(self.line_ras), axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    def _at(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points (N, 3) at shares of its length, 0 to 1."""
        lengths = self._lengths_mm()
        at = shares * lengths[-1]
        columns = np.array(self.line_ras).T
        return np.stack([np.interp(at, lengths, column) for column in columns], axis=-1)
