"""Stand-in for `slicer.ScriptedLoadableModule`: the four base classes of a scripted module."""

from __future__ import annotations

import importlib
import logging
import unittest
from pathlib import Path
from typing import Any

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


def _without(suffix: str, name: str) -> str:
    return name[: -len(suffix)] if name.endswith(suffix) else name


class ScriptedLoadableModule:
    """Describes a module: title, help, icon."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        for icon in (
            Path(self.resourcePath(f"Icons/{self.moduleName}{end}")) for end in (".svg", ".png")
        ):
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file of the module's folder `Resources`."""
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """Return a line of HTML with the address of the documentation."""
        return f"<p>See the <a href='{docPage or self.moduleName}'>online documentation</a>.</p>"

    def runTest(self, msec: int = 100, **keywords: Any) -> None:
        """Run the class `<module>Test`."""
        test = getattr(importlib.import_module(type(self).__module__), f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**keywords)


class ScriptedLoadableModuleWidget:
    """The panel of a module; the host gives a `qMRMLWidget` with a layout as parent."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = _without("Widget", type(self).__name__)
        self.developerMode = False
        if parent is None:
            parent = slicer.qMRMLWidget()
            parent.setLayout(qt.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
            self.parent, self.layout = parent, parent.layout()
            self.setup()
            parent.show()
        self.parent, self.layout = parent, parent.layout()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file of the module's folder `Resources`."""
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Make the widgets."""

    def cleanup(self) -> None:
        """Undo what setup did; called before the module goes."""

    def enter(self) -> None:
        """Called when the user opens the module."""

    def exit(self) -> None:
        """Called when the user leaves the module."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )


class ScriptedLoadableModuleLogic:
    """The work of a module, and its parameter node."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = _without("Logic", type(self).__name__)
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """Return the parameter node; make it where there is none."""
        found = self.getAllParameterNodes()
        if self.isSingletonParameterNode:
            single = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if single is not None:
                single.SetAttribute("ModuleName", self.moduleName)
            found = [single] if single is not None else []
        return found[0] if found else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        """Return all parameter nodes of this module."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        """Return a new parameter node that is not in the scene."""
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Tests of a module that also run from Slicer's menu."""

    messageDelay = 0

    def delayDisplay(
        self, message: str, requestedDelay: int | None = None, msec: int | None = None
    ) -> None:
        """Log a message and let the events run."""
        logging.info(message)
        slicer.app.processEvents()

    def takeScreenshot(self, name: str, description: str = "", type: int = -1) -> None:  # noqa: A002 - Slicer's name
        """Do nothing, as Slicer does unless screenshots are switched on."""

    def runTest(self) -> None:
        """Run every method that has "test" in its name."""
        for name in dir(type(self)):
            if "test" in name and callable(getattr(self, name)):
                self.setUp()
                try:
                    getattr(self, name)()
                finally:
                    self.tearDown()
