"""A line that the hand is drawing in a slice view."""

from __future__ import annotations

import math
from typing import Any

import vtk

STEP_PIXELS = 3  # between corners of the line
WIDTH_PIXELS = 2


class DrawnLine:
    """A line from press to release, shown in its view while it grows.

    Parameters
    ----------
    scriptedEffect : qSlicerSegmentEditorScriptedEffect
        Shows the line.
    view : qMRMLSliceWidget
        Where it is drawn.
    colour : three floats
        Red, green, blue, 0 to 1.
    xy : two ints
        Where it begins: a pixel, from the bottom left.

    Attributes
    ----------
    line_world_ras : list of three floats
        Its corners, world RAS, mm.
    """

    def __init__(
        self,
        scriptedEffect: Any,
        view: Any,
        colour: tuple[float, float, float],
        xy: tuple[int, int],
    ) -> None:
        self._effect, self._view = scriptedEffect, view
        self._corners: list[tuple[int, int]] = []
        self.line_world_ras: list[tuple[float, ...]] = []
        self._points, self._cell = vtk.vtkPoints(), vtk.vtkCellArray()
        self._shape = vtk.vtkPolyData()
        self._shape.SetPoints(self._points)
        self._shape.SetLines(self._cell)
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._shape)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetColor(*colour)
        self._actor.GetProperty().SetLineWidth(WIDTH_PIXELS)
        self._effect.addActor2D(view, self._actor)
        self._add(xy)

    @property
    def is_short(self) -> bool:
        """Whether it is no more than the trembling of a click."""
        return len(self._corners) < 2

    def go_on(self, xy: tuple[int, int]) -> None:
        """Draw on to a pixel; what is very near the last corner is left out."""
        if math.dist(xy, self._corners[-1]) >= STEP_PIXELS:
            self._add(xy)

    def remove(self) -> None:
        """Take it out of the view."""
        self._effect.removeActor2D(self._view, self._actor)
        self._effect.scheduleRender(self._view)

    def _add(self, xy: tuple[int, int]) -> None:
        self._corners.append(xy)
        self.line_world_ras.append(world_of(self._view, xy))
        self._points.InsertNextPoint(*xy, 0.0)
        self._cell.Reset()
        self._cell.InsertNextCell(len(self._corners), list(range(len(self._corners))))
        self._points.Modified()
        self._shape.Modified()
        self._effect.scheduleRender(self._view)


def world_of(view: Any, xy: tuple[int, int]) -> tuple[float, ...]:
    """Return the point at a pixel of a slice view in double precision, world RAS, mm."""
    return tuple(view.mrmlSliceNode().GetXYToRAS().MultiplyPoint([*xy, 0.0, 1.0])[:3])
