"""A box: the wanted structure lies in it, or nothing of it does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.prompts.click import Position, finite_position, finite_positions, sign

_LEAST_VOLUME_MM3 = 1e-6
_SHOWN = 6  # of a box that excludes, a model is shown at most so many points along each edge


@dataclass(frozen=True)
class Box:
    """One box of the user, with edges in any direction.

    A positive box says that the structure is in it: what is found for it is cut off at its faces,
    and none of its voxels is forced. A negative box says that nothing in it belongs to the
    structure. Neither changes anything outside. Raises GeometryError: not three edges that span a
    volume, or something else than finite numbers.

    Examples
    --------
    >>> box = Box.of_corners((0, 0, 0), (10, 20, 30))
    >>> box.anchor_ras, box.edges_ras[1]
    ((5.0, 10.0, 15.0), (0.0, 20.0, 0.0))
    >>> box.contains_ras([(1, 1, 1), (-1, 1, 1)]).tolist()
    [True, False]
    """

    kind: ClassVar[str] = "box"

    middle_ras: Position  # Mm in the RAS frame of the volume itself
    edges_ras: tuple[Position, ...]  # Three vectors in mm, each from a face to the opposite one
    positive: bool = True

    def __post_init__(self) -> None:
        """Normalise the fields to plain Python types."""
        middle = finite_position(self.middle_ras, "a box")
        edges = finite_positions(self.edges_ras, "a box")
        if len(edges) != 3 or abs(np.linalg.det(np.array(edges))) < _LEAST_VOLUME_MM3:
            raise GeometryError(
                f"a box needs three edges that span a volume, got {[list(edge) for edge in edges]}"
            )
        object.__setattr__(self, "middle_ras", middle)
        object.__setattr__(self, "edges_ras", edges)
        object.__setattr__(self, "positive", sign(self.positive, "a box"))

    @classmethod
    def of_corners(
        cls, first_ras: Sequence[float], second_ras: Sequence[float], positive: bool = True
    ) -> Box:
        """Return the box along R, A and S between two opposite corners in mm."""
        first, second = (np.array(finite_position(one, "a box")) for one in (first_ras, second_ras))
        edges = np.diag(np.abs(second - first)).tolist()
        return cls(tuple(((first + second) / 2.0).tolist()), tuple(edges), positive)

    @classmethod
    def of_rectangle(cls, corners_ras: Sequence[Sequence[float]], positive: bool = True) -> Box:
        """Return the box of a rectangle, 3 or 4 corners in order, mm, that was dragged in a slice.

        It is as deep as the longer side of the rectangle. Errors are those of `Box`.

        Examples
        --------
        >>> box = Box.of_rectangle([(0, 0, 5), (8, 0, 5), (8, 6, 5)])
        >>> box.middle_ras, box.edges_ras[2]
        ((4.0, 3.0, 5.0), (0.0, 0.0, 8.0))
        """
        corners = np.array(finite_positions(corners_ras, "a box"))
        if len(corners) not in (3, 4):
            raise GeometryError(f"a box needs 3 or 4 corners, got {len(corners)}")
        sides = np.diff(corners, axis=0)[:2]
        normal = np.cross(*sides)
        area = float(np.linalg.norm(normal))
        if area == 0:
            raise GeometryError("a box needs a rectangle with an area, got a line")
        depth = float(np.linalg.norm(sides, axis=1).max())
        edges = (*sides.tolist(), (normal * (depth / area)).tolist())
        return cls(tuple(((corners[0] + corners[2]) / 2.0).tolist()), edges, positive)

    @property
    def anchor_ras(self) -> Position:
        """The middle of the box."""
        return self.middle_ras

    @property
    def bounds(self) -> Box:
        """The box itself."""
        return self

    @property
    def corners_ras(self) -> NDArray[np.float64]:
        """Its middle and the middles of its faces, (7, 3) mm; see `Prompt`."""
        middle, halves = np.array(self.middle_ras), np.array(self.edges_ras) / 2.0
        return np.concatenate([[middle], middle - halves, middle + halves])

    def with_corners(self, corners_ras: NDArray[np.float64]) -> Box:
        """Return the box with another middle, whose edges lead from face to face; see `Prompt`.

        Examples
        --------
        >>> box = Box.of_corners((0, 0, 0), (2, 4, 6))
        >>> box.with_corners(box.corners_ras + 1.0) == Box.of_corners((1, 1, 1), (3, 5, 7))
        True
        """
        middle, *faces = corners_ras.reshape(7, 3)
        edges = np.subtract(faces[3:], faces[:3]).tolist()
        return Box(middle.tolist(), edges, self.positive)

    def contains_ras(self, points_ras: ArrayLike) -> NDArray[np.bool_]:
        """Return which points (..., 3), RAS mm, lie in the box, its faces included."""
        inside: NDArray[np.bool_] = np.all(
            np.abs(self._relative(points_ras)) <= 0.5 + 1e-9, axis=-1
        )
        return inside

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:
        """Return the points that must be obeyed: none of a positive box, else its whole inside.

        They are a lattice (N, 3) parallel to the edges, mm RAS, so far apart at most.
        """
        return np.zeros((0, 3)) if self.positive else self._lattice(step_mm)

    def shown_ras(self, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return points for a model and their signs: none of a positive box.

        What a positive box has found is shown to a model as its earlier result; negative points
        round it made every answer worse (Testing/Benchmarks/results/prompts.md).
        """
        if self.positive:
            return np.zeros((0, 3)), np.zeros(0, bool)
        longest = float(np.linalg.norm(self.edges_ras, axis=1).max())
        points = self._lattice(max(step_mm, longest / _SHOWN))
        return points, np.zeros(len(points), bool)

    def seeds_ras(self) -> NDArray[np.float64]:
        """Return points, (15, 3) mm RAS, one of which lies in most structures that fill the box.

        The middle, then halfway from it to each face, then halfway to each corner.

        Examples
        --------
        >>> Box.of_corners((0, 0, 0), (8, 8, 8)).seeds_ras()[[0, 1, -1]].tolist()
        [[4.0, 4.0, 4.0], [2.0, 4.0, 4.0], [6.0, 6.0, 6.0]]
        """
        steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        order = np.abs(steps).sum(axis=1)
        chosen = [*steps[order == 0], *steps[order == 1], *steps[order == 3]]
        return self._at(np.array(chosen) / 4.0)

    def filled_share(self, points_ras: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
        """Return how well chosen points fill the box.

        The share of the box that the tight box of the chosen points in it takes, times the share of
        the chosen points that lie in it; only points that are given, (..., 3) mm RAS, count.

        Examples
        --------
        >>> points = np.array([(at, 0, 0) for at in range(6)], float)
        >>> box = Box.of_corners((-0.5, -0.5, -0.5), (4.5, 0.5, 0.5))
        >>> box.filled_share(points, np.array([0, 1, 1, 1, 0, 1], bool))
        0.375
        """
        relative = self._relative(points_ras)
        inside = (np.abs(relative) <= 0.5).all(axis=-1)
        found = inside & chosen
        if not found.any():
            return 0.0
        extents = [np.ptp(relative[of], axis=0) for of in (found, inside)]
        shares = [a / b if b > 0 else 1.0 for a, b in zip(*extents, strict=True)]
        return float(np.prod(shares) * found.sum() / chosen.sum())

    def to_json(self) -> dict[str, Any]:
        """Return middle, edges and sign as plain values, exact."""
        edges = [list(edge) for edge in self.edges_ras]
        return {"middle": list(self.middle_ras), "edges": edges, "positive": self.positive}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Box:
        """Return the box of what `to_json` gave, or of two ``corners``; else see `Prompt`."""
        if "corners" not in row:
            return cls(row["middle"], row["edges"], row["positive"])
        corners = finite_positions(row["corners"], "a box")
        if len(corners) != 2:
            raise GeometryError(f"a box needs 2 opposite corners, got {len(corners)}")
        return cls.of_corners(*corners, positive=row["positive"])

    def _lattice(self, step_mm: float) -> NDArray[np.float64]:
        """Return points (N, 3) in the box, a step apart along its edges at most."""
        counts = [max(1, math.ceil(math.hypot(*edge) / step_mm)) for edge in self.edges_ras]
        shares = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
        at = np.stack(np.meshgrid(*shares, indexing="ij"), axis=-1).reshape(-1, 3)
        return self._at(at)

    def _at(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points (N, 3) at shares of the edges from the middle."""
        points: NDArray[np.float64] = np.array(self.middle_ras) + shares @ np.array(self.edges_ras)
        return points

    def _relative(self, points_ras: ArrayLike) -> NDArray[np.float64]:
        """Return points (..., 3) as shares of the edges: -0.5 to 0.5 in the box."""
        return (np.asarray(points_ras, float) - self.middle_ras) @ np.linalg.inv(self.edges_ras)
