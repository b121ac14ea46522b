"""The stand-ins against the names of the real classes; our sources against both versions of Qt."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import slicer

from Testing.HeadlessSlicer import api, api_check, native

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = [REPOSITORY / "CTSAM3D", Path(__file__).parent / "example_module"]


class ApiTest(unittest.TestCase):
    def test_stand_ins_offer_nothing_that_the_real_classes_lack(self):
        self.assertEqual(api_check.faults_of_classes(), [])
        self.assertGreater(len(native.NATIVE_CLASSES), 30)

    def test_a_stand_in_that_offers_more_is_found(self):
        from PySide6 import QtCore, QtWidgets

        class ctkSearchBox(QtWidgets.QWidget):
            invented = native.native_property("invented", 1)
            inventedChanged = QtCore.Signal(int)

            def inventedMethod(self):
                pass

        original = native.NATIVE_CLASSES["ctkSearchBox"]
        ctkSearchBox.__module__ = "Testing.invented"
        native.native_class()(ctkSearchBox)
        self.addCleanup(native.NATIVE_CLASSES.__setitem__, "ctkSearchBox", original)
        self.assertEqual(
            api_check.faults_of_classes(),
            [
                "ctkSearchBox: is a QWidget, the real one a QLineEdit",
                "ctkSearchBox: signal inventedChanged(int)",
                "ctkSearchBox: property invented",
                "ctkSearchBox: method inventedMethod",
            ],
        )

    def test_what_is_not_covered_is_known(self):
        missing = api_check.not_covered()
        self.assertIn("showSourceVolumeInSliceViewers", missing["qMRMLSegmentEditorWidget"])
        self.assertNotIn("undo", missing["qMRMLSegmentEditorWidget"])

    def test_our_sources(self):
        self.assertEqual(api_check.faults_of_sources(SOURCES), [])

    def test_faults_in_sources_are_found(self):
        ui = """<ui><widget class="QComboBox" name="a"><property name="autoCompletion"/></widget>
        <widget class="Unknown" name="b"/><connections><connection><sender>a</sender>
        <signal>activated(QString)</signal><receiver>a</receiver><slot>clear()</slot></connection>
        </connections></ui>"""
        python = 'a.connect("currentIndexChanged(QString)", f)\nb.disconnect("clicked(bool)", g)\n'
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "x.ui").write_text(
                ui.replace("<ui>", "<ui><widget class='QWidget' name='t'/>")
            )
            Path(folder, "y.py").write_text(python)
            found = api_check.faults_of_sources([Path(folder)])
        self.assertEqual(len(found), 4)
        self.assertIn("no property autoCompletion", found[0])
        self.assertIn("class Unknown", found[1])
        self.assertIn("QComboBox has no signal activated(QString)", found[2])
        self.assertIn("no class has the signal currentIndexChanged(QString)", found[3])

    def test_inherited_names(self):
        self.assertIn("enabled", api.properties("qMRMLNodeComboBox"))
        self.assertIn("clicked(bool)", api.signals("ctkCollapsibleButton"))
        self.assertEqual(api.qt_base("qSlicerScriptedLoadableModuleWidget"), "QWidget")

    def test_modules_by_slicer_util(self):
        self.assertIn("Segmentations", slicer.util.moduleNames())
        self.assertEqual(slicer.util.getModule("HeadlessExample").name, "HeadlessExample")
