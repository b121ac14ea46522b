"""The stand-in as host of a module: boot, panel, parameters bound both ways, self test, reload."""

from __future__ import annotations

import unittest

import numpy as np
import slicer

NAME = "HeadlessExample"


class ModuleTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.module = slicer.modules.headlessexample
        self.panel = self.module.widgetRepresentation()
        self.widget = self.panel.self()
        self.panel.enter()
        self.ui = self.widget.ui
        self.parameters = self.widget._parameterNode
        self.widget.calls.clear()

    def tearDown(self):
        self.panel.exit()

    def volume(self, name="CT"):
        return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name=name)

    def test_module_is_described_by_its_file(self):
        self.assertEqual(self.module.name, NAME)
        self.assertEqual(self.module.title, "Headless example")
        self.assertEqual(self.module.categories, ("Testing",))
        self.assertFalse(self.module.hidden)
        self.assertTrue(slicer.modules.segmenteditorheadlessexample.hidden)
        self.assertIsNone(slicer.modules.segmenteditorheadlessexample.widgetRepresentation())
        self.assertIs(slicer.util.getModuleWidget(NAME), self.widget)
        self.assertIs(slicer.modules.HeadlessExampleWidget, self.widget)
        with self.assertRaises(AttributeError):
            self.module.titleText = "unknown"

    def test_startup_is_told_once(self):
        self.assertEqual(slicer.modules.HeadlessExampleInstance.startupCount, 1)

    def test_enter_and_exit(self):
        self.panel.exit()
        self.assertFalse(self.panel.isEntered)
        self.panel.enter()
        self.assertTrue(self.panel.isEntered)
        self.assertEqual(self.widget.calls, ["exit", "enter"])

    def test_panel_shows_defaults_and_ranges(self):
        self.assertEqual(self.ui.radiusSlider.value, 4.0)
        self.assertEqual(self.ui.radiusSlider.maximum, 50.0)
        self.assertEqual((self.ui.countBox.minimum, self.ui.countBox.maximum), (1, 9))
        self.assertEqual(self.ui.countBox.value, 2)
        self.assertIs(self.ui.enabledBox.checked, True)
        self.assertEqual(self.ui.labelEdit.text, "ball")
        self.assertEqual(self.ui.qualityBox.currentText, "Fine")
        self.assertEqual(self.ui.deviceBox.currentText, "auto")
        self.assertEqual(self.ui.editor.maximumNumberOfUndoStates, 20)

    def test_panel_changes_parameters(self):
        volume = self.volume()
        self.ui.volumeSelector.setCurrentNode(volume)
        self.ui.radiusSlider.value = 7.5
        self.ui.countBox.value = 5
        self.ui.enabledBox.checked = False
        self.ui.labelEdit.text = "cube"
        self.ui.qualityBox.setCurrentText("Fast")
        self.ui.deviceBox.currentIndex = 1
        values = self.parameters
        self.assertIs(values.inputVolume, volume)
        self.assertEqual((values.radius, values.count, values.enabled), (7.5, 5, False))
        self.assertEqual(
            (values.label, values.quality.name, values.device), ("cube", "FAST", "cpu")
        )

    def test_parameters_change_panel(self):
        self.parameters.inputVolume = volume = self.volume()
        self.parameters.radius = 9.0
        self.parameters.count = 8
        self.parameters.enabled = False
        self.parameters.label = "x"
        self.parameters.device = "cpu"
        self.assertIs(self.ui.volumeSelector.currentNode(), volume)
        self.assertEqual((self.ui.radiusSlider.value, self.ui.countBox.value), (9.0, 8))
        self.assertEqual((self.ui.enabledBox.checked, self.ui.labelEdit.text), (False, "x"))
        self.assertEqual(self.ui.deviceBox.currentText, "cpu")

    def test_wrong_values_are_refused(self):
        for name, value, error in [
            ("radius", 51.0, ValueError),
            ("count", 0, ValueError),
            ("count", 1.5, TypeError),
            ("enabled", 1, TypeError),
            ("label", None, ValueError),
            ("device", "tpu", ValueError),
        ]:
            with self.subTest(name=name, value=value), self.assertRaises(error):
                setattr(self.parameters, name, value)
        self.assertEqual(self.parameters.radius, 4.0)

    def test_after_disconnect_nothing_is_bound(self):
        parameters = self.parameters
        self.panel.exit()
        parameters.label = "unseen"
        self.assertEqual(self.ui.labelEdit.text, "ball")
        self.ui.labelEdit.text = "unsaid"
        self.assertEqual(parameters.label, "unseen")

    def test_button_acts_when_enabled(self):
        self.ui.applyButton.click()
        self.assertEqual(self.widget.calls, [])
        self.parameters.inputVolume = self.volume()
        self.ui.applyButton.click()
        self.assertEqual(self.widget.calls, ["ball 2 4"])

    def test_scene_close_drops_the_nodes(self):
        self.parameters.inputVolume = self.volume()
        slicer.mrmlScene.Clear()
        self.assertIn("close", self.widget.calls)
        self.assertIsNone(self.widget._parameterNode)
        self.assertIsNone(self.ui.volumeSelector.currentNode())
        self.assertEqual(self.ui.volumeSelector.nodeCount(), 0)

    def test_reload(self):
        slicer.util.reloadScriptedModule(NAME)
        self.assertIn("cleanup", self.widget.calls)
        again = slicer.modules.HeadlessExampleWidget
        self.assertIsNot(again, self.widget)
        self.assertIs(self.panel.self(), again)
        again.ui.labelEdit.text = "after"
        self.assertEqual(again._parameterNode.label, "after")

    def test_self_test_runs_as_in_slicer(self):
        suite = unittest.TestLoader().loadTestsFromName(NAME)
        # The base class is in the file, too, and counts as a test.
        self.assertEqual(suite.countTestCases(), 2)
        result = unittest.TestResult()
        suite.run(result)
        self.assertTrue(result.wasSuccessful(), result.errors + result.failures)
        slicer.selfTests[NAME]()

    def test_second_panel(self):
        second = self.module.createNewWidgetRepresentation()
        self.assertIsNot(second, self.panel)
        second.self().ui.countBox.value = 7
        self.assertEqual(self.ui.countBox.value, 7)
        second.self().cleanup()
