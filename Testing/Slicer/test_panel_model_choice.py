"""Models are removed in the panel, and offered by the effect."""

from __future__ import annotations

from unittest import mock

import slicer
from ctsam3d_case import CTSAM3DCase
from models_case import BUNDLED, FolderCase, ModelsCase
from view_mouse import click, click_and_wait

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.mrml import segment_model, set_segment_model


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

    def test_other_segments_and_the_effect_go_on_with_another_model(self):
        self.put("mine")
        self.again()
        effect = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        effect.SetAttribute("CT-SAM3D.Model", "mine")
        segments = [self.case.add(name) for name in ("liver", "spleen", "heart")]
        for one in segments[:2]:
            set_segment_model(self.case.segmentation, one, "mine")
        self.case.parameters.model = "mine"
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertIn("Liver, Spleen", self.text)
        self.assertNotIn("Heart", self.text)
        for one in segments:
            self.assertEqual(segment_model(self.case.segmentation, one), "")
        self.assertEqual(effect.GetAttribute("CT-SAM3D.Model"), "default")
        self.case.widget.panel.workplace.select(segments[0])
        self.case.press("insideButton")
        click_and_wait(self.case, (48.0, 44.0, 60.0))
        self.assertEqual(self.case.loaded[-1], (None, "auto"))

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

    def test_a_segment_with_a_model_of_its_own(self):
        self.put("mine")
        case, loaded = self.effect_case, []
        case.logic.setEngine(
            SegmentationEngine(lambda model, device: loaded.append(model) or case.predictor)
        )
        set_segment_model(case.segmentation, "organ", "mine")
        self.chosen_again()
        options = case.effect.options
        self.assertEqual(self.box.currentText, "mine")
        self.assertEqual(options.modelLabel.text, "Model of this segment:")
        options.growBox.click()  # another option leaves the model alone
        options.growBox.click()
        self.add_point()
        case.editor.setCurrentSegmentID("other")
        slicer.app.processEvents()
        self.assertEqual(self.box.currentText, BUNDLED)
        self.assertEqual(options.modelLabel.text, "Model:")
        self.add_point()
        self.assertEqual(loaded, ["mine", None])
        self.box.currentIndex = 1  # of all
        case.editor.setCurrentSegmentID("organ")
        slicer.app.processEvents()
        self.box.currentIndex = 0  # of this segment
        self.assertEqual(options.modelLabel.text, "Model of this segment:")
        self.assertEqual(options.model(), "mine")
        self.add_point()
        self.assertIsNone(loaded[-1])
        self.box.currentIndex = 1  # that of all
        self.assertEqual(options.modelLabel.text, "Model:")
        self.add_point()
        self.assertEqual(loaded[-1], "mine")

    def add_point(self):
        x = 30.0 + 12 * len(self.effect_case.clicks())
        click("Red", (x, 44.0, 60.0))
        self.effect_case.settle()
