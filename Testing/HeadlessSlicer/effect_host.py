"""The adaptor between the Segment Editor and a Python effect, and the factory of effects."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui

from Testing.HeadlessSlicer.effect_base import qSlicerSegmentEditorAbstractEffect
from Testing.HeadlessSlicer.module_host import load_source
from Testing.HeadlessSlicer.native import native_class


@native_class()
class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """An effect whose work is done by a Python object."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._self: Any = None
        self._path = ""

    def pythonSource(self) -> str:
        """Return the path of the effect's file."""
        return self._path

    def setPythonSource(self, path: str) -> bool:
        """Make the Python effect.

        Slicer takes the name of the **parent folder** as module and the name of the file as class
        (with "Effect" appended where it is missing). A loaded module of that name is used if it
        has the class; else the file is loaded under that name, in the place of what was there.
        """
        if not path.endswith((".py", ".pyc")):
            return False
        source = Path(path)
        module_name = source.parent.name
        class_name = source.stem if source.stem.endswith("Effect") else f"{source.stem}Effect"
        module = sys.modules.get(module_name)
        if not hasattr(module, class_name):
            module = load_source(module_name, path)
        if not hasattr(module, class_name):
            message = f"Class {class_name} was not found in {path}"
            raise RuntimeError(message)
        self._self = getattr(module, class_name)(self)
        self._path = path
        setattr(slicer, module_name, self._self)
        return True

    def self(self) -> Any:
        """Return the Python effect."""
        return self._self

    def _call(self, method: str, *arguments: Any, default: Any = None) -> Any:
        function = getattr(self._self, method, None)
        if function is not None:
            return function(*arguments)
        return default() if callable(default) else default

    def icon(self) -> Any:
        """Return the icon."""
        icon = self._call("icon")
        return icon if icon is not None else QtGui.QIcon()

    def helpText(self) -> str:
        """Return the help text."""
        return str(self._call("helpText", default=""))

    def clone(self) -> Any:
        """Return a second effect; the Python effect makes it."""
        copy = self._call("clone")
        if not isinstance(copy, qSlicerSegmentEditorAbstractEffect) or copy is self:
            message = f"clone of effect {self.name} must return a new effect, got {copy!r}"
            raise TypeError(message)
        return copy

    def setupOptionsFrame(self) -> None:
        """Let the effect make its options."""
        self._call("setupOptionsFrame")

    def setMRMLDefaults(self) -> None:
        """Let the effect set the defaults of its parameters."""
        self._call("setMRMLDefaults")

    def activate(self) -> None:
        """Activate: first the base, then Python."""
        super().activate()
        self._call("activate")

    def deactivate(self) -> None:
        """Deactivate: first the base, then Python."""
        super().deactivate()
        self._call("deactivate")

    def createCursor(self, widget: Any) -> Any:
        """Return the cursor for a view."""
        return self._call("createCursor", widget, default=QtGui.QCursor)

    def processInteractionEvents(self, interactor: Any, event_id: int, widget: Any) -> bool:
        """Give an event to the effect; a result that is no bool, False in Slicer, raises."""
        result = self._call("processInteractionEvents", interactor, event_id, widget, default=False)
        if not isinstance(result, bool):
            message = (
                f"processInteractionEvents of effect {self.name} must return a bool, got {result!r}"
            )
            raise TypeError(message)
        return result

    def processViewNodeEvents(self, node: Any, event_id: int, widget: Any) -> None:
        """Tell the effect that a view node changed."""
        self._call("processViewNodeEvents", node, event_id, widget)

    def referenceGeometryChanged(self) -> None:
        """Tell the effect that the grid of the segmentation changed."""
        self._call("referenceGeometryChanged")

    def sourceVolumeNodeChanged(self) -> None:
        """Tell the effect that another source volume was chosen."""
        self._call("sourceVolumeNodeChanged")

    def layoutChanged(self) -> None:
        """Tell the effect that the views changed."""
        self._call("layoutChanged")

    def interactionNodeModified(self, node: Any) -> None:
        """Tell the effect of another mouse mode, which ends an effect that does not listen."""
        if hasattr(self._self, "interactionNodeModified"):
            self._self.interactionNodeModified(node)
        elif node.GetCurrentInteractionMode() != node.ViewTransform:
            self.selectEffect("")

    def updateGUIFromMRML(self) -> None:
        """Show the parameters, if active."""
        if self._active:
            self._call("updateGUIFromMRML")

    def updateMRMLFromGUI(self) -> None:
        """Store what the options show."""
        self._call("updateMRMLFromGUI")

    def cleanup(self) -> None:
        """Tell the effect that it ends."""
        self._call("cleanup")


@native_class()
class qSlicerSegmentEditorEffectFactory(QtCore.QObject):
    """Keeps one effect of each name, of which every editor gets a clone."""

    effectRegistered = QtCore.Signal(str)
    _instance: Any = None

    def __init__(self) -> None:
        super().__init__()
        self._effects: dict[str, Any] = {}

    @classmethod
    def instance(cls) -> Any:
        """Return the factory."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def registerEffect(self, effect: Any) -> bool:
        """Keep an effect; refuse one without name, or of a name that is there already."""
        if effect is None or not effect.name or effect.name in self._effects:
            return False
        self._effects[effect.name] = effect
        self.effectRegistered.emit(effect.name)
        return True

    def registeredEffects(self) -> tuple[Any, ...]:
        """Return the registered effects."""
        return tuple(self._effects.values())

    def _forget(self, name: str) -> None:
        self._effects.pop(name, None)
