"""What is copied for an error report, and what must never be in it."""

from __future__ import annotations

import platform
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from CTSAM3DModuleLib.diagnostics import diagnostics_text, without_private
from CTSAM3DModuleLib.torch_devices import TorchDevice
from CTSAM3DModuleLib.torch_setup import TorchKind, TorchState

import CTSAM3DLib
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.models.store import ModelStore

READY = TorchState(
    TorchKind.READY,
    "2.13.0",
    (TorchDevice("cpu", "Processor (CPU)"), TorchDevice("cuda:0", "Card A (cuda:0)")),
    "PyTorch is ready.",
)
PATIENT = "DOE^JANE CT Thorax"


def lines_of(text):
    return dict(line.split(": ", 1) for line in text.splitlines())


class DiagnosticsTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def volume(self, left_handed=False):
        node = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name=PATIENT)
        node.SetSpacing(0.703125, 0.8, 2.5)
        node.SetIJKToRASDirections(-1, 0, 0, 0, 1 if left_handed else -1, 0, 0, 0, 1)
        return node

    def test_all_facts(self):
        text = diagnostics_text(
            READY,
            device="cuda:0",
            latencies_ms=[812.4, 95.2, 88.0],
            volume_node=self.volume(),
            last_error="ClickOutsideVolumeError: expected a click inside, got [1, 2, 3]",
        )
        facts = lines_of(text)
        self.assertEqual(facts["CT-SAM3D"], CTSAM3DLib.__version__)
        self.assertIn(str(slicer.app.revision), facts["Slicer"])
        self.assertRegex(facts["Slicer"], r"^\d+\.\d+")
        self.assertEqual(facts["System"], platform.platform())
        self.assertEqual(facts["Python"], platform.python_version())
        self.assertEqual(facts["NumPy"], np.__version__)
        self.assertEqual(facts["PyTorch"], "ready, version 2.13.0")
        self.assertEqual(facts["Devices"], "Processor (CPU), Card A (cuda:0)")
        self.assertRegex(facts["Model"], r"^ctsam3d-lite, checksum right, SHA-256 [0-9a-f]{12}$")
        self.assertEqual(facts["Device in use"], "cuda:0")
        self.assertEqual(facts["Last clicks (ms)"], "812, 95, 88")
        voxels = "6 x 5 x 4 voxels, short, 0.703 x 0.800 x 2.500 mm"
        self.assertEqual(facts["Volume"], f"{voxels}, right-handed, no parent transform")
        error = "ClickOutsideVolumeError: expected a click inside, got [1, 2, 3]"
        self.assertEqual(facts["Last error"], error)
        self.assertTrue(text.endswith("\n"))

    def test_nothing_yet(self):
        text = diagnostics_text(TorchState(TorchKind.TORCH_MISSING), store=ModelStore([]))
        facts = lines_of(text)
        self.assertEqual(facts["PyTorch"], "torch missing, version unknown")
        for name in ("Devices", "Device in use", "Last clicks (ms)", "Volume", "Last error"):
            self.assertEqual(facts[name], "none")
        self.assertIn("not usable: no model is installed", facts["Model"])

    def test_model_that_is_altered_or_unknown(self):
        with tempfile.TemporaryDirectory(prefix="Jane Doe ") as folder:
            bundled = ModelStore.standard().default()
            manifest = bundled.path.with_name("models.json").read_text(encoding="utf-8")
            Path(folder, "models.json").write_text(manifest, encoding="utf-8")
            Path(folder, bundled.path.name).write_bytes(b"cut")
            store = ModelStore([Path(folder)])
            for model in (None, Path(folder, "other.pt")):
                facts = lines_of(diagnostics_text(READY, model=model, store=store))
                self.assertIn("not usable", facts["Model"])
                self.assertIn("<path>", facts["Model"])
                self.assertNotIn("Doe", facts["Model"])
            self.assertIn("truncated", lines_of(diagnostics_text(READY, store=store))["Model"])

    def test_left_handed_volume_under_transforms(self):
        node = self.volume(left_handed=True)
        linear = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", PATIENT)
        linear.SetAndObserveTransformToParent(vtk.vtkTransform())
        node.SetAndObserveTransformNodeID(linear.GetID())
        facts = lines_of(diagnostics_text(READY, volume_node=node))
        self.assertIn("left-handed, linear parent transform", facts["Volume"])
        spline = vtk.vtkThinPlateSplineTransform()
        spline.SetBasisToR()
        for number in range(4):
            spline_point = [float(number == axis) * 50 for axis in range(3)]
            source = spline.GetSourceLandmarks() or vtk.vtkPoints()
            target = spline.GetTargetLandmarks() or vtk.vtkPoints()
            source.InsertNextPoint(spline_point)
            target.InsertNextPoint([value * 1.1 + number for value in spline_point])
            spline.SetSourceLandmarks(source)
            spline.SetTargetLandmarks(target)
        linear.SetAndObserveTransformToParent(spline)
        facts = lines_of(diagnostics_text(READY, volume_node=node))
        self.assertIn("non-linear parent transform", facts["Volume"])

    def test_volume_that_cannot_be_used(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", PATIENT)
        facts = lines_of(diagnostics_text(READY, volume_node=node))
        self.assertEqual(facts["Volume"], "not usable (VolumeError), no parent transform")

    def test_no_name_and_no_path_is_told(self):
        node = self.volume()
        segmentation = "Tumour of Mrs Doe"
        error = VolumeError(
            f'expected a volume, got "{PATIENT}" from /home/jane/CT Thorax, 2024/scan.nii.gz: '
            f"{PATIENT} and {segmentation}"
        )
        text = diagnostics_text(
            READY,
            latencies_ms=[1],
            volume_node=node,
            last_error=error,
            private_names=[segmentation],
        )
        for private in ("DOE", "Doe", "jane", "JANE", "Thorax", "scan", "/home"):
            self.assertNotIn(private, text)
        self.assertIn('VolumeError: expected a volume, got "<name>" from <path>', text)
        self.assertIn(node.GetName(), PATIENT)


class PrivateTest(unittest.TestCase):
    def check(self, text, expected, names=()):
        self.assertEqual(without_private(text, names), expected)

    def test_paths(self):
        for path in (
            "/home/jane doe/ct.nii.gz",
            "/data/Doe, Jane/CT 1",
            "C:\\Users\\Jane Doe\\scan 1.nrrd",
            "D:/Jane Doe/x",
            "\\\\server\\share\\Doe",
            "~/Doe/scan.nii",
            "data/Doe/scan.nii",
            "Doe_Jane.nii.gz",
            "DOE.dcm",
        ):
            self.check(f"cannot read {path}", "cannot read <path>")
            self.check(f"cannot read: {path}; stop", "cannot read: <path>; stop")
            self.check(f"in {path!r} is nothing", "in '<path>' is nothing")

    def test_python_files_keep_their_name(self):
        trace = (
            "Traceback (most recent call last):\n"
            '  File "/opt/Slicer 5/lib/CTSAM3DLib/session/session.py", line 12, in add_click\n'
            '  File "C:\\Users\\Jane Doe\\worker.py", line 3\n'
            "ModuleNotFoundError: No module named 'torchgen'\n"
        )
        found = without_private(trace)
        self.assertIn('File "session.py", line 12, in add_click', found)
        self.assertIn('File "worker.py", line 3', found)
        self.assertIn("No module named 'torchgen'", found)
        self.assertNotIn("Doe", found)

    def test_quoted_names(self):
        self.check("transform \"Jane's CT\" under 'Doe'", "transform <name> under <name>")
        self.check("it can't and won't", "it can't and won't")

    def test_given_names(self):
        names = ["Doe", "Doe Jane", "", "CT"]
        self.check("CT-SAM3D: Doe Jane, Doe's CT", "CT-SAM3D: <name>, <name>'s CT", names)
        self.check("Doering", "Doering", names)
        self.check("node a.b (1) moved", "node <name> moved", ["a.b (1)"])

    def test_what_is_no_path_stays(self):
        for text in (
            "expected 3 finite spacings > 0 mm, got (1, 0, 1)",
            "3 and/or 4 of 1/2, RAS/LPS, N/A.",
            "float32 vs. float64 at 2.5 mm; a / b",
            "CUDA error: out of memory. Tried to allocate 2.00 GiB",
        ):
            self.check(text, text)
