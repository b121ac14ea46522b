"""A folder of the user's models, and the buttons of the panel that change it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from event_loop import until
from panel_case import StateTestCase

BUNDLED = "ctsam3d-lite"


def imported(name="mine", **changes):
    """Return what an import gives back."""
    values = {"keys": 428, "has_cross_patch": True, "notes": (), **changes}
    entry = SimpleNamespace(model_id=name, variant="tiny", size_bytes=296_500_000)
    return SimpleNamespace(entry=entry, **values)


class FolderCase(StateTestCase):
    """A folder of the user's models."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "models"
        self.folder.mkdir()
        target = "CTSAM3DLib.models.store.user_models_folder"
        patch = mock.patch(target, return_value=self.folder)
        patch.start()
        self.addCleanup(patch.stop)

    def put(self, *names):
        """Put models into the user's folder, as an import does."""
        entries = []
        for name in names:
            content = name.encode()
            (self.folder / f"{name}.pt").write_bytes(content)
            entries.append(
                {
                    "id": name,
                    "file": f"{name}.pt",
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "bytes": len(content),
                    "licence": "MIT",
                    "patch_size": 64,
                    "spacing_range_mm": [1.5, 1.5],
                    "default_spacing_mm": 1.5,
                    "windows_hu": [[-125, 225]],
                }
            )
        manifest = {"schema": 1, "models": entries}
        (self.folder / "models.json").write_text(json.dumps(manifest))


class ModelsCase(FolderCase):
    """The panel, with the buttons for models."""

    def setUp(self):
        super().setUp()
        self.start()
        self.section = self.case.widget.panel.models
        self.addCleanup(self.again)
        for name in ("choose_file", "run_import"):
            self.addCleanup(setattr, self.section, name, getattr(self.section, name))
        self.section.choose_file = lambda: "/downloads/params.pth"

    def again(self):
        """Show the models that are really installed."""
        self.case.widget.panel.choice.list_models()
        self.section.show_models()
        self.section.tell("")

    def wait(self):
        """Let the application go on until the import has ended."""
        until(lambda: not self.section.busy, "the end of the import")

    def add(self, run):
        """Add a model with a stand-in for the import."""
        self.section.run_import = run
        self.case.press("addModelButton")
        self.wait()

    def names(self):
        return [self.ui.modelBox.itemText(n) for n in range(self.ui.modelBox.count)]

    @property
    def text(self):
        return self.ui.modelStatusLabel.text
