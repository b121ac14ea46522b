"""Several volumes, sequences and folders in one call."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import slicer
from console_case import INSIDE, OTHER, OUTSIDE, ConsoleCase
from CTSAM3DModuleLib.scripting.folder import cases_in_folder
from segmentation_case import ball_volume

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.errors import (
    ClickOutsideVolumeError,
    ClicksFileError,
    DeviceError,
    NodeError,
    OutputFileError,
)
from CTSAM3DLib.io.segmentation import read_segmentation

CLICKS = {"liver": {"positive": [INSIDE]}, "spleen": {"positive": [OTHER]}}


class VolumesTest(ConsoleCase):
    def test_one_segmentation_for_each_volume(self):
        volumes = [ball_volume(), ball_volume()]
        nodes = self.logic.segmentSequence(volumes, CLICKS)
        self.assertEqual(
            [node.GetName() for node in nodes], ["CT segmentation", "CT segmentation_1"]
        )
        for node, volume in zip(nodes, volumes, strict=True):
            self.assertTrue(self.mask(node, volume, 1).any())

    def test_clicks_for_each_volume(self):
        volumes = [ball_volume(), ball_volume()]
        clicks = [{"liver": {"positive": [place]}} for place in (INSIDE, OTHER)]
        nodes = self.logic.segmentSequence(volumes, clicks)
        for node, volume, place in zip(nodes, volumes, (INSIDE, OTHER), strict=True):
            centre = self.voxel_centre(node, volume)
            np.testing.assert_allclose(centre, np.array(place) / (2, 2, 3), atol=0.7)
        with self.assertRaisesRegex(ClicksFileError, "for each of 2 volumes, got 1"):
            self.logic.segmentSequence(volumes, clicks[:1])

    def test_bad_click_of_the_last_volume_is_found_first(self):
        volumes = [ball_volume(), ball_volume()]
        clicks = [{"liver": {"positive": [place]}} for place in (INSIDE, OUTSIDE)]
        self.assert_scene_untouched(
            ClickOutsideVolumeError,
            "structure 'liver'",
            lambda: self.logic.segmentSequence(volumes, clicks),
        )
        self.assertEqual(self.predictor.encoded, 0)

    def test_progress_and_cancel(self):
        told = []
        nodes = self.logic.segmentSequence(
            [ball_volume(), ball_volume(), ball_volume()],
            CLICKS,
            progress=lambda *step: told.append(step) or len(told) < 4,
        )
        self.assertEqual(len(nodes), 1)
        self.assertEqual(told[0], ("CT: liver", 1, 6))
        self.assertEqual(told[-1], ("CT: spleen", 4, 6))

    def test_scene_that_is_closed_in_progress(self):
        for carry in (False, True):
            for steps in (1, 2):
                told, volumes = [], [ball_volume(), ball_volume()]

                def progress(*step, told=told, steps=steps):
                    told.append(step)
                    if len(told) == steps:
                        slicer.mrmlScene.Clear()

                with (
                    self.subTest(carry=carry, steps=steps),
                    self.assertRaisesRegex(NodeError, "a node of the scene, got"),
                ):
                    self.logic.segmentSequence(
                        volumes, {"liver": CLICKS["liver"]}, progress=progress, carry=carry
                    )
                self.assertEqual(len(told), steps)
                self.assertFalse(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))

    def test_something_else_is_refused(self):
        with self.assertRaisesRegex(
            NodeError, "a list of volume nodes or a vtkMRMLSequenceBrowser"
        ):
            self.logic.segmentSequence(ball_volume(), CLICKS)
        with self.assertRaisesRegex(NodeError, "a node of the scene, got None"):
            self.logic.segmentSequence([None], CLICKS)
        self.assertEqual(self.logic.segmentSequence([], CLICKS), [])


class SequenceTest(ConsoleCase):
    def setUp(self):
        super().setUp()
        if not hasattr(slicer.modules, "sequences"):  # the stand-in has no module of sequences
            self.sequences = slicer.vtkSlicerSequencesLogic()
            self.sequences.SetMRMLScene(slicer.mrmlScene)

    def browser(self, count=3):
        """Return a browser on a moving bright ball, whose voxels tell the frame."""
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Beating")
        for frame in range(count):
            volume = ball_volume()
            slicer.util.arrayFromVolume(volume)[0, 0, 0] = 100 + frame
            sequence.SetDataNodeAtValue(volume, str(frame))
            slicer.mrmlScene.RemoveNode(volume)
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        browser.SetSelectedItemNumber(1)
        return browser, sequence

    def test_every_frame_is_segmented(self):
        browser, sequence = self.browser()
        proxy = browser.GetProxyNode(sequence)
        shown = []

        def progress(name, done, total):
            shown.append((name, int(slicer.util.arrayFromVolume(proxy)[0, 0, 0])))

        nodes = self.logic.segmentSequence(browser, {"liver": CLICKS["liver"]}, progress=progress)
        name = proxy.GetName()
        self.assertEqual(shown, [(f"{name} [{n}]: liver", 100 + n) for n in range(3)])
        self.assertEqual(
            [node.GetName() for node in nodes], [f"{name} [{n}] segmentation" for n in range(3)]
        )
        for node in nodes:
            self.assertTrue(self.mask(node, proxy).any())
        self.assertEqual(browser.GetSelectedItemNumber(), 1)

    def test_frame_shown_before_is_shown_after_an_error(self):
        browser, _ = self.browser()
        with self.assertRaises(ClickOutsideVolumeError):
            self.logic.segmentSequence(browser, {"liver": {"positive": [OUTSIDE]}})
        self.assertEqual(browser.GetSelectedItemNumber(), 1)

    def test_browser_without_a_volume(self):
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Empty")
        with self.assertRaisesRegex(NodeError, 'a scalar volume in "Empty"'):
            self.logic.segmentSequence(browser, CLICKS)


class FolderTest(ConsoleCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name, "in")
        self.folder.mkdir()
        self.output = Path(folder.name, "out")

    def ct(self, name):
        volume = ball_volume()
        self.assertTrue(slicer.util.saveNode(volume, str(self.folder / name)))
        slicer.mrmlScene.RemoveNode(volume)

    def clicks(self, name, *positions):
        structures = {"liver": {"positive": [list(place) for place in positions]}}
        content = {"coordinate_system": "RAS", "structures": structures}
        (self.folder / name).write_text(json.dumps(content), encoding="utf-8")

    def states(self, report):
        return {case["case"]: case["status"] for case in report["cases"]}

    def test_failed_case_does_not_stop_the_others_and_a_second_run_goes_on(self):
        for name in ("a", "b", "c"):
            self.ct(f"{name}.nrrd")
        self.clicks("a.json", INSIDE)
        self.clicks("b.json", OUTSIDE)
        self.clicks("c.json", INSIDE, OTHER)
        before, told = self.scene_text(), []
        report = self.logic.segmentFolder(
            self.folder, self.output, progress=lambda *step: told.append(step)
        )
        self.assertEqual(self.states(report), {"a": "done", "b": "failed", "c": "done"})
        self.assertIn("ClickOutsideVolumeError", report["cases"][1]["error"])
        self.assertEqual(told, [("a", 1, 3), ("b", 2, 3), ("c", 3, 3)])
        self.assertEqual(self.scene_text(), before)
        (thread,) = self.predictor.threads
        self.assertTrue(thread.startswith("CTSAM3D inference"))
        encoded = self.predictor.encoded
        self.clicks("b.json", INSIDE)
        report = self.logic.segmentFolder(str(self.folder), str(self.output))
        self.assertEqual(self.states(report), {"a": "skipped", "b": "done", "c": "skipped"})
        self.assertEqual(self.predictor.encoded, encoded + 1)
        self.assert_engine_at_rest()

    def test_result_opens_in_slicer_and_equals_that_of_the_node(self):
        self.ct("a.nrrd")
        self.clicks("a.json", INSIDE)
        self.logic.segmentFolder(self.folder, self.output)
        loaded = slicer.util.loadSegmentation(str(self.output / "a.seg.nrrd"))
        volume = ball_volume()
        node = self.logic.segment(volume, self.folder / "a.json")
        np.testing.assert_array_equal(self.mask(loaded, volume), self.mask(node, volume))

    def test_file_names_that_alone_name_the_structure(self):
        self.ct("case 1.nii.gz")
        for kind, name in (("Fiducial", "case 1 liver"), ("Curve", "case 1_kidney_left")):
            node = slicer.mrmlScene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", "X")
            node.SetName("F" if kind == "Fiducial" else "C")
            for place in (INSIDE, OTHER):
                node.AddControlPointWorld(place, "F-1")
            slicer.util.saveNode(node, str(self.folder / f"{name}.mrk.json"))
        self.logic.segmentFolder(self.folder, self.output)
        found = read_segmentation(self.output / "case 1.seg.nrrd")
        self.assertEqual({one.name for one in found.segments}, {"liver", "kidney_left"})

    def test_cancel_and_go_on(self):
        for name in ("a", "b"):
            self.ct(f"{name}.nrrd")
            self.clicks(f"{name}.json", INSIDE)
        report = self.logic.segmentFolder(self.folder, self.output, progress=lambda *step: False)
        self.assertEqual(self.states(report), {"a": "done"})
        report = self.logic.segmentFolder(self.folder, self.output)
        self.assertEqual(self.states(report), {"a": "skipped", "b": "done"})

    def test_result_that_was_corrected_is_kept_until_it_shall_be_overwritten(self):
        self.ct("a.nrrd")
        self.clicks("a.json", INSIDE)
        self.logic.segmentFolder(self.folder, self.output)
        result = self.output / "a.seg.nrrd"
        segmentation = slicer.util.loadSegmentation(str(result))
        self.assertTrue(slicer.util.saveNode(segmentation, str(result)))
        corrected = result.read_bytes()
        with self.assertLogs("CTSAM3DModuleLib", "WARNING") as logs:
            report = self.logic.segmentFolder(self.folder, self.output)
        self.assertEqual(self.states(report), {"a": "kept"})
        self.assertIn("a.seg.nrrd", logs.output[0])
        self.assertEqual(result.read_bytes(), corrected)
        report = self.logic.segmentFolder(self.folder, self.output, overwrite=True)
        self.assertEqual(self.states(report), {"a": "done"})
        self.assertNotEqual(result.read_bytes(), corrected)

    def test_table_with_a_column_that_is_ignored(self):
        self.ct("a.nrrd")
        self.clicks("a.json", INSIDE)
        table = self.folder / "table.csv"
        text = "ct,clicks,output,device\na.nrrd,a.json,first.seg.nrrd,tpu\n"
        table.write_text(text, encoding="utf-8")
        with self.assertLogs("CTSAM3DLib", "WARNING") as logs:
            report = self.logic.segmentFolder(table, self.output)
        self.assertEqual(self.states(report), {"first": "done"})
        self.assertIn("'device' is ignored", logs.output[0])

    def test_results_never_take_the_place_of_inputs(self):
        self.ct("a.nrrd")
        self.clicks("a.json", INSIDE)
        before = (self.folder / "a.json").read_bytes()
        table = self.folder / "table.csv"
        table.write_text("ct,clicks,output\na.nrrd,a.json,a.seg.nrrd\n", encoding="utf-8")
        with self.assertRaisesRegex(OutputFileError, "a.json"):
            self.logic.segmentFolder(table, self.folder)
        self.assertEqual((self.folder / "a.json").read_bytes(), before)
        self.assertFalse((self.folder / "a.seg.nrrd").exists())

    def test_model_that_cannot_be_loaded_stops_the_batch(self):
        self.ct("a.nrrd")
        self.clicks("a.json", INSIDE)
        with self.assertRaisesRegex(DeviceError, "tpu"):
            self.logic.segmentFolder(self.folder, self.output, device="tpu")

        def load(model, device):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

        self.logic.setEngine(SegmentationEngine(load))
        with self.assertRaisesRegex(ImportError, "PyTorch is needed"):
            self.logic.segmentFolder(self.folder, self.output)
        self.assertFalse(self.output.exists())

    def test_clicks_go_with_the_longest_name(self):
        names = ("case.nii.gz", "case_1.nrrd", "alone.mha", "old.seg.nrrd")
        clicks = ("case.json", "case_1.json", "case_1_liver.mrk.json", "case spleen.fcsv")
        for name in (*names, *clicks, "case10.json"):
            (self.folder / name).touch()
        (self.folder / "series").mkdir()
        (self.folder / "series-clicks.json").touch()
        found = {
            item.name: (item.case.ct.name, [path.name for path in item.case.clicks])
            for item in cases_in_folder(self.folder, self.output)
        }
        self.assertEqual(
            found,
            {
                "case": ("case.nii.gz", ["case spleen.fcsv", "case.json"]),
                "case_1": ("case_1.nrrd", ["case_1.json", "case_1_liver.mrk.json"]),
                "series": ("series", ["series-clicks.json"]),
            },
        )

    def test_folders_that_cannot_be_used(self):
        with self.assertRaisesRegex(ClicksFileError, "no CT in .* has clicks"):
            self.logic.segmentFolder(self.folder, self.output)
        with self.assertRaisesRegex(ClicksFileError, "Choose another folder for the results"):
            self.logic.segmentFolder(self.folder, self.folder)
        with self.assertRaisesRegex(ClicksFileError, "expected a readable CSV table"):
            self.logic.segmentFolder(self.folder / "no.csv", self.output)
        for name in ("a.nii", "a.nrrd", "a.json"):
            (self.folder / name).touch()
        with self.assertRaisesRegex(ClicksFileError, "expected one CT 'a'"):
            self.logic.segmentFolder(self.folder, self.output)
