"""The panel learns from segmentations by a process of its own; Slicer stays usable meanwhile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
from CTSAM3DModuleLib.learning_process import learn_command
from CTSAM3DModuleLib.panel.panel import Panel
from event_loop import until
from models_case import BUNDLED, FolderCase
from panel_case import MIDDLE
from view_mouse import click_and_wait

from CTSAM3DLib.training.learning_cases import find_learning_cases, read_learning_case

TELL = "import json, sys, time; from pathlib import Path; work = Path(sys.argv[1]); "
TELL += "tell = lambda **values: print(json.dumps(values), flush=True); "
WAIT = TELL + (
    "tell(stage='learning', share=0.25, seconds_left=90.0)\n"
    "while not (work / 'stop').exists(): time.sleep(0.01)\n"
    "sys.exit({code})"
)
END = TELL + (
    "(work / 'report.md').write_text('Dice'); "
    "tell(stage='done', text='The new model is {word}.'); sys.exit({code})"
)


class LearningTest(FolderCase):
    def setUp(self):
        super().setUp()
        self.start()
        self.section = self.case.widget.panel.learning
        self.addCleanup(self.again)
        for name in ("command", "choose_folder"):
            self.addCleanup(setattr, self.section, name, getattr(self.section, name))
        self.asked = []
        self.work = self.folder.parent / "learning" / "my-model"

    def again(self):
        if self.section._process is not None:
            self.section._process.ask_to_stop()
            until(lambda: not self.section.busy, "the end")
        self.case.widget.panel.choice.list_models()
        self.section._say("")

    def run_script(self, script, **values):
        """Let the process be a script; `asked` gets what it is given."""
        text = script.replace("{code}", str(values.get("code", 0)))
        text = text.replace("{word}", str(values.get("word", "")))

        def command(cases, name, minutes, folder, anew):
            self.asked.append((cases, name, minutes, anew))
            return [sys.executable, "-c", text, str(folder)]

        self.section.command = command

    def check(self):
        """Segment something and check it in the list."""
        self.segment()
        self.section.show()
        self.section.list.item(0).setCheckState(qt.Qt.Checked)

    def wait(self):
        until(lambda: not self.section.busy, "the end of learning")

    def models(self):
        return [self.ui.modelBox.itemText(n) for n in range(self.ui.modelBox.count)]

    @property
    def text(self):
        return self.section.label.text

    def test_checked_segmentation_is_written_as_a_case(self):
        self.run_script(WAIT, code=130)
        self.check()
        self.section.learn_button.click()
        (cases, *words) = self.asked[0]
        self.assertEqual(words, ["my-model", 10, False])
        (paths,) = find_learning_cases(cases)
        case = read_learning_case(paths)
        self.assertEqual(list(case.masks), ["Liver"])
        self.assertTrue(np.array_equal(case.masks["Liver"], self.case.mask()))
        voxels = slicer.util.arrayFromVolume(self.case.volume)
        self.assertTrue(np.array_equal(case.volume.array_kji, voxels))
        self.section.learn_button.click()
        self.wait()
        self.assertFalse(cases.exists())  # no CT is left behind

    def test_progress_is_told_while_slicer_works_and_cancel_stops_it(self):
        self.run_script(WAIT, code=130)
        self.check()
        self.section.learn_button.click()
        until(lambda: "min left" in self.text, "the progress")
        self.assertEqual(self.text, "Learning: 2 min left")
        self.assertEqual(self.section.bar.value, 25)
        self.assertEqual(self.section.learn_button.text, "Cancel")
        self.assertFalse(self.section.folder_button.enabled)
        before = self.case.rows()[0][1]
        click_and_wait(self.case, tuple(np.add(MIDDLE, 4.0)))
        self.assertNotEqual(self.case.rows()[0][1], before)
        self.assertTrue(self.section.busy)
        self.section.learn_button.click()
        self.assertFalse(self.section.learn_button.enabled)
        self.wait()
        self.assertIn("goes on from there", self.text)
        self.assertTrue(self.section.learn_button.enabled)
        self.assertFalse(self.section.use_button.enabled)

    def test_a_closed_panel_leaves_a_process_that_saves_and_ends_and_no_ct(self):
        self.run_script(WAIT, code=130)
        self.check()
        self.section.learn_button.click()
        until(lambda: "min left" in self.text, "the progress")
        process = self.section._process
        self.section.release()
        self.assertFalse(self.section.busy)
        self.assertFalse((self.work / "cases").exists())
        until(lambda: process.poll() is not None, "the end of the process")
        self.assertEqual(process.poll(), 130)  # it was not killed

    def test_cases_that_cannot_be_written_are_told_and_not_left(self):
        self.run_script(END)
        self.check()
        with mock.patch("SimpleITK.WriteImage", side_effect=RuntimeError("no space")):
            self.section.learn_button.click()
        self.assertIn("is the disk full?", self.text)
        self.assertFalse((self.work / "cases").exists())
        first = self.case.segmentation.GetSegmentation().GetSegment(self.case.segment_id)
        twin = slicer.vtkSegment()
        twin.DeepCopy(first)
        self.case.segmentation.GetSegmentation().AddSegment(twin)
        self.section.learn_button.click()
        self.assertIn("expected every name once, got 'Liver'", self.text)
        self.assertFalse((self.work / "cases").exists())
        self.assertEqual(self.asked, [])

    def test_new_model_is_listed_with_its_report(self):
        self.learnt()
        self.assertIn("The new model is better. my-model was added", self.text)
        self.assertEqual(self.models(), [BUNDLED, "my-model"])
        self.assertEqual(self.case.parameters.model, "")
        with mock.patch.object(slicer.util, "infoDisplay") as shown:
            self.section.report_button.click()
        self.assertEqual(shown.call_args.args[0], "Dice")

    def test_new_model_is_for_the_segment_that_is_selected_alone(self):
        self.learnt()
        liver = self.case.segment_id
        self.section.use_button.click()
        self.assertEqual(self.text, "my-model answers the next prompts of Liver.")
        self.assertEqual(self.case.parameters.model, "")
        self.assertEqual(self.shown(), ("my-model", "Model of this segment:"))
        self.add_point(MIDDLE)
        self.assertEqual(self.case.loaded[-1][0], "my-model")
        spleen = self.case.add("spleen")
        self.assertEqual(self.shown(), (BUNDLED, "Model:"))
        self.add_point((70.0, 44.0, 60.0))
        self.assertIsNone(self.case.loaded[-1][0])
        self.case.loaded.clear()
        self.case.press_and_wait("segmentAllButton")
        self.assertEqual([model for model, _ in self.case.loaded], ["my-model", None])
        self.case.widget.panel.workplace.select(liver)
        self.assertEqual(self.shown(), ("my-model", "Model of this segment:"))
        self.case.widget.panel.workplace.select(spleen)
        self.case.press("removeButton")
        self.assertEqual(self.shown(), ("my-model", "Model of this segment:"))

    def test_another_choice_for_that_segment_and_the_way_back(self):
        self.learnt()
        self.case.add("spleen")
        self.ui.modelBox.currentIndex = 1
        self.assertEqual(self.case.parameters.model, "my-model")  # of all
        self.section.use_button.click()
        self.ui.modelBox.currentIndex = 0
        self.assertEqual(self.case.parameters.model, "my-model")
        self.assertEqual(self.shown(), (BUNDLED, "Model of this segment:"))
        self.add_point(MIDDLE)
        self.assertIsNone(self.case.loaded[-1][0])
        self.ui.modelBox.currentIndex = 1  # that of all: it has none of its own any more
        self.assertEqual(self.shown(), ("my-model", "Model:"))
        self.add_point((70.0, 44.0, 60.0))
        self.assertEqual(self.case.loaded[-1][0], "my-model")

    def test_a_model_that_is_removed_is_replaced_by_that_of_all(self):
        self.learnt()
        self.section.use_button.click()
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", return_value=True):
            self.case.press("removeModelButton")
        self.assertEqual(self.shown(), (BUNDLED, "Model:"))

    def test_without_a_structure_there_is_nothing_to_use_it_for(self):
        self.learnt()
        self.case.press("removeButton")
        self.assertFalse(self.section.use_button.enabled)
        self.assertEqual(self.section.use_button.toolTip, "Add a structure first.")

    def test_the_section_begins_closed_as_the_others(self):
        fresh = Panel(self.fresh_ui(), self.case.logic)
        self.addCleanup(fresh.release)
        sections = [fresh._ui.moreSection, fresh._ui.promptsSection, fresh._ui.learningSection]
        self.assertEqual([one.collapsed for one in sections], [True] * 3)
        self.assertEqual({one.className() for one in sections}, {"ctkCollapsibleButton"})

    def fresh_ui(self):
        form = slicer.util.loadUI(self.case.widget.resourcePath("UI/CTSAM3D.ui"))
        self.addCleanup(form.deleteLater)
        return slicer.util.childWidgetVariables(form)

    def learnt(self):
        """Learn a model that is better."""
        self.run_script(END, word="better")
        self.check()
        self.section.learn_button.click()
        self.put("my-model")
        self.wait()

    def shown(self):
        return self.ui.modelBox.currentText, self.ui.modelLabel.text

    def add_point(self, ras):
        if not self.ui.insideButton.checked:
            self.case.press("insideButton")
        click_and_wait(self.case, ras)

    def test_model_that_is_not_better_is_not_offered(self):
        self.run_script(END, word="not better", code=1)
        self.check()
        self.section.learn_button.click()
        self.wait()
        self.assertIn("It was not added", self.text)
        self.assertFalse(self.section.use_button.enabled)
        self.assertTrue(self.section.report_button.enabled)

    def test_an_earlier_model_is_replaced_where_that_is_checked(self):
        self.run_script(END)
        self.check()
        self.put("my-model")
        self.ui.learningAnewBox.click()
        self.section.learn_button.click()
        self.assertTrue(self.asked[0][-1])
        self.assertFalse(self.ui.learningAnewBox.checked)
        self.wait()
        folder = Path("cases")
        self.assertIn("--restart", learn_command(folder, "mine", 1.0, folder, anew=True))
        self.assertNotIn("--restart", learn_command(folder, "mine", 1.0, folder))

    def test_the_name_of_a_model_that_is_there_is_refused_before_anything_starts(self):
        self.run_script(END)
        self.check()
        self.put("my-model")
        self.section.choose_folder = lambda: str(self.folder)
        self.addCleanup(setattr, self.section.name_edit, "text", "my-model")
        for name, hint in ((BUNDLED, "choose another id"), ("my-model", "Begin anew")):
            for button in (self.section.learn_button, self.section.folder_button):
                with self.subTest(name=name, button=button.text):
                    self.section.name_edit.text = name
                    button.click()
                    self.assertIn(f"there is a model {name!r} already", self.text)
                    self.assertIn(hint, self.text)
                    self.assertFalse(self.section.busy)
        self.assertEqual(self.asked, [])

    def test_folder_that_has_no_cases_is_told_by_the_real_command(self):
        self.section.choose_folder = lambda: str(self.folder)
        self.section.folder_button.click()
        self.wait()
        self.assertIn("Nothing was learnt", self.text)
        self.assertIn("found no case", self.text)

    test_folder_that_has_no_cases_is_told_by_the_real_command.slow = True

    def test_what_cannot_begin_is_told(self):
        self.run_script(END)
        self.section.show()
        self.assertFalse(self.section.learn_button.enabled)
        self.check()
        self.section.list.item(0).setCheckState(qt.Qt.Unchecked)
        self.section.learn_button.click()
        self.assertIn("Check at least one", self.text)
        self.section.list.item(0).setCheckState(qt.Qt.Checked)
        self.section.name_edit.text = "../other"
        self.section.learn_button.click()
        self.assertIn("letters, digits", self.text)
        self.section.name_edit.text = "my-model"
        blocked = Path(self.folder.parent / "learning")
        blocked.write_text(json.dumps("a file in the way"))
        self.addCleanup(blocked.unlink)
        self.section.learn_button.click()
        self.assertFalse(self.section.busy)
        self.assertNotEqual(self.text, "")
        self.assertEqual(self.asked, [])
