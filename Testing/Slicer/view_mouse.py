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


def click_and_wait(case, ras: Sequence[float], modifiers: Sequence[str] = ()) -> list[float]:
    """Click in the red view of a case, and wait for all that comes of it; returns as `click`."""
    hit = click("Red", ras, modifiers)
    case.settle()
    return hit


def drag(
    view: str,
    start_ras: Sequence[float],
    end_ras: Sequence[float],
    modifiers: Sequence[str] = (),
) -> None:
    """Press at one position and release at another."""
    drag_xy(view, xy_of(view, start_ras), xy_of(view, end_ras), modifiers)


def drag_xy(
    view: str, start: Sequence[int], end: Sequence[int], modifiers: Sequence[str] = ()
) -> None:
    """Press at one pixel and release at another."""
    widget = slicer.app.layoutManager().sliceWidget(view)
    slicer.util.clickAndDrag(widget, start=start, end=end, steps=10, modifiers=list(modifiers))
    slicer.app.processEvents()


def interactor_of(view: str) -> vtk.vtkRenderWindowInteractor:
    """Return what a slice view hears the mouse by."""
    return slicer.app.layoutManager().sliceWidget(view).interactorStyle().GetInteractor()


def hover(view: str, xy: Sequence[int]) -> None:
    """Move the mouse to a pixel, as a hand does before it presses."""
    interactor = interactor_of(view)
    interactor.SetEventInformation(int(xy[0]), int(xy[1]), 0, 0, "\0", 0, None)
    interactor.MouseMoveEvent()


def double_click(view: str, first: Sequence[int], second: Sequence[int], control: int = 0) -> None:
    """Click at two pixels so quickly that a double click comes in place of the second press."""
    interactor = interactor_of(view)
    for xy, press in (
        (first, interactor.LeftButtonPressEvent),
        (second, lambda: interactor.InvokeEvent("LeftButtonDoubleClickEvent")),
    ):
        interactor.SetEventInformation(int(xy[0]), int(xy[1]), control, 0, "\0", 0, None)
        press()
        interactor.LeftButtonReleaseEvent()
    interactor.SetControlKey(0)
    slicer.app.processEvents()


def press_key(view: str, xy: Sequence[int], name: str, character: str = "\0") -> None:
    """Press a key with the mouse at a pixel."""
    hover(view, xy)
    interactor = interactor_of(view)
    interactor.SetKeyEventInformation(0, 0, character, 1, name)
    interactor.KeyPressEvent()
    interactor.KeyReleaseEvent()
    slicer.app.processEvents()
