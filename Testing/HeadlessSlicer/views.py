"""Slice and 3D views, off screen with real displayable managers, and the layout manager."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.native import cpp_property, native_class
from Testing.HeadlessSlicer.qmrml_widget import SCENE_SIGNAL, observe, qMRMLWidget
from Testing.HeadlessSlicer.render_view import ctkVTKAbstractView

SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",  # window and level by the mouse
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
)
SLICES = {
    "Red": ("Axial", "R", (0.95, 0.29, 0.22)),
    "Yellow": ("Sagittal", "Y", (0.93, 0.84, 0.3)),
    "Green": ("Coronal", "G", (0.43, 0.69, 0.29)),
}
DISPLAY_RANGE = 255


class _MrmlView:
    """What the views of MRML have beside those of CTK."""

    def interactorObserver(self: Any) -> Any:
        """Return the observer that brings events to the displayable managers."""
        return self._style

    def displayableManagerByClassName(self: Any, name: str) -> Any:
        """Return one displayable manager."""
        return self._managers.GetDisplayableManagerByClassName(name)


def _managers(kind: str, names: tuple[str, ...], renderer: Any) -> Any:
    factory = getattr(slicer, f"vtkMRML{kind}ViewDisplayableManagerFactory").GetInstance()
    group = slicer.vtkMRMLDisplayableManagerGroup()
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group.Initialize(factory, renderer)
    return group


@native_class()
class ctkVTKSliceView(ctkVTKAbstractView):
    """A view of an image."""

    resized = QtCore.Signal(QtCore.QSize)


@native_class()
class qMRMLSliceView(_MrmlView, ctkVTKSliceView):
    """The view of a slice."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._slice_logic = logic
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(DISPLAY_RANGE)
        mapper.SetColorLevel(DISPLAY_RANGE / 2)
        self._mapper = mapper
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        actor.VisibilityOff()
        self._image_actor = actor
        self._renderer.AddViewProp(actor)
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._start(_managers("Slice", SLICE_MANAGERS, self._renderer), style, logic.GetSliceNode())
        style.SetSliceLogic(logic)

    def _before_render(self) -> None:
        connection = self._slice_logic.GetImageDataConnection()
        self._image_actor.SetVisibility(connection is not None)
        self._mapper.SetInputConnection(connection)

    def _size_changed(self, width: int, height: int) -> None:
        self._slice_logic.ResizeSliceNode(width, height)
        self.resized.emit(QtCore.QSize(width, height))

    def mrmlSliceNode(self) -> Any:
        """Return the slice node."""
        return self._slice_logic.GetSliceNode()

    def convertDeviceToXYZ(self, xy: Any) -> tuple[float, float, float]:
        """Return the pixel with the lightbox page."""
        return (float(xy[0]), float(xy[1]), 0.0)

    def convertXYZToRAS(self, xyz: Any) -> tuple[float, ...]:
        """Return the position of a pixel."""
        return tuple(self.mrmlSliceNode().GetXYToRAS().MultiplyPoint([*xyz, 1.0])[:3])

    def convertRASToXYZ(self, ras: Any) -> tuple[float, ...]:
        """Return the pixel of a position."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return tuple(inverse.MultiplyPoint([*ras, 1.0])[:3])


@native_class()
class ctkVTKRenderView(ctkVTKAbstractView):
    """A view of a 3D scene."""


@native_class()
class qMRMLThreeDView(_MrmlView, ctkVTKRenderView):
    """The 3D view."""

    def __init__(self, view_node: Any) -> None:
        super().__init__()
        self._view_node = view_node
        self._renderer.SetBackground(0.756, 0.764, 0.91)
        self._renderer.SetBackground2(0.454, 0.47, 0.745)
        self._renderer.GradientBackgroundOn()
        style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._start(_managers("ThreeD", THREE_D_MANAGERS, self._renderer), style, view_node)

    def mrmlViewNode(self) -> Any:
        """Return the view node."""
        return self._view_node

    def resetFocalPoint(self) -> None:
        """Turn around the middle of what is shown, and put the box round it."""
        node = self._view_node
        shown = node.GetBoxVisible(), node.GetAxisLabelsVisible()
        self._show_box(0, 0)
        left, right, back, front, low, high = self._renderer.ComputeVisiblePropBounds()
        if left <= right:
            middle = (left + right) / 2, (back + front) / 2, (low + high) / 2
            camera = self._renderer.GetActiveCamera()
            camera.SetFocalPoint(*middle)
            camera.OrthogonalizeViewUp()
        self._show_box(*shown)
        node.InvokeEvent(node.ResetFocalPointRequestedEvent)
        self._renderer.ResetCameraClippingRange()

    def resetCamera(self) -> None:
        """Show everything."""
        self._renderer.ResetCamera()

    def _show_box(self, box: int, labels: int) -> None:
        self._view_node.SetBoxVisible(box)
        self._view_node.SetAxisLabelsVisible(labels)


@native_class(SCENE_SIGNAL)
class qMRMLAbstractViewWidget(qMRMLWidget):
    """A view in its frame."""

    def _frame(self, view: Any) -> None:
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(view)


@native_class(SCENE_SIGNAL)
class qMRMLSliceWidget(qMRMLAbstractViewWidget):
    """A slice view with its logic."""

    def __init__(self, name: str) -> None:
        super().__init__()
        application_logic = slicer.app.applicationLogic()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        application_logic.GetSliceLogics().AddItem(self._logic)
        node = self._logic.AddSliceNode(name)
        orientation, label, color = SLICES[name]
        node.SetLayoutLabel(label)
        node.SetLayoutColor(*color)
        node.SetOrientation(orientation)
        node.SetMappedInLayout(1)
        self._view = qMRMLSliceView(self._logic)
        self._frame(self._view)
        self.setMRMLScene(slicer.mrmlScene)
        observe(
            self,
            "logic",
            self._logic,
            {vtk.vtkCommand.ModifiedEvent: lambda c, e: self._view.scheduleRender()},
        )

    def sliceLogic(self) -> Any:
        """Return the slice logic."""
        return self._logic

    def logic(self) -> Any:
        """Return the slice logic."""
        return self._logic

    def mrmlSliceNode(self) -> Any:
        """Return the slice node."""
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        """Return the node that says which volumes are shown."""
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> Any:
        """Return the view."""
        return self._view

    def interactorStyle(self) -> Any:
        """Return the style, which knows the interactor."""
        return self._view.interactorStyle()

    def fitSliceToBackground(self) -> None:
        """Show the whole background volume."""
        self._logic.FitSliceToBackground()


@native_class(SCENE_SIGNAL)
class qMRMLThreeDWidget(qMRMLAbstractViewWidget):
    """A 3D view with its logic."""

    def __init__(self) -> None:
        super().__init__()
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        slicer.app.applicationLogic().GetViewLogics().AddItem(self._logic)
        node = self._logic.AddViewNode("1")
        node.SetMappedInLayout(1)
        self._view = qMRMLThreeDView(node)
        self._frame(self._view)
        self.setMRMLScene(slicer.mrmlScene)

    def viewLogic(self) -> Any:
        """Return the view logic."""
        return self._logic

    def mrmlViewNode(self) -> Any:
        """Return the view node."""
        return self._view.mrmlViewNode()

    def threeDView(self) -> Any:
        """Return the view."""
        return self._view


@native_class()
class qSlicerLayoutManager(QtCore.QObject):
    """The three slice views and the 3D view."""

    layoutChanged = QtCore.Signal(int)
    threeDViewCount = cpp_property(int, lambda self: 1)
    tableViewCount = cpp_property(int, lambda self: 0)
    plotViewCount = cpp_property(int, lambda self: 0)

    def __init__(self) -> None:
        super().__init__()
        self._slices = {name: qMRMLSliceWidget(name) for name in SLICES}
        self._three_d = qMRMLThreeDWidget()

    def sliceViewNames(self) -> tuple[str, ...]:
        """Return the names of the slice views."""
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> Any:
        """Return a slice view, or None."""
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> Any:
        """Return the 3D view."""
        return self._three_d if index == 0 else None

    def mrmlSliceLogics(self) -> Any:
        """Return the logics of the slice views."""
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:
        """Show the whole background volume in every slice view."""
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """Show everything in the 3D view."""
        self._three_d.threeDView().resetCamera()

    def resumeRender(self) -> None:
        """Render what was held back."""
        for widget in self._slices.values():
            widget.sliceView().scheduleRender()
        self._three_d.threeDView().scheduleRender()

    def pauseRender(self) -> None:
        """Do nothing: the application counts the pauses."""

    def _end(self) -> None:
        for widget in self._slices.values():
            widget.sliceView()._end()
        self._three_d.threeDView()._end()
