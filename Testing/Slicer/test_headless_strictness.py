"""Where the stand-in is stricter than Slicer, so that a mistake fails a test."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

import qt
import slicer
from segmentation_case import SegmentationCase
from view_mouse import click

from Testing.HeadlessSlicer import callback_errors

UI = """<ui version="4.0"><class>A</class><widget class="{widget}" name="top">
<property name="{property}"><string>x</string></property></widget>{connections}</ui>"""
CONNECTION = """<connections><connection><sender>top</sender><signal>{signal}</signal>
<receiver>top</receiver><slot>{slot}</slot></connection></connections>"""
EFFECT = """
class {name}:
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "{name}"
"""


class QtTest(unittest.TestCase):
    def test_properties_are_attributes(self):
        button = qt.QPushButton("old")
        button.text = "new"
        button.name = "me"
        self.assertEqual((button.text, button.objectName, button.enabled), ("new", "me", True))
        self.assertEqual(button.className(), "QPushButton")
        self.assertGreater(button.sizeHint.width(), 0)
        combo = slicer.qMRMLNodeComboBox()
        combo.nodeTypes = ["vtkMRMLModelNode"]
        self.assertEqual(combo.nodeTypes, ("vtkMRMLModelNode",))

    def test_wrong_assignments_raise(self):
        button = qt.QPushButton()
        combo = slicer.qMRMLNodeComboBox()
        for owner, name, value in [
            (button, "txt", "x"),
            (button, "text", 3),
            (button, "enabled", "yes"),
            (button, "sizeHint", qt.QSize(1, 1)),
            (combo, "nodeType", ["vtkMRMLNode"]),
            (combo, "noneEnabled", "yes"),
            (slicer.app, "majorVersion", 6),
        ]:
            with self.subTest(name=name), self.assertRaises(AttributeError):
                setattr(owner, name, value)
        with self.assertRaises(AttributeError):
            button.misspelt()

    def test_python_subclasses_may_have_attributes(self):
        class Mine(qt.QWidget):
            def __init__(self):
                super().__init__()
                self.anything = 3

        self.assertEqual((Mine().anything, Mine().className()), (3, "QWidget"))

    def test_slots_get_as_many_arguments_as_they_take(self):
        box = qt.QCheckBox()
        seen = []
        box.connect("clicked(bool)", lambda: seen.append("none"))
        box.connect("clicked(bool)", seen.append)
        box.connect("stateChanged(int)", lambda state, more=None: seen.append((state, more)))
        box.click()
        self.assertCountEqual(seen, ["none", True, (2, None)])

    def test_disconnect(self):
        box = qt.QCheckBox()
        seen = []
        box.connect("toggled(bool)", seen.append)
        self.assertTrue(box.disconnect("toggled(bool)", seen.append))
        self.assertFalse(box.disconnect("toggled(bool)", seen.append))
        box.click()
        self.assertEqual(seen, [])

    def test_connections_do_not_outlive_their_widget(self):
        for _ in range(20):
            box = qt.QCheckBox()
            seen = []
            box.connect("toggled(bool)", seen.append)
            box.click()
            self.assertEqual(seen, [True])
            del box

    def test_unknown_signals_raise(self):
        combo = slicer.qMRMLNodeComboBox()
        for owner, signal in [
            (qt.QPushButton(), "clickd()"),
            (qt.QPushButton(), "clicked(int)"),
            (combo, "currentNodeChanged(vtkMRMLScene*)"),
            (combo, "currentNodeChanged(PyObject)"),
            (combo, "currentNodeChanged()"),
        ]:
            with self.subTest(signal=signal), self.assertRaisesRegex(ValueError, "has no signal"):
                owner.connect(signal, print)

    def test_names_that_pythonqt_lacks(self):
        for name in ("Signal", "Slot", "Property", "QNothing"):
            self.assertFalse(hasattr(qt, name), name)

    def test_timer(self):
        timer = qt.QTimer()
        timer.singleShot = True
        self.assertTrue(callable(qt.QTimer.singleShot))
        self.assertTrue(timer.isSingleShot())


class UiFileTest(unittest.TestCase):
    def load(self, widget="QLabel", name="text", signal="", slot=""):
        connections = CONNECTION.format(signal=signal, slot=slot) if signal else ""
        text = UI.format(widget=widget, property=name, connections=connections)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.ui")
            path.write_text(text)
            return slicer.util.loadUI(str(path))

    def test_good_file(self):
        self.assertEqual(self.load().text, "x")

    def test_unknown_class(self):
        with self.assertRaisesRegex(ValueError, "qMRMLVolumeThresholdWidget"):
            self.load(widget="qMRMLVolumeThresholdWidget")

    def test_unknown_property(self):
        with self.assertRaisesRegex(ValueError, "no property txt"):
            self.load(name="txt")

    def test_unknown_signal_and_slot(self):
        with self.assertRaisesRegex(ValueError, "no signal"):
            self.load(signal="clicked()", slot="clear()")
        with self.assertRaisesRegex(ValueError, "no slot"):
            self.load(signal="linkActivated(QString)", slot="setTxt(QString)")

    def test_missing_file(self):
        with self.assertRaisesRegex(RuntimeError, "not found"):
            slicer.util.loadUI("/nowhere/x.ui")


class CallbackErrorsTest(unittest.TestCase):
    """Qt and VTK print what is raised in slots and observers, and go on."""

    def test_slot(self):
        button = qt.QPushButton()
        button.connect("clicked()", lambda: 1 / 0)
        button.click()
        self.assertIn("ZeroDivisionError", "".join(callback_errors.take()))

    def test_observer(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
        tag = node.AddObserver("ModifiedEvent", lambda caller, event: 1 / 0)
        node.Modified()
        self.assertIn("ZeroDivisionError", "".join(callback_errors.take()))
        node.RemoveObserver(tag)

    def test_timer(self):
        qt.QTimer.singleShot(0, lambda: 1 / 0)
        slicer.app.processEvents()
        self.assertIn("ZeroDivisionError", "".join(callback_errors.take()))


class EffectHostTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def source(self, folder, file_name, class_name):
        directory = Path(tempfile.mkdtemp(), folder)
        directory.mkdir()
        path = directory / file_name
        path.write_text(EFFECT.format(name=class_name))
        self.addCleanup(sys.modules.pop, folder, None)
        return path.as_posix()

    def test_naming_of_effect_files(self):
        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        self.assertTrue(effect.setPythonSource(self.source("ALib", "Thing.py", "ThingEffect")))
        self.assertEqual(effect.name, "ThingEffect")
        self.assertIs(slicer.ALib, effect.self())
        with self.assertRaisesRegex(RuntimeError, "Class OtherEffect was not found"):
            effect.setPythonSource(self.source("BLib", "Other.py", "Wrong"))
        self.assertFalse(effect.setPythonSource("no-python.txt"))

    def test_effect_file_in_a_package_folder_replaces_the_package(self):
        import unittest.mock as package

        sys.modules["ReplacedLib"] = package
        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(self.source("ReplacedLib", "XEffect.py", "XEffect"))
        self.assertIsNot(sys.modules["ReplacedLib"], package)

    def test_result_that_is_no_bool_raises(self):
        case = SegmentationCase()
        case.activate().result = 1
        click("Red", (48.0, 44.0, 60.0))
        case.close()
        self.assertIn("must return a bool", "".join(callback_errors.take()))

    def test_clone_must_be_new(self):
        case = SegmentationCase()
        effect = case.activate()
        effect.clone = lambda: effect.scriptedEffect
        with self.assertRaisesRegex(TypeError, "must return a new effect"):
            effect.scriptedEffect.clone()
        case.close()

    def test_cleanup_disconnects(self):
        case = SegmentationCase()
        effect = case.activate()
        case.close()
        self.assertEqual(effect.calls[-1], "cleanup")
        effect.slider.value = 50.0
        self.assertEqual(effect.scriptedEffect.doubleParameter("Radius"), 6.0)


class ParameterTypesTest(unittest.TestCase):
    def test_what_is_not_checked_is_refused(self):
        from slicer.parameterNodeWrapper import parameterNodeWrapper

        class Listed:
            names: list[str]

        with self.assertRaises(NotImplementedError):
            parameterNodeWrapper(Listed)

        class Reserved:
            connectGui: int

        with self.assertRaisesRegex(ValueError, "reserved"):
            parameterNodeWrapper(Reserved)

    def test_sample_data(self):
        from SampleData import SampleDataLogic

        register = SampleDataLogic.registerCustomSampleDataSource
        for _ in range(2):
            register(category="X", sampleName="CT", uris="u", fileNames="f", checksums="SHA256:0")
        sources = SampleDataLogic.sampleDataSourcesByCategory("X")
        self.assertEqual([source.uris for source in sources], [["u"]])
        with self.assertRaisesRegex(ValueError, "SHA256:digest"):
            register(category="X", checksums="0123")
        with self.assertRaises(FileNotFoundError):
            register(category="X", thumbnailFileName="/nowhere.png")

    def test_missing_classes_say_so(self):
        with self.assertRaisesRegex(NotImplementedError, "does not have qMRMLMarkupsToolBar"):
            slicer.qMRMLMarkupsToolBar()

    def test_pip(self):
        import threading

        from slicer import packaging

        packaging.pip_ensure(["torch>=2.2"])
        with self.assertRaisesRegex(RuntimeError, "tried to install"):
            packaging.pip_install("torch")
        errors = []

        def other_thread():
            try:
                packaging.pip_ensure(["torch"])
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
        self.assertIn("off the main thread", errors[0])
