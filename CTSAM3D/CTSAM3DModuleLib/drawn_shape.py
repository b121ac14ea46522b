"""A stroke, lasso or box that the hand is drawing in a slice view."""

from __future__ import annotations

import math
from typing import Any

import vtk

STEP_PIXELS = 3  # between corners of a line; what is smaller is the trembling of a click
WIDTH_PIXELS = 2


class DrawnShape:
    """A shape from press to release, shown in its view while it grows.

    It lies in the slice in which it was begun. Of the `kind`, ``"scribble"`` and ``"lasso"`` follow
    the mouse; ``"box"`` is a rectangle from the press to the mouse. `view` is the qMRMLSliceWidget
    in which it is drawn, `colour` red, green, blue, 0 to 1, and `xy` the pixel where it begins,
    from the bottom left.
    """

    def __init__(
        self, kind: str, view: Any, colour: tuple[float, float, float], xy: tuple[int, int]
    ) -> None:
        self.kind, self.view = kind, view
        self._way = [xy]
        self._to_world_ras = vtk.vtkMatrix4x4()
        self._to_world_ras.DeepCopy(view.mrmlSliceNode().GetXYToRAS())
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
        self._renderer().AddViewProp(self._actor)
        self._show()

    @property
    def is_short(self) -> bool:
        """Whether it is no more than the trembling of a click."""
        across = [max(at) - min(at) for at in zip(*self._way, strict=True)]
        return max(across) < STEP_PIXELS

    @property
    def corners_world_ras(self) -> list[tuple[float, ...]]:
        """Its corners, world RAS, mm."""
        return [_world(self._to_world_ras, xy) for xy in self._corners()]

    def go_on(self, xy: tuple[int, int]) -> None:
        """Draw on to a pixel; what is very near the last corner is left out."""
        if self.kind == "box":
            self._way[1:] = [xy]
        elif math.dist(xy, self._way[-1]) >= STEP_PIXELS:
            self._way.append(xy)
        else:
            return
        self._show()

    def remove(self) -> None:
        """Take it out of the view."""
        self._renderer().RemoveViewProp(self._actor)
        self.view.sliceView().scheduleRender()

    def _corners(self) -> list[tuple[int, int]]:
        if self.kind != "box":
            return self._way
        (x0, y0), (x1, y1) = self._way[0], self._way[-1]
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]

    def _show(self) -> None:
        corners = self._corners()
        self._points.SetNumberOfPoints(len(corners))
        for number, xy in enumerate(corners):
            self._points.SetPoint(number, *xy, 0.0)
        order = list(range(len(corners)))
        if self.kind != "scribble":
            order.append(0)
        self._cell.Reset()
        self._cell.InsertNextCell(len(order), order)
        self._points.Modified()
        self._shape.Modified()
        self.view.sliceView().scheduleRender()

    def _renderer(self) -> Any:
        renderers = self.view.sliceView().renderWindow().GetRenderers()
        return renderers.GetItemAsObject(0)


def world_of(view: Any, xy: tuple[int, int]) -> tuple[float, ...]:
    """Return the point at a pixel of a slice view in double precision, world RAS, mm."""
    return _world(view.mrmlSliceNode().GetXYToRAS(), xy)


def _world(to_world_ras: vtk.vtkMatrix4x4, xy: tuple[int, int]) -> tuple[float, ...]:
    return tuple(to_world_ras.MultiplyPoint([*xy, 0.0, 1.0])[:3])
