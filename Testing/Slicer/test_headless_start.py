"""What a start of Slicer pays for the module, and what it finds there, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# All that Slicer has anyway is imported first; only then what the module adds is counted.
SCRIPT = """
import json, sys
from pathlib import Path
root, probe = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(root))
from Testing import HeadlessSlicer
slicer = HeadlessSlicer.start()
sys.path.remove(str(root))
before, paths = set(sys.modules), list(sys.path)
HeadlessSlicer.load_modules([*sorted((root / "CTSAM3D").glob("*.py")), probe])
added = sorted(set(sys.modules) - before)
print(json.dumps({
    "modules": added,
    "paths": [path for path in sys.path if path not in paths],
    "last": sys.path[-1],
    "lacking": sys.modules["AAAProbe"].lacking,
    "later": hasattr(slicer, "vtkSlicerSegmentEditorLogic"),
    "effects": [effect.name for effect in
                slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()],
    "found": sys.modules["AAAProbe"].found,
}))
"""
PROBE = """
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule
NAMES = ("vtkMRMLSegmentEditorNode", "vtkSlicerMarkupsLogic", "vtkSlicerSegmentEditorLogic")
lacking = [name for name in NAMES if not hasattr(slicer, name)]
found = [name for name in ("ctsam3d", "segmenteditorctsam3d") if hasattr(slicer.modules, name)]

class AAAProbe(ScriptedLoadableModule):
    pass
"""
LEAN = {"CTSAM3DLib", "CTSAM3DLib.errors", "CTSAM3DLib.resources", "CTSAM3DLib.version"}
HEAVY = ("scipy", "SimpleITK", "torch", "torchvision", "matplotlib", "pydicom", "highdicom")


class StartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder, "AAAProbe.py")
            probe.write_text(PROBE, encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, str(ROOT), str(probe)],
                capture_output=True,
                text=True,
                cwd=folder,
                env={name: os.environ[name] for name in os.environ if name != "PYTHONPATH"},
                check=False,
            )
            cls.folder = folder
        if done.returncode:
            raise AssertionError(done.stderr)
        cls.found = json.loads(done.stdout.splitlines()[-1])

    def test_the_stand_in_instantiates_by_name_before_classes_of_modules_are_there(self):
        self.assertEqual(len(self.found["lacking"]), 3)
        self.assertEqual(self.found["found"], [])
        self.assertTrue(self.found["later"])

    def test_module_and_effect_are_there(self):
        self.assertIn("CTSAM3D", self.found["modules"])
        self.assertIn("CT-SAM3D", self.found["effects"])

    def test_nothing_heavy_is_imported(self):
        modules = self.found["modules"]
        heavy = [name for name in modules if name.split(".")[0] in HEAVY]
        self.assertEqual(heavy, [])
        library = {name for name in modules if name.split(".")[0] == "CTSAM3DLib"}
        self.assertLessEqual(library, LEAN)

    def test_the_repository_comes_last_on_the_path(self):
        added = [path for path in self.found["paths"] if Path(path) != Path(self.folder)]
        self.assertEqual(sorted(added), sorted([str(ROOT / "CTSAM3D"), str(ROOT)]))
        self.assertEqual(self.found["last"], str(ROOT))
