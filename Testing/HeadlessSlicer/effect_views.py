"""The part of an effect that deals with views: coordinates, actors, rendering."""

from __future__ import annotations

import math
from typing import Any

import slicer
from PySide6 import QtCore, QtGui


def is_slice_widget(widget: Any) -> bool:
    """Tell whether something can be used as slice widget."""
    return hasattr(widget, "sliceLogic") and widget.className() == "qMRMLSliceWidget"


def _slice_node(widget: Any) -> Any:
    if not is_slice_widget(widget):
        message = f"Expected a slice widget, got {widget!r}"
        raise TypeError(message)
    return widget.sliceLogic().GetSliceNode()


class EffectViews:
    """Methods of an effect that take a view widget; QVector3D is of single precision."""

    def xyToRas(self, xy: Any, widget: Any) -> QtGui.QVector3D:
        """Return the position in RAS of a pixel (from the lower left) of a slice view."""
        return self.xyzToRas(QtGui.QVector3D(xy.x(), xy.y(), 0), widget)

    def xyzToRas(self, xyz: Any, widget: Any) -> QtGui.QVector3D:
        """Return the position in RAS of a pixel with its lightbox page."""
        ras = [0.0, 0.0, 0.0]
        point = [xyz.x(), xyz.y(), xyz.z()]
        slicer.vtkSlicerSegmentEditorLogic.XyzToRas(point, ras, _slice_node(widget))
        return QtGui.QVector3D(*ras)

    def rasToXy(self, ras: Any, widget: Any) -> QtCore.QPoint:
        """Return the pixel of a position in RAS."""
        matrix = slicer.vtkMRMLSliceNode.GetXYToRAS(_slice_node(widget))
        inverse = type(matrix)()
        inverse.DeepCopy(matrix)
        inverse.Invert()
        x, y, _, _ = inverse.MultiplyPoint([ras.x(), ras.y(), ras.z(), 1.0])
        return QtCore.QPoint(math.trunc(x), math.trunc(y))

    def xyToIjk(self, xy: Any, widget: Any, image: Any, transform: Any = None) -> QtGui.QVector3D:
        """Return the voxel of an oriented image under a pixel."""
        return self.xyzToIjk(QtGui.QVector3D(xy.x(), xy.y(), 0), widget, image, transform)

    def xyzToIjk(self, xyz: Any, widget: Any, image: Any, transform: Any = None) -> QtGui.QVector3D:
        """Return the voxel of an oriented image under a pixel with its lightbox page."""
        ijk = [0, 0, 0]
        point = [xyz.x(), xyz.y(), xyz.z()]
        slicer.vtkSlicerSegmentEditorLogic.XyzToIjk(
            point, ijk, _slice_node(widget), image, transform
        )
        return QtGui.QVector3D(*ijk)

    def sliceSpacing(self, widget: Any) -> float:
        """Return the distance of slices of a view in mm."""
        return float(widget.sliceLogic().GetLowestVolumeSliceSpacing()[2])

    def viewNode(self, widget: Any) -> Any:
        """Return the view node of a slice or 3D widget."""
        return _slice_node(widget) if is_slice_widget(widget) else widget.mrmlViewNode()

    def _view(self, widget: Any) -> Any:
        return widget.sliceView() if is_slice_widget(widget) else widget.threeDView()

    def renderWindow(self, widget: Any) -> Any:
        """Return the render window."""
        return self._view(widget).renderWindow()

    def renderer(self, widget: Any) -> Any:
        """Return the first renderer."""
        return self.renderWindow(widget).GetRenderers().GetItemAsObject(0)

    def addActor2D(self, widget: Any, actor: Any) -> None:
        """Show an actor in a view."""
        self.renderer(widget).AddViewProp(actor)
        self.scheduleRender(widget)

    def removeActor2D(self, widget: Any, actor: Any) -> None:
        """Remove an actor from a view."""
        self.renderer(widget).RemoveViewProp(actor)
        self.scheduleRender(widget)

    addActor3D = addActor2D
    removeActor3D = removeActor2D

    def scheduleRender(self, widget: Any) -> None:
        """Render later."""
        self._view(widget).scheduleRender()

    def forceRender(self, widget: Any) -> None:
        """Render now."""
        self._view(widget).forceRender()

    def cursorOff(self, widget: Any) -> None:
        """Hide the mouse cursor: nothing to do off screen."""

    def cursorOn(self, widget: Any) -> None:
        """Show the mouse cursor: nothing to do off screen."""
