"""Loading and unloading of modules, their order, and the stand-in without views."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import slicer

from Testing import HeadlessSlicer
from Testing.HeadlessSlicer import module_host

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = """
import slicer
from slicer.ScriptedLoadableModule import *
calls = []
class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.dependencies = [{needs}]
        slicer.app.connect("startupCompleted()", lambda: calls.append("startup"))
class {name}Widget(ScriptedLoadableModuleWidget):
    def setup(self):
        super().setup()
        calls.append("setup")
    def cleanup(self):
        calls.append("cleanup")
"""
WITHOUT_VIEWS = """
from pathlib import Path
from Testing import HeadlessSlicer
slicer = HeadlessSlicer.start()
HeadlessSlicer.load_modules(sorted(Path("Testing/Slicer/example_module").glob("*.py")))
assert slicer.app.layoutManager() is None
panel = slicer.modules.headlessexample.widgetRepresentation()
panel.enter()
node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
panel.self().ui.editor.setMRMLSegmentEditorNode(node)
slicer.mrmlScene.Clear()
panel.exit()
HeadlessSlicer.unload_module("HeadlessExample")
"""
TO_THE_END = """
from pathlib import Path
from PySide6 import QtCore, QtWidgets
from Testing import HeadlessSlicer
slicer = HeadlessSlicer.start()
from Testing.HeadlessSlicer import window
window.create_views()
HeadlessSlicer.load_modules(sorted(Path("Testing/Slicer/example_module").glob("*.py")))
shown = window.TestWindow(slicer.modules.headlessexample.widgetRepresentation())
temporary = slicer.app.temporaryPath
cleaned = []
slicer.modules.headlessexample.widgetRepresentation().self().cleanup = lambda: cleaned.append(1)
HeadlessSlicer.stop()
HeadlessSlicer.stop()
assert cleaned == [1], cleaned
assert QtCore.QCoreApplication.instance() is None
assert not QtWidgets.QApplication.topLevelWidgets()
assert not Path(temporary).exists()
print("fine")
"""


class HostTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.addCleanup(setattr, sys, "path", list(sys.path))

    def write(self, name, needs=""):
        path = self.folder / f"{name}.py"
        path.write_text(MODULE.format(name=name, needs=needs))
        return path

    def test_module_that_is_loaded_late(self):
        module = HeadlessSlicer.load_module(self.write("LateModule"))
        calls = sys.modules["LateModule"].calls
        self.assertIs(slicer.modules.latemodule, module)
        module.widgetRepresentation()
        HeadlessSlicer.unload_module("LateModule")
        self.assertEqual(calls, ["setup", "cleanup"])
        self.assertFalse(hasattr(slicer.modules, "latemodule"))
        self.assertFalse(hasattr(slicer.modules, "LateModuleWidget"))

    def test_order_of_loading(self):
        first = self.write("AModule", needs='"BModule"')
        second = self.write("BModule")
        self.assertEqual(module_host.in_dependency_order([first, second]), [second, first])

    def test_without_views_then_with_them_and_the_end_comes_in_order_and_once(self):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", WITHOUT_VIEWS + TO_THE_END],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (0, "fine\n"), done.stderr)
        self.assertNotIn("Error", done.stderr)

    test_without_views_then_with_them_and_the_end_comes_in_order_and_once.slow = True
