"""Strokes, lassos and boxes in the views: shown, not to be dragged. Main thread only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from CTSAM3DLib.mrml import MARKUPS_CLASSES, set_markup_points, world_points
from CTSAM3DLib.prompts import Prompt, Prompts
from CTSAM3DModuleLib.editing.markers import hidden_markup, reach_pixels

GLYPH_SCALE = 0.1  # percent of the screen: the corners are not to be seen
LINE_WIDTH = 5.0  # glyphs


class Shapes:
    """The prompts of a segment that are no points, as Markups neither saved nor offered."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._shown: dict[Prompt, tuple[Any, NDArray[np.float64]]] = {}  # node and its points

    def show(self, prompts: Prompts, volume_node: Any) -> None:
        """Show the shapes among prompts where the volume lies now; what is right already stays."""
        wanted = [prompt for prompt in prompts if prompt.kind in MARKUPS_CLASSES]
        for prompt in [one for one in self._shown if one not in wanted]:
            self._take_out(prompt)
        for prompt in wanted:
            points = world_points(prompt, volume_node)
            node, before = self._shown.get(prompt, (None, None))
            if node is None or not self._scene.IsNodePresent(node):
                node, before = self._new_node(prompt), None
            if before is None or not np.array_equal(points, before):
                set_markup_points(node, points)
            self._shown[prompt] = (node, points)

    def remove(self) -> None:
        """Take all of them out of the scene."""
        for prompt in list(self._shown):
            self._take_out(prompt)

    def nearest(self, slice_node: Any, render_window: Any, xy: Iterable[int]) -> Prompt | None:
        """Return which shape is meant by the mouse in a slice view, as in `ClickMarkers.nearest`.

        Its line has to be near, as for Slicer's own cursor. Of several the one counts that is drawn
        most clearly, then the nearest one.
        """
        reach = reach_pixels(slice_node, render_window, GLYPH_SCALE)
        to_ras = slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS())
        slice_mm = float(np.linalg.norm(to_ras[:3, 2]))
        found = []
        for number, (prompt, (node, points)) in enumerate(self._shown.items()):
            seen = (np.c_[points, np.ones(len(points))] @ np.linalg.inv(to_ras).T)[:, :3]
            seen[:, 2] *= slice_mm
            display = node.GetDisplayNode()
            depth = display.GetLineColorFadingEnd()
            pixels, off_mm = _gaps(_PIECES[prompt.kind](seen), [*xy], depth)
            clear_mm = np.maximum(off_mm, display.GetLineColorFadingStart())[pixels < reach]
            if len(clear_mm):
                found.append((clear_mm.min(), pixels.min(), number, prompt))
        return min(found)[3] if found else None

    def _take_out(self, prompt: Prompt) -> None:
        node, _ = self._shown.pop(prompt)
        if self._scene.IsNodePresent(node):
            self._scene.RemoveNode(node)

    def _new_node(self, prompt: Prompt) -> Any:
        node = hidden_markup(self._scene, MARKUPS_CLASSES[prompt.kind], prompt.positive)
        display = node.GetDisplayNode()
        display.SetLineThickness(LINE_WIDTH)
        display.SetGlyphScale(GLYPH_SCALE)
        display.SetFillVisibility(False)
        if prompt.kind == "box":
            display.SetHandlesInteractive(False)
        else:
            node.SetCurveTypeToLinear()
        node.SetLocked(True)
        return node


def _line(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the straight pieces (M, 2, 3) of a line through points (N, 3)."""
    pieces = _ring(points)
    return pieces[:-1] if len(points) > 1 else pieces


def _ring(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the straight pieces (N, 2, 3) of a closed line through points (N, 3)."""
    return np.stack([points, np.roll(points, -1, axis=0)], axis=1)


def _cut_faces(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pieces (M, 2, 3) in which z = 0 cuts the faces of a box with points (7, 3)."""
    middle, halves = points[0], (points[4:] - points[1:4]) / 2.0
    pieces = []
    for axis, sign in itertools.product(range(3), (-1.0, 1.0)):
        u, v = halves[axis - 2], halves[axis - 1]
        corners = middle + sign * halves[axis] + np.array([u + v, u - v, -u - v, v - u])
        sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
        ends = [a + (b - a) * (a[2] / (a[2] - b[2])) for a, b in sides if (a[2] < 0) != (b[2] < 0)]
        if ends:
            pieces.append(ends)
    return np.array(pieces).reshape(-1, 2, 3)


_PIECES = {"scribble": _line, "lasso": _ring, "box": _cut_faces}
"""By kind of prompt, what is seen of its `world_points` in a slice."""


def _gaps(
    pieces: NDArray[np.float64], xy: list[int], depth: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far pieces no deeper than depth are from a pixel, and there from z = 0."""
    start, way = pieces[:, 0], pieces[:, 1] - pieces[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.sort((np.array([[-depth], [depth]]) - start[:, 2]) / way[:, 2], axis=0)
        shares = np.sum((xy - start[:, :2]) * way[:, :2], 1) / np.sum(way[:, :2] ** 2, 1)
    first, last = np.fmax(ends[0], 0.0), np.fmin(ends[1], 1.0)
    near = first <= last
    shares = np.clip(np.nan_to_num(shares), first, last)[near]
    at = start[near] + way[near] * shares[:, None]
    return np.linalg.norm(at[:, :2] - xy, axis=1), np.abs(at[:, 2])
