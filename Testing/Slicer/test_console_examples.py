"""The Python of README.md, section "From Slicer's Python console", run as it stands."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path

import slicer
from console_case import INSIDE, ConsoleCase
from segmentation_case import ball_volume

README = Path(__file__).resolve().parents[2] / "README.md"
SECTION = "## From Slicer's Python console\n"


def examples(text):
    """Return the blocks of Python in the section."""
    start = text.index(SECTION) + len(SECTION)
    section = re.split(r"^## ", text[start:], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


class ConsoleExamplesTest(ConsoleCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder.name)
        # Slicer takes relative names from the folder of the scene that was saved or loaded last.
        self.addCleanup(slicer.mrmlScene.SetRootDirectory, slicer.mrmlScene.GetRootDirectory())
        slicer.mrmlScene.SetRootDirectory(folder.name)
        self.prepare_folder(Path("cts"))

    def prepare_folder(self, folder):
        """Write a CT with clicks, as the last example expects them."""
        folder.mkdir()
        volume = ball_volume()
        slicer.util.saveNode(volume, str(folder / "patient1.nrrd"))
        slicer.mrmlScene.RemoveNode(volume)
        structures = {"liver": {"positive": [list(INSIDE)]}}
        content = {"coordinate_system": "RAS", "structures": structures}
        (folder / "patient1.json").write_text(json.dumps(content), encoding="utf-8")

    def test_examples_of_the_readme(self):
        blocks = examples(README.read_text(encoding="utf-8"))
        self.assertGreater(len(blocks), 4)
        console = {"__name__": "__console__", "slicer": slicer}
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            for number, block in enumerate(blocks, 1):
                exec(compile(block, f"README.md, example {number}", "exec"), console)
        self.check(console, said.getvalue())

    def check(self, console, said):
        volumes = console["logic"].volumesCm3(console["segmentation"])
        self.assertEqual(len(volumes), 12)  # the eleven organs of the torso and the lesion
        self.assertGreater(min(volumes.values()), 0)
        self.assertIn("'Liver': ", said)
        self.assertIn("2 of 2: ", said)
        self.assertIn("patient1 done", said)
        self.assertEqual(len(console["segmentations"]), 1)
        self.assertGreater(Path("organs.seg.nrrd").stat().st_size, 0)
        self.assertTrue(Path("results", "patient1.seg.nrrd").is_file())
