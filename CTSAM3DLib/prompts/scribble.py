"""A scribble: a stroke drawn inside or outside the wanted structure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.prompts.click import OfPoints, Position, finite_positions


@dataclass(frozen=True)
class Scribble(OfPoints):
    """One stroke of the user: straight lines from point to point.

    Parameters
    ----------
    line_ras : sequence of positions
        At least one, each 3 numbers: mm in the RAS frame of the volume itself.
    positive : bool
        True: all of it inside the wanted structure; False: all of it outside.

    Raises
    ------
    GeometryError
        No position, or one that does not consist of three finite numbers.

    Examples
    --------
    >>> stroke = Scribble([(0, 0, 0), (4, 0, 0), (4, 3, 0)])
    >>> stroke.anchor_ras, stroke.points_ras(2.0).shape
    ((3.5, 0.0, 0.0), (5, 3))
    """

    kind: ClassVar[str] = "scribble"

    line_ras: tuple[Position, ...]
    positive: bool = True

    def __post_init__(self) -> None:
        """Normalise both fields to plain Python types."""
        line = finite_positions(self.line_ras, "a scribble")
        if not line:
            raise GeometryError("a scribble needs at least one position, got none")
        object.__setattr__(self, "line_ras", line)
        object.__setattr__(self, "positive", bool(self.positive))

    @property
    def anchor_ras(self) -> Position:
        """The point halfway along the stroke."""
        r, a, s = self._at(np.array([0.5]))[0].tolist()
        return r, a, s

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:
        """Return points along the stroke.

        Parameters
        ----------
        step_mm : float
            Neighbours are at most so far apart along it, and equally far.

        Returns
        -------
        ndarray, (N, 3)
            From its first position to its last, mm RAS; one for a stroke without length.
        """
        steps = math.ceil(float(self._lengths_mm()[-1]) / step_mm)
        return self._at(np.linspace(0.0, 1.0, steps + 1))

    def to_json(self) -> dict[str, Any]:
        """Return positions and sign as plain values, exact."""
        return {"line": [list(position) for position in self.line_ras], "positive": self.positive}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Scribble:
        """Return the scribble of what `to_json` gave.

        Raises
        ------
        GeometryError
            See `Scribble`.
        KeyError
            A key is missing.
        """
        return cls(row["line"], row["positive"])

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
