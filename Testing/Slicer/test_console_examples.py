"""The Python of README and docs for Slicer's console, run as it stands, block after block."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

import slicer
from console_case import INSIDE, ConsoleCase
from segmentation_case import ball_volume

from CTSAM3DLib import phantom

REPOSITORY = Path(__file__).resolve().parents[2]
IS_CONSOLE = "slicer.util."  # every other page shows Python that needs no Slicer


def examples():
    """Return the blocks of Python of each page for the console: page, code."""
    pages = {}
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        if IS_CONSOLE in text and blocks:
            pages[path.name] = blocks
    return pages


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

    def test_examples_of_the_pages(self):
        (page,) = pages = examples()
        self.assertEqual(page, "slicer-scripting.md")
        self.assertGreater(len(pages[page]), 4)
        console = {"__name__": "__console__", "slicer": slicer}
        said = io.StringIO()
        torso = phantom.torso_phantom(4.0)  # made in a tenth of the time
        with (
            contextlib.redirect_stdout(said),
            mock.patch.object(phantom, "torso_phantom", return_value=torso),
        ):
            for number, block in enumerate(pages[page], 1):
                exec(compile(block, f"{page}, example {number}", "exec"), console)
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
