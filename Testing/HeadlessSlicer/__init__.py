"""A stand-in for 3D Slicer, for tests: real MRML from the slicer-core wheel, Qt from PySide6.

Only test set-up imports this package; tests themselves see `slicer`, `qt` and `ctk`, as in
Slicer. See README.md.
"""

from __future__ import annotations

import atexit
import ctypes
import ctypes.util
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

HERE = Path(__file__).parent
_kept: list[Any] = []


def missing() -> str:
    """Return in words what this machine lacks to run the stand-in; empty if nothing."""
    for package in ("slicer", "PySide6", "vtk"):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed (requirements/slicer.txt)"
    if sys.platform.startswith("linux") and not _has_library("EGL", "OSMesa"):
        return "neither libEGL nor libOSMesa is installed (apt-get install libegl1 libgl1-mesa-dri)"
    return ""


def _has_library(*names: str) -> bool:
    for name in names:
        found = ctypes.util.find_library(name)
        if found:
            try:
                ctypes.CDLL(found)
            except OSError:
                continue
            return True
    return False


def _environment() -> None:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    os.environ.setdefault("QT_LOGGING_RULES", "qt.qpa.*=false")


def _not_covered(name: str) -> type:
    """Return a class that says, when it is used, that the stand-in does not have it."""

    def refuse(*arguments: Any) -> None:
        message = f"The stand-in for Slicer does not have {name}"
        raise NotImplementedError(message)

    return type(name, (), {"__init__": refuse})


def _names_of_classes(slicer: ModuleType, ctk: ModuleType) -> None:
    """Put the stand-in classes where Slicer has them."""
    from Testing.HeadlessSlicer import api, application, module_host  # noqa: F401 - they declare classes
    from Testing.HeadlessSlicer.native import NATIVE_CLASSES, add_setters

    for name, cls in NATIVE_CLASSES.items():
        add_setters(cls, api.methods(name))
        setattr(ctk if name.startswith("ctk") else slicer, name, cls)
    for name in api.slicer_classes().keys() - NATIVE_CLASSES.keys():
        setattr(ctk if name.startswith("ctk") else slicer, name, _not_covered(name))


def start() -> ModuleType:
    """Boot the stand-in once a process and return `slicer`; modules are loaded afterwards."""
    import slicer

    if _kept:
        return slicer
    _environment()
    from Testing.HeadlessSlicer import qt_shim, ui_loader

    qt, ctk = qt_shim.install()
    qt.QUiLoader = ui_loader.QUiLoader
    real_base = os.environ.get("HEADLESS_SLICER_BASE")  # set by conformance.py
    slicer.__path__[:0] = [real_base] if real_base else []
    slicer.__path__.append(str(HERE / "slicer_modules"))
    slicer.modules, slicer.moduleNames = SimpleNamespace(), SimpleNamespace()
    slicer.selfTests = {}
    from Testing.HeadlessSlicer import all_widgets, effect_modules
    from Testing.HeadlessSlicer.application import create_application
    from Testing.HeadlessSlicer.logics import create_module_logics

    all_widgets.declare()
    _names_of_classes(slicer, ctk)
    effects = os.environ.get("HEADLESS_SLICER_EFFECTS", str(HERE / "effects_package"))
    effect_modules.install(effects)
    sys.path.append(str(HERE / "scripted_modules"))
    _kept.extend(create_application(create_module_logics))
    atexit.register(stop)
    return slicer


def stop() -> None:
    """End what `start` began; the end of the process calls it, and a second call does nothing."""
    if _kept:
        from Testing.HeadlessSlicer.shutdown import end_application

        end_application()
        _kept.clear()


def load_modules(paths: list[Path]) -> None:
    """Load scripted modules as Slicer does at its start; then the start-up is complete."""
    import slicer

    from Testing.HeadlessSlicer import module_host

    module_host.load_modules(paths)
    slicer.app.startupCompleted.emit()


def load_module(path: Path) -> Any:
    """Load a module into the running application: it gets no `startupCompleted`."""
    from Testing.HeadlessSlicer import module_host

    return module_host.load(module_host.instantiate(path))


def unload_module(name: str) -> None:
    """Unload a module, as at the end of Slicer: its widget's `cleanup` runs."""
    import slicer

    slicer.app.moduleManager()._remove(name)
