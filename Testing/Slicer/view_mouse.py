"""Mouse clicks in slice views at positions in RAS; the same here and in Slicer."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk


def xy_of(view: str, ras: Sequence[float]) -> tuple[int, int]:
    """Move a slice view to a position and return the nearest pixel."""
    widget = slicer.app.layoutManager().sliceWidget(view)
    node = widget.mrmlSliceNode()
    node.JumpSliceByOffsetting(*ras)
    inverse = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), inverse)
    x, y, _, _ = inverse.MultiplyPoint([*ras, 1.0])
    return round(x), round(y)


def ras_of(view: str, xy: Sequence[int]) -> list[float]:
    """Return the position under a pixel of a slice view."""
    node = slicer.app.layoutManager().sliceWidget(view).mrmlSliceNode()
    return list(node.GetXYToRAS().MultiplyPoint([*xy, 0.0, 1.0])[:3])


def click(view: str, ras: Sequence[float], modifiers: Sequence[str] = ()) -> list[float]:
    """Click the left button at a position; return the position of the pixel that was hit."""
    xy = xy_of(view, ras)
    widget = slicer.app.layoutManager().sliceWidget(view)
    slicer.util.clickAndDrag(widget, start=xy, end=xy, steps=1, modifiers=list(modifiers))
    slicer.app.processEvents()
    return ras_of(view, xy)


def drag(view: str, start_ras: Sequence[float], end_ras: Sequence[float]) -> None:
    """Press at one position and release at another."""
    widget = slicer.app.layoutManager().sliceWidget(view)
    start, end = xy_of(view, start_ras), xy_of(view, end_ras)
    slicer.util.clickAndDrag(widget, start=start, end=end, steps=10)
    slicer.app.processEvents()
