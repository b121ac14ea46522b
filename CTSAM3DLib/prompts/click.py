"""A click: one point inside or outside the wanted structure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError

if TYPE_CHECKING:
    from typing_extensions import Self

Position = tuple[float, float, float]
"""R, A, S in mm."""


class OfPoints:
    """What prompts have in common that consist of points of one sign, with no borders."""

    positive: bool

    @property
    def bounds(self) -> None:
        """No box: it may change whatever is connected to its points."""
        return

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:
        """Return its points; see `Prompt`."""
        raise NotImplementedError

    def shown_ras(self, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return its points and their signs: a model is shown what must be obeyed."""
        points = self.points_ras(step_mm)
        return points, np.full(len(points), self.positive)


@dataclass(frozen=True)
class OfLine(OfPoints):
    """What prompts have in common whose positions are corners of a line; see `Prompt`."""

    line_ras: tuple[Position, ...]
    positive: bool = True

    @property
    def corners_ras(self) -> NDArray[np.float64]:
        """The corners of the line, (N, 3) mm."""
        return np.array(self.line_ras)

    def with_corners(self, corners_ras: NDArray[np.float64]) -> Self:
        """Return it with other corners; see `Prompt`."""
        return type(self)(tuple((r, a, s) for r, a, s in corners_ras.tolist()), self.positive)

    def to_json(self) -> dict[str, Any]:
        """Return positions and sign as plain values, exact."""
        return {"line": [list(position) for position in self.line_ras], "positive": self.positive}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return the prompt of what `to_json` gave; GeometryError or KeyError for others."""
        return cls(row["line"], row["positive"])


@final
@dataclass(frozen=True)
class Click(OfPoints):
    """One click of the user.

    Raises GeometryError: the position does not consist of three finite numbers, or the sign is
    neither True nor False.

    Examples
    --------
    >>> Click((1, 2.5, -3)).position_ras
    (1.0, 2.5, -3.0)
    >>> Click((0, 0, 0), positive=False).to_json()
    {'position': [0.0, 0.0, 0.0], 'positive': False}
    """

    kind: ClassVar[str] = "click"

    position_ras: Position  # Mm in the RAS frame of the volume itself, before any parent transform
    positive: bool = True  # Inside the wanted structure; False: outside it

    def __post_init__(self) -> None:
        """Normalise both fields to plain Python types."""
        object.__setattr__(self, "position_ras", finite_position(self.position_ras, "a click"))
        object.__setattr__(self, "positive", sign(self.positive, "a click"))

    @property
    def anchor_ras(self) -> Position:
        """The point round which a model looks: the click."""
        return self.position_ras

    @property
    def corners_ras(self) -> NDArray[np.float64]:
        """The one point, (1, 3) mm."""
        return np.array([self.position_ras])

    def with_corners(self, corners_ras: NDArray[np.float64]) -> Click:
        """Return a click of this sign at another point; see `Prompt`."""
        (position,) = corners_ras.tolist()
        return Click(position, self.positive)

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:  # noqa: ARG002 - one point
        """Return the one point, (1, 3) mm RAS, whatever the step."""
        return self.corners_ras

    def to_json(self) -> dict[str, Any]:
        """Return position and sign as plain values, exact."""
        return {"position": list(self.position_ras), "positive": self.positive}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Click:
        """Return the click of what `to_json` gave; GeometryError or KeyError for others."""
        return cls(row["position"], row["positive"])


def finite_position(values: Any, owner: str) -> Position:
    """Return a position, R, A, S in mm, as three floats; `owner` is what has it, for the message.

    Raises GeometryError: not three finite numbers.
    """
    try:
        given = tuple(values)
        numbers = tuple(float(value) for value in given)
    except (TypeError, ValueError, OverflowError):
        raise GeometryError(f"{owner} needs 3 numbers (R, A, S in mm), got {values!r}") from None
    if any(isinstance(value, (str, bytes, bool)) for value in given):
        raise GeometryError(f"{owner} needs 3 numbers (R, A, S in mm), got {values!r}")
    if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
        raise GeometryError(f"{owner} needs 3 finite numbers (R, A, S in mm), got {values!r}")
    return numbers


def finite_positions(values: Any, owner: str) -> tuple[Position, ...]:
    """Return positions as tuples of three floats; see `finite_position`.

    Raises GeometryError: no sequence, or one that holds something else.
    """
    try:
        given = tuple(values)
    except TypeError:
        raise GeometryError(f"{owner} needs positions, got {values!r}") from None
    return tuple(finite_position(position, owner) for position in given)


def sign(value: Any, owner: str) -> bool:
    """Return whether a prompt is positive; `owner` is the prompt, for the message.

    Raises GeometryError: something else than True, False, 1 or 0. A text as "outside" would else
    count as True.
    """
    try:
        known = bool(value in (0, 1))
    except ValueError:  # an array
        known = False
    if not known:
        raise GeometryError(f"{owner} is positive or not: True or False, got {value!r}")
    return bool(value)
