"""`slicer.app`: the application object, and the managers it hands out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.io_manager import qSlicerCoreIOManager
from Testing.HeadlessSlicer.module_host import qSlicerModuleManager
from Testing.HeadlessSlicer.native import cpp_property, native_class

VERSION = (5, 12, 3)


@native_class()
class qSlicerExtensionsManagerModel(QtCore.QObject):
    """Records what is asked of the extensions manager; installs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, ...]] = []
        self._installed: list[str] = []

    installedExtensions = cpp_property(list, lambda self: self._installed)
    interactive = cpp_property(bool, lambda self: False)

    def installExtensionFromServer(
        self, name: str, restart: bool = True, update: bool = True
    ) -> bool:
        """Record the call."""
        self._calls.append(("installExtensionFromServer", name, restart, update))
        return True

    def isExtensionInstalled(self, name: str) -> bool:
        """Tell whether a test has listed the extension as installed."""
        return name in self._installed

    def updateExtensionsMetadataFromServer(self, force: bool = False, wait: bool = False) -> bool:
        """Record the call."""
        self._calls.append(("updateExtensionsMetadataFromServer", force, wait))
        return True


@native_class({"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"})
class qSlicerApplication(QtWidgets.QApplication):
    """The application. Its window, if any, is made by `window.py`."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, application_logic: Any, temporary_path: str) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("HeadlessSlicer")
        settings = QtCore.QSettings.Format.IniFormat
        QtCore.QSettings.setDefaultFormat(settings)
        QtCore.QSettings.setPath(settings, QtCore.QSettings.Scope.UserScope, temporary_path)
        self._application_logic = application_logic
        self._temporary_path = temporary_path
        self._io_manager = qSlicerCoreIOManager()
        self._module_manager = qSlicerModuleManager()
        self._extensions = qSlicerExtensionsManagerModel()
        self._layout_manager: Any = None
        self._settings = QtCore.QSettings()
        self._renders_paused = 0

    temporaryPath = cpp_property(str, lambda self: self._temporary_path)
    majorVersion = cpp_property(int, lambda self: VERSION[0])
    minorVersion = cpp_property(int, lambda self: VERSION[1])
    mainApplicationName = cpp_property(str, lambda self: "Slicer")
    revision = cpp_property(str, lambda self: "stand-in")
    slicerHome = cpp_property(str, lambda self: self._temporary_path)
    documentationBaseUrl = cpp_property(str, lambda self: "https://slicer.readthedocs.io/")
    os = cpp_property(str, lambda self: "linux")
    arch = cpp_property(str, lambda self: "amd64")

    @staticmethod
    def processEvents(*arguments: Any) -> None:
        """Handle what waits; an exception of a slot is printed, as in Slicer, and not raised."""
        try:
            QtWidgets.QApplication.processEvents(*arguments)
        except Exception:  # whatever a slot raised
            sys.excepthook(*sys.exc_info())

    def applicationLogic(self) -> Any:
        """Return the application logic."""
        return self._application_logic

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return slicer.mrmlScene

    def coreIOManager(self) -> Any:
        """Return the IO manager."""
        return self._io_manager

    def ioManager(self) -> Any:
        """Return the IO manager."""
        return self._io_manager

    def moduleManager(self) -> Any:
        """Return the module manager."""
        return self._module_manager

    def extensionsManagerModel(self) -> Any:
        """Return the recorder in the place of the extensions manager."""
        return self._extensions

    def layoutManager(self) -> Any:
        """Return the views, or None where none were made."""
        return self._layout_manager

    def moduleLogic(self, name: str) -> Any:
        """Return the logic of a module."""
        return self._application_logic.GetModuleLogic(name)

    def testingEnabled(self) -> bool:
        """Return True, so that the `...Display` functions of slicer.util only log."""
        return True

    def mainWindow(self) -> None:
        """Return None."""

    def settings(self) -> Any:
        """Return settings that end with the process."""
        return self._settings

    def userSettings(self) -> Any:
        """Return settings that end with the process."""
        return self._settings

    def pauseRender(self) -> None:
        """Hold rendering until as many `resumeRender`."""
        self._renders_paused += 1

    def resumeRender(self) -> None:
        """Undo one `pauseRender`."""
        self._renders_paused = max(0, self._renders_paused - 1)
        if not self._renders_paused and self._layout_manager is not None:
            self._layout_manager.resumeRender()

    def setRenderPaused(self, paused: bool) -> None:
        """Pause or resume."""
        (self.pauseRender if paused else self.resumeRender)()

    def restart(self) -> None:
        """Raise: no test may restart."""
        message = "The code under test asked for a restart"
        raise RuntimeError(message)


def _register_displayable_managers(application_logic: Any) -> None:
    for name in (
        "vtkMRMLSliceViewDisplayableManagerFactory",
        "vtkMRMLThreeDViewDisplayableManagerFactory",
    ):
        getattr(slicer, name).GetInstance().SetMRMLApplicationLogic(application_logic)


def _data_io(application_logic: Any, scene: Any, cache: str) -> list[Any]:
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.GetCacheManager().SetRemoteCacheDirectory(cache)
    data = slicer.vtkDataIOManagerLogic()
    data.SetMRMLApplicationLogic(application_logic)
    application_logic.SetMRMLSceneDataIO(scene, remote, data)
    return [remote, data]


def create_application(logics: Callable[[Any, Any, str], list[Any]]) -> list[Any]:
    """Make scene, logics and `slicer.app`; return what must be kept alive.

    Parameters
    ----------
    logics
        Makes the C++ modules from application logic, scene and share directory.
    """
    temporary = tempfile.mkdtemp(prefix="headless-slicer-")
    for folder in ("cache", "share", "unpacked"):
        Path(temporary, folder).mkdir()
    scene = slicer.vtkMRMLScene()
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetTemporaryPath(f"{temporary}/unpacked")
    application_logic.SetMRMLScene(scene)
    view_logics = [vtk.vtkCollection(), vtk.vtkCollection()]
    application_logic.SetSliceLogics(view_logics[0])
    application_logic.SetViewLogics(view_logics[1])
    slicer.mrmlScene = scene
    _register_displayable_managers(application_logic)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    layout = slicer.vtkMRMLLayoutNode()  # a double click maximises a view through it
    layout.SetSingletonTag("vtkMRMLLayoutNode")
    scene.AddNode(layout)
    colors = application_logic.GetColorLogic()
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    slicer.app = qSlicerApplication(application_logic, temporary)
    for module in logics(application_logic, scene, f"{temporary}/share"):
        slicer.app.moduleManager()._add(module)
    kept = _data_io(application_logic, scene, f"{temporary}/cache")
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return [*kept, *view_logics, crosshair, layout]
