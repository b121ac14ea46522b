"""A lasso: a closed curve in a plane, whose inside lies inside or outside the wanted structure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.prompts.click import OfLine, Position, finite_positions, sign

FLATNESS_MM = 1.0
"""A lasso is drawn in a slice: its positions are at most so far from one plane."""

_SHOWN = 12  # points for a model are chosen among so many along the lasso's longer side
_FEWEST_SHOWN = 3  # of these a model is shown so many, where they lie far enough apart,
_CLOSEST_STEPS = 2  # that is so many steps,
_SHOWN_STEPS = 12  # and more until every one has a shown one so many steps away
_ANCHORS = 48  # the anchor is sought on so many lines across the longer side
_CLOSER = 8  # along the curve points are so many times closer than inside
_LEAST_AREA_MM2 = 1e-6


@dataclass(frozen=True)
class Lasso(OfLine):
    """One closed curve of the user: straight lines from position to position and back.

    `line_ras` has at least three positions in one plane, mm in the RAS frame of the volume itself.
    A curve that crosses itself has inside what an odd number of its turns surround. `positive`
    says whether all of its inside belongs to the wanted structure, or none of it. Raises
    GeometryError: fewer positions, no area, not in one plane, or a position that does not consist
    of three finite numbers.

    Examples
    --------
    >>> lasso = Lasso([(0, 0, 5), (8, 0, 5), (8, 8, 5), (0, 8, 5)])
    >>> [round(at) for at in lasso.anchor_ras], len(lasso.shown_ras(1.0)[0])
    ([4, 4, 5], 3)
    """

    kind: ClassVar[str] = "lasso"

    def __post_init__(self) -> None:
        """Normalise both fields to plain Python types, and check the curve."""
        line = finite_positions(self.line_ras, "a lasso")
        object.__setattr__(self, "line_ras", line)
        object.__setattr__(self, "positive", sign(self.positive, "a lasso"))
        if len(line) < 3:
            raise GeometryError(f"a lasso needs at least 3 positions, got {len(line)}")
        _, axes, polygon = self._plane
        u, v = polygon.T
        if abs(np.sum(u * np.roll(v, -1) - np.roll(u, -1) * v)) / 2 < _LEAST_AREA_MM2:
            raise GeometryError("a lasso needs positions that surround an area, got a line")
        off_mm = float(np.abs((np.array(line) - self._plane[0]) @ axes[2]).max())
        if off_mm > FLATNESS_MM:
            raise GeometryError(
                f"a lasso needs positions in one plane, within {FLATNESS_MM:g} mm; got some "
                f"{off_mm:.2f} mm off. Draw it in one slice"
            )

    @cached_property
    def anchor_ras(self) -> Position:
        """The point inside that is farthest from the curve."""
        polygon = self._plane[2]
        inside = self._inside(float(np.ptp(polygon, axis=0).max()) / _ANCHORS)
        if not len(inside):
            inside = polygon.mean(axis=0, keepdims=True)
        r, a, s = self._in_space(inside[[_distances(inside, polygon).argmax()]])[0].tolist()
        return r, a, s

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:
        """Return points of its inside and of the curve itself, (N, 3) mm RAS.

        The anchor, a square lattice in the plane of the curve, of which every point of the inside
        has one at most half a step away, and points so close along the curve that a voxel as wide
        as a step whose centre is inside holds one.
        """
        polygon = self._plane[2]
        lengths = np.linalg.norm(np.roll(polygon, -1, axis=0) - polygon, axis=1)
        counts = np.ceil(lengths * (_CLOSER / step_mm)).astype(int)
        sides = zip(polygon, np.roll(polygon, -1, axis=0), counts.tolist(), strict=True)
        curve = [np.linspace(a, b, count, endpoint=False) for a, b, count in sides]
        return np.concatenate([self._lattice(step_mm), self._in_space(np.concatenate(curve))])

    def shown_ras(self, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return points for a model and their signs: three far apart, or more in a large lasso.

        A model that was trained with clicks takes many points in one slice as the size of what is
        meant, and finds less of it. The anchor comes first; none lies close to the curve.
        """
        largest = float(np.ptp(self._plane[2], axis=0).max())
        points = self._lattice(max(step_mm, math.sqrt(2.0) * largest / _SHOWN))
        depth = _distances((points - self._plane[0]) @ self._plane[1][:2].T, self._plane[2])
        points = points[depth >= depth[0] / 2]
        chosen = points[:1]
        for _ in points[1:]:
            gaps = np.linalg.norm(points[:, None] - chosen, axis=2).min(axis=1)
            enough = _SHOWN_STEPS if len(chosen) >= _FEWEST_SHOWN else _CLOSEST_STEPS
            if gaps.max() < enough * step_mm:
                break
            chosen = np.concatenate([chosen, points[[gaps.argmax()]]])
        return chosen, np.full(len(chosen), self.positive)

    @cached_property
    def _plane(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Origin, axes (two in the plane, its normal), and the positions (N, 2) in the plane."""
        line = np.array(self.line_ras)
        origin = line.mean(axis=0)
        axes = np.linalg.svd(line - origin, full_matrices=True)[2]
        return origin, axes, (line - origin) @ axes[:2].T

    def _in_space(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (N, 2) of the plane as RAS mm (N, 3)."""
        origin, axes, _ = self._plane
        return origin + points @ axes[:2]

    def _lattice(self, step_mm: float) -> NDArray[np.float64]:
        """Return the anchor and points of the inside (N, 3), diagonal neighbours a step apart."""
        inside = self._in_space(self._inside(step_mm / math.sqrt(2.0)))
        return np.concatenate([[self.anchor_ras], inside])

    def _inside(self, pitch_mm: float) -> NDArray[np.float64]:
        """Return the points (N, 2) of a square lattice in the plane that lie inside."""
        polygon = self._plane[2]
        lower, upper = polygon.min(axis=0), polygon.max(axis=0)
        sides = zip(lower, upper, strict=True)
        u, v = (np.arange(low + pitch_mm / 2, high, pitch_mm) for low, high in sides)
        lattice = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
        return lattice[_surrounded(lattice, polygon)]


def _surrounded(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points (N, 2) an odd number of turns of a polygon (M, 2) surround."""
    inside = np.zeros(len(points), bool)
    u, v = points.T
    for (u0, v0), (u1, v1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if v0 != v1:  # does a ray along u from the point cross this side?
            crossed = (v0 <= v) != (v1 <= v)
            inside ^= crossed & (u < u0 + (v - v0) * ((u1 - u0) / (v1 - v0)))
    return inside


def _distances(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of points (N, 2) to the nearest side of a polygon (M, 2)."""
    nearest = np.full(len(points), np.inf)
    for start, stop in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        side = stop - start
        share = np.clip((points - start) @ side / max(float(side @ side), 1e-300), 0.0, 1.0)
        gaps = points - start - share[:, None] * side
        np.minimum(nearest, np.hypot(gaps[:, 0], gaps[:, 1]), out=nearest)
    return nearest
