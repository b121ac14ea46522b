"""The host of scripted modules: loads a module file as Slicer does, and holds its panel."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.HeadlessSlicer.native import cpp_property, native_class, native_property
from Testing.HeadlessSlicer.qmrml_widget import qSlicerWidget


def load_source(name: str, path: str) -> Any:
    """Run a Python file as the module `name`, replacing one that is there already."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} is not a Python file"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@native_class()
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The panel of a module, around the Python widget."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.setLayout(QtWidgets.QVBoxLayout())
        self._path = path
        self._entered = False
        self._self: Any = None
        self._instantiate()

    isEntered = cpp_property(bool, lambda self: self._entered)
    moduleName = cpp_property(str, lambda self: Path(self._path).stem)

    def _instantiate(self) -> None:
        class_name = f"{self.moduleName}Widget"
        self._self = getattr(sys.modules[self.moduleName], class_name)(self)
        setattr(slicer.modules, class_name, self._self)

    def self(self) -> Any:
        """Return the Python widget."""
        return self._self

    def setup(self) -> None:
        """Let the Python widget make its controls."""
        self._self.setup()

    def enter(self) -> None:
        """The user opens the module."""
        self._entered = True
        self._self.enter()

    def exit(self) -> None:
        """The user leaves the module."""
        self._entered = False
        self._self.exit()

    def reload(self) -> None:
        """Make the Python widget again."""
        self._instantiate()
        self.setup()


@native_class()
class qSlicerScriptedLoadableModule(QtCore.QObject):
    """A scripted module: what the module file says of itself, and its panel."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = str(path)
        self._widget: Any = None
        self._extra_widgets: list[Any] = []
        self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)

    name = cpp_property(str, lambda self: Path(self._path).stem)
    path = cpp_property(str, lambda self: self._path)
    title = native_property("title", "")
    categories = native_property("categories", (), list)
    dependencies = native_property("dependencies", (), list)
    contributors = native_property("contributors", (), list)
    associatedNodeTypes = native_property("associatedNodeTypes", (), list)
    helpText = native_property("helpText", "")
    acknowledgementText = native_property("acknowledgementText", "")
    hidden = native_property("hidden", default=False)
    index = native_property("index", -1)
    icon = native_property("icon", QtGui.QIcon())
    widgetRepresentationCreationEnabled = native_property(
        "widgetRepresentationCreationEnabled", default=True
    )

    def logic(self) -> Any:
        """Return the C++ logic of a scripted module; Slicer does not know the Python logic."""
        return self._logic

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return slicer.mrmlScene

    def widgetRepresentation(self) -> Any:
        """Return the panel; it is made when first asked for."""
        if self._widget is None and self.widgetRepresentationCreationEnabled:
            self._widget = self.createNewWidgetRepresentation()
            self._extra_widgets.remove(self._widget)
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        """Return a further panel of the same module."""
        widget = qSlicerScriptedLoadableModuleWidget(self._path)
        self._extra_widgets.append(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        widget.setup()
        return widget

    def _unload(self) -> None:
        self._widget = None
        self._extra_widgets.clear()


@native_class()
class qSlicerAbstractModuleFactoryManager(QtCore.QObject):
    """Knows which modules could be loaded."""

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        self._modules = modules

    def isRegistered(self, name: str) -> bool:
        """Tell whether there is a module of this name."""
        return name in self._modules


@native_class()
class qSlicerModuleFactoryManager(qSlicerAbstractModuleFactoryManager):
    """Knows which modules are loaded."""

    def isLoaded(self, name: str) -> bool:
        """Tell whether a module is loaded."""
        return name in self._modules

    def loadedModuleNames(self) -> tuple[str, ...]:
        """Return the names of all modules."""
        return tuple(self._modules)

    def loadedModule(self, name: str) -> Any:
        """Return a module, or None."""
        return self._modules.get(name)


@native_class()
class qSlicerModuleManager(QtCore.QObject):
    """Knows all modules."""

    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._factory = qSlicerModuleFactoryManager(self._modules)

    def factoryManager(self) -> Any:
        """Return the factory manager."""
        return self._factory

    def module(self, name: str) -> Any:
        """Return a module, or None."""
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        """Return the names of all modules."""
        return tuple(self._modules)

    def _add(self, module: Any) -> None:
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        setattr(slicer.moduleNames, module.name, module.name)
        self.moduleLoaded.emit(module.name)

    def _remove(self, name: str) -> None:
        self.moduleAboutToBeUnloaded.emit(name)
        module = self._modules.pop(name)
        if isinstance(module, qSlicerScriptedLoadableModule):
            module._unload()
        for attribute in (name.lower(), f"{name}Widget", f"{name}Instance"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        sys.modules.pop(name, None)


@contextmanager
def without_classes_of_modules() -> Iterator[None]:
    """Take the classes that come with C++ modules, such as Markups, out of `slicer`.

    They are there once the modules are loaded, and all modules are instantiated before that.
    """
    hidden = {
        name: cls
        for name, cls in vars(slicer).items()
        if isinstance(cls, type) and re.match(r"slicer_core\.vtkSlicer\w+Module", cls.__module__)
    }
    for name in hidden:
        delattr(slicer, name)
    try:
        yield
    finally:
        for name, cls in hidden.items():
            setattr(slicer, name, cls)


def instantiate(path: Path) -> qSlicerScriptedLoadableModule:
    """Run the file of a scripted module; only its own folder is added to `sys.path`."""
    name = path.stem
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = qSlicerScriptedLoadableModule(path.as_posix())
    source = load_source(name, str(path))
    setattr(slicer.modules, f"{name}Instance", getattr(source, name)(module))
    module.widgetRepresentationCreationEnabled = hasattr(source, f"{name}Widget")
    return module


def load(module: qSlicerScriptedLoadableModule) -> qSlicerScriptedLoadableModule:
    """Load a module that is instantiated."""
    instance = getattr(slicer.modules, f"{module.name}Instance")
    if hasattr(instance, "setup"):
        instance.setup()
    slicer.app.moduleManager()._add(module)
    return module


def load_modules(paths: list[Path]) -> None:
    """Instantiate all modules, by their names; then load them, after those they depend on."""
    with without_classes_of_modules():
        modules = {path: instantiate(path) for path in sorted(paths, key=lambda path: path.stem)}
    for path in in_dependency_order(paths):
        load(modules[path])


def in_dependency_order(paths: list[Path]) -> list[Path]:
    """Sort module files so that each comes after those that its text lists as dependencies."""
    names = {path.stem: path for path in paths}
    ordered: list[Path] = []

    def visit(path: Path) -> None:
        if path in ordered:
            return
        lines = [
            line for line in path.read_text(encoding="utf-8").splitlines() if "dependencies" in line
        ]
        for name, other in names.items():
            if other != path and any(f'"{name}"' in line for line in lines):
                visit(other)
        ordered.append(path)

    for path in paths:
        visit(path)
    return ordered
