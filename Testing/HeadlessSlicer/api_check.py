"""Checks the stand-ins, and our sources, against the names of the real classes.

A stand-in may lack what the real class has; it may offer nothing that the real class lacks. Run
as a test, and by hand (`python -m Testing.HeadlessSlicer.api_check`) for the list of what is not
covered.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer import api
from Testing.HeadlessSlicer.native import NATIVE_CLASSES, writable_properties

# Methods that PythonQt gets from decorators and virtual functions, with where they are.
DECORATED = {
    "testingEnabled": "qSlicerCoreApplication, PythonQt decorators of Slicer",
    "mainWindow": "qSlicerApplication, PythonQt decorators of Slicer",
    "widgetRepresentation": "qSlicerAbstractCoreModule, PythonQt decorators of Slicer",
    "createNewWidgetRepresentation": "qSlicerAbstractCoreModule, PythonQt decorators of Slicer",
    "clone": "qSlicerSegmentEditorAbstractEffect, virtual",
    "icon": "qSlicerSegmentEditorAbstractEffect, virtual",
    "setupOptionsFrame": "qSlicerSegmentEditorAbstractEffect, virtual",
    "setMRMLDefaults": "qSlicerSegmentEditorAbstractEffect, virtual",
    "processInteractionEvents": "qSlicerSegmentEditorAbstractEffect, virtual",
    "processViewNodeEvents": "qSlicerSegmentEditorAbstractEffect, virtual",
    "referenceGeometryChanged": "qSlicerSegmentEditorAbstractEffect, virtual",
    "sourceVolumeNodeChanged": "qSlicerSegmentEditorAbstractEffect, virtual",
    "layoutChanged": "qSlicerSegmentEditorAbstractEffect, virtual",
    "interactionNodeModified": "qSlicerSegmentEditorAbstractEffect, virtual",
    "setup": "qSlicerAbstractModuleWidget, virtual",
}
CONNECT_STRING = re.compile(r"""(?:dis)?connect\(\s*["']([A-Za-z_]\w*\([^"']*\))["']""")


def _public(cls: type) -> Iterator[tuple[str, Any]]:
    for base in cls.__mro__:
        if base.__module__.startswith("Testing."):
            yield from ((n, v) for n, v in base.__dict__.items() if not n.startswith("_"))


def _qt_bases(cls: type) -> list[str]:
    return [base.__name__ for base in cls.__mro__ if base.__module__.startswith("PySide6")]


def _signal_faults(cls: Any) -> Iterator[str]:
    real = api.signals(cls.__name__)
    for declared in cls.__dict__.get("__cpp_signals__", {}):
        if declared not in real:
            yield f"signal {declared}"
    translated = {
        name for base in cls.__mro__ for name in base.__dict__.get("__cpp_signals__", {}).values()
    }
    meta = cls.staticMetaObject
    for index in range(meta.methodCount()):
        method = meta.method(index)
        signature = bytes(method.methodSignature().data()).decode()
        if method.methodType() != QtCore.QMetaMethod.MethodType.Signal or signature in translated:
            continue
        owner = (
            QtWidgets.QApplication if issubclass(cls, QtWidgets.QApplication) else QtWidgets.QWidget
        )
        inherited = any(
            base.__module__.startswith("PySide6")
            and base.staticMetaObject.indexOfSignal(signature) >= 0
            for base in (*cls.__mro__, owner)
            if hasattr(base, "staticMetaObject")
        )
        if not inherited and signature not in real:
            yield f"signal {signature}"


def _member_faults(cls: type) -> Iterator[str]:
    properties, methods = api.properties(cls.__name__), api.methods(cls.__name__)
    for name, value in _public(cls):
        if isinstance(value, QtCore.Property):
            if name not in properties:
                yield f"property {name}"
            elif name in writable_properties(cls) and not properties[name]:
                yield f"writing of property {name}"
        elif isinstance(value, QtCore.Signal) or not callable(value) or isinstance(value, type):
            continue
        elif not (name in methods or name in DECORATED or hasattr(_first_qt(cls), name)):
            yield f"method {name}"


def _first_qt(cls: type) -> type:
    return next(base for base in cls.__mro__ if base.__module__.startswith("PySide6"))


def faults_of_classes() -> list[str]:
    """Return what stand-ins have that their originals lack, and wrong bases."""
    found = []
    for name, cls in sorted(NATIVE_CLASSES.items()):
        if name not in api.slicer_classes():
            found.append(f"{name}: no such class in slicer-api.json")
            continue
        if _qt_bases(cls)[0] != api.qt_base(name):
            found.append(f"{name}: is a {_qt_bases(cls)[0]}, the real one a {api.qt_base(name)}")
        own_bases = [base.__name__ for base in cls.__mro__[1:] if base.__name__ in NATIVE_CLASSES]
        found += [f"{name}: base {base}" for base in own_bases if base not in list(api.bases(name))]
        found += [f"{name}: {fault}" for fault in (*_signal_faults(cls), *_member_faults(cls))]
    return found


def not_covered() -> dict[str, list[str]]:
    """Return, for each stand-in, the names of its original that it lacks."""
    missing = {}
    for name, cls in sorted(NATIVE_CLASSES.items()):
        entry = api.slicer_classes()[name]
        names = {
            *entry.get("properties", ()),
            *(m.partition("(")[0] for m in entry.get("methods", ())),
        }
        names |= {signal.partition("(")[0] for signal in entry.get("signals", ())}
        missing[name] = sorted(n for n in names if not hasattr(cls, n))
    return missing


def faults_of_ui(path: Path) -> list[str]:
    """Return what a .ui file uses that the real classes, or one version of Qt, do not have."""
    root = ElementTree.parse(path).getroot()
    classes = {widget.get("name"): widget.get("class", "") for widget in root.iter("widget")}
    found = []
    for widget in root.iter("widget"):
        name = widget.get("class", "")
        known = name in api.slicer_classes() or name in api.qt_classes()
        if not known:
            found.append(f"{path.name}: class {name} is not in slicer-api.json or qt-api.json")
            continue
        for entry in widget.findall("property"):
            wanted = entry.get("name", "")
            if entry.get("stdset") != "0" and wanted not in api.properties(name):
                found.append(f"{path.name}: {name} has no property {wanted} in both versions of Qt")
    for connection in root.iter("connection"):
        part = {child.tag: (child.text or "").strip() for child in connection}
        sender = classes.get(part["sender"], "")
        if part["signal"] not in api.signals(sender):
            found.append(f"{path.name}: {sender} has no signal {part['signal']}")
    return found


def faults_of_python(path: Path) -> list[str]:
    """Return which connect strings of a Python file no real class has, in both versions of Qt."""
    text = path.read_text(encoding="utf-8")
    return [
        f"{path.name}: no class has the signal {signature}"
        for signature in CONNECT_STRING.findall(text)
        if not api.known_signal(signature.replace(" ", ""))
    ]


def faults_of_sources(folders: list[Path]) -> list[str]:
    """Return the faults of all .ui and .py files below some folders."""
    found: list[str] = []
    for folder in folders:
        for path in sorted(folder.rglob("*.ui")):
            found += faults_of_ui(path)
        for path in sorted(folder.rglob("*.py")):
            found += faults_of_python(path)
    return found


if __name__ == "__main__":
    from Testing import HeadlessSlicer

    HeadlessSlicer.start()
    for class_name, names in not_covered().items():
        sys.stdout.write(f"{class_name}: {', '.join(names) or '-'}\n")
    sys.exit("\n".join(faults_of_classes()) or 0)
