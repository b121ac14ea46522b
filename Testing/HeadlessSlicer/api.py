"""The names of the real classes: `slicer-api.json` (Slicer, CTK), `qt-api.json` (Qt 5.15, 6.8)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Entry = dict[str, Any]


@lru_cache(maxsize=1)
def slicer_classes() -> dict[str, Entry]:
    """Return the classes of Slicer and CTK by name."""
    return dict(json.loads((HERE / "slicer-api.json").read_text(encoding="utf-8"))["classes"])


@lru_cache(maxsize=1)
def qt_classes() -> dict[str, Entry]:
    """Return the classes of Qt by name."""
    return dict(json.loads((HERE / "qt-api.json").read_text(encoding="utf-8"))["classes"])


def bases(name: str) -> Iterator[str]:
    """Yield a class and its bases, up to the last that is known."""
    while name:
        yield name
        entry = slicer_classes().get(name) or qt_classes().get(name) or {}
        name = entry.get("base", "")


def qt_base(name: str) -> str:
    """Return the first Qt class among the bases of a class of Slicer."""
    return next(base for base in bases(name) if base not in slicer_classes())


def properties(name: str) -> dict[str, bool]:
    """Return the properties of a class and its bases, and whether they can be written."""
    found: dict[str, bool] = {}
    for base in bases(name):
        own = (slicer_classes().get(base) or qt_classes().get(base) or {}).get("properties", {})
        for entry in own:
            found.setdefault(entry, own[entry]["writable"] if isinstance(own, dict) else True)
    return {"objectName": True, **found}


def signals(name: str) -> set[str]:
    """Return the signals of a class and its bases, in both versions of Qt."""
    found = {"destroyed()", "destroyed(QObject*)", "objectNameChanged(QString)"}
    for base in bases(name):
        found.update(
            (slicer_classes().get(base) or qt_classes().get(base) or {}).get("signals", ())
        )
    return found


def only_one_qt(name: str, kind: str) -> set[str]:
    """Return the signals or properties (`kind`) of a class that only one version of Qt has."""
    found: set[str] = set()
    for base in bases(name):
        entry = qt_classes().get(base, {})
        found.update(entry.get(f"{kind}_only_qt5_15", ()), entry.get(f"{kind}_only_qt6_8", ()))
    return found


def methods(name: str) -> set[str]:
    """Return the names of the slots and callable methods of a class of Slicer and its bases."""
    found: set[str] = set()
    for base in bases(name):
        entry = slicer_classes().get(base, {})
        found.update(signature.partition("(")[0] for signature in entry.get("methods", ()))
    return found


def known_signal(signature: str) -> bool:
    """Tell whether any known class has this signal, in both versions of Qt."""
    return any(
        signature in entry.get("signals", ())
        for classes in (slicer_classes(), qt_classes())
        for entry in classes.values()
    ) or signature in signals("QObject")
