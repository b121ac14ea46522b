"""Models are removed in the panel, and offered by the effect."""

from __future__ import annotations

import unittest
from unittest import mock

import slicer
from ctsam3d_case import CTSAM3DCase
from models_case import BUNDLED, FolderCase, ModelsCase


class RemoveModelTest(ModelsCase):
    def test_only_what_the_user_has_added_can_be_removed(self):
        self.put("mine", "other")
        self.again()
        self.assertEqual(self.names(), [BUNDLED, "mine", "other"])
        self.assertFalse(self.ui.removeModelButton.enabled)
        self.assertEqual(self.ui.removeModelButton.toolTip, "This model was not added here.")
        self.ui.modelBox.currentIndex = 1
        self.assertTrue(self.ui.removeModelButton.enabled)
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=False) as ask:
            self.case.press("removeModelButton")
        self.assertIn("Remove the model mine", ask.call_args[0][0])
        self.assertTrue((self.folder / "mine.pt").exists())
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertFalse((self.folder / "mine.pt").exists())
        self.assertEqual(self.names(), [BUNDLED, "other"])
        self.assertEqual(self.ui.modelBox.currentText, BUNDLED)
        self.assertEqual(self.case.parameters.model, "")
        self.assertEqual(self.text, "mine was removed.")
        self.assertFalse(self.ui.removeModelButton.enabled)

    def test_a_model_that_is_gone_already(self):
        self.put("mine")
        self.again()
        self.ui.modelBox.currentIndex = 1
        (self.folder / "models.json").unlink()
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertIn("unknown model 'mine'", self.text)
        self.assertIn("color", self.ui.modelStatusLabel.styleSheet)


class EffectModelsTest(FolderCase):
    """The Segment Editor effect offers what there is when it is chosen."""

    def setUp(self):
        super().setUp()
        self.effect_case = CTSAM3DCase()
        self.addCleanup(self.effect_case.close)

    @property
    def box(self):
        return self.effect_case.effect.options.modelBox

    def names(self):
        return [self.box.itemText(n) for n in range(self.box.count)]

    def chosen_again(self):
        self.effect_case.editor.setActiveEffectByName("")
        self.effect_case.effect = self.effect_case.activate("CT-SAM3D")

    def test_new_models_are_offered_and_one_that_is_gone_is_not_replaced_silently(self):
        self.assertEqual(self.names(), [BUNDLED])
        self.put("mine")
        self.chosen_again()
        self.assertEqual(self.names(), [BUNDLED, "mine"])
        self.assertEqual(self.box.currentText, BUNDLED)
        self.assertIsNone(self.effect_case.effect.editor.choice.model)
        self.box.currentIndex = 1
        self.assertEqual(self.effect_case.effect.editor.choice.model, "mine")
        (self.folder / "models.json").unlink()
        self.chosen_again()
        self.assertEqual(self.box.currentText, "mine")
        self.assertEqual(self.effect_case.effect.editor.choice.model, "mine")
        self.box.currentIndex = 0
        self.chosen_again()
        self.assertEqual(self.names(), [BUNDLED])
        self.assertEqual(self.box.currentText, BUNDLED)


if __name__ == "__main__":
    unittest.main()
