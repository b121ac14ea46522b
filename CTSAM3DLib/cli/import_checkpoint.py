"""``python -m CTSAM3DLib import-checkpoint``: the authors' weights become a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from CTSAM3DLib.errors import ModelExistsError
from CTSAM3DLib.models.store import ModelStore

if TYPE_CHECKING:
    from CTSAM3DLib.bundles.importing import ImportedModel


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``--help``."""
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib import-checkpoint",
        description="Make a model of the checkpoint that the authors of CT-SAM3D have published. "
        "Nothing in the file is run, and nothing is downloaded.",
    )
    parser.add_argument("checkpoint", type=Path, help="params.pth, as it was downloaded")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="JSON",
        help='values that differ from those of the authors: {"window_hu": [-125, 225], '
        '"spacing_mm": 1.5}',
    )
    parser.add_argument(
        "--id",
        dest="model_id",
        metavar="NAME",
        help="name of the model (default: ct-sam3d-tiny, -small, -base or -large)",
    )
    parser.add_argument(
        "--half", action="store_true", help="store float16: half the size, not exact"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.pt",
        help="write the model there, and FILE.pt.json next to it (default: the user's folder)",
    )
    parser.add_argument("--replace", action="store_true", help="replace a model of the same name")
    options = parser.parse_args(argv)
    from CTSAM3DLib.bundles.importing import ImportRequest, import_official  # PyTorch

    request = ImportRequest(**vars(options))
    try:
        imported = import_official(request, lambda text: print(f"{text} ...", flush=True))
    except ModelExistsError as error:
        raise ModelExistsError(f"{error} (options --replace, --id and --output)") from error
    for line in summary(imported):
        print(line)
    return 0


def summary(imported: ImportedModel) -> list[str]:
    """Return what was imported, as lines for a terminal."""
    entry = imported.entry
    settings = entry.settings
    low, high = settings.windows_hu[0]
    cross_patch = "present" if imported.has_cross_patch else "not in the file; the model has none"
    precision = "float16" if imported.half else "float32"
    lines = [
        f"network       CT-SAM3D {entry.variant}, {imported.parameters:,} parameters",
        f"keys          {imported.keys} of {imported.keys} loaded, all finite",
        f"cross-patch   {cross_patch}",
        f"HU window     {low:g} to {high:g}",
        f"spacing       {settings.default_spacing_mm:g} mm",
        *(f"note          {note}" for note in imported.notes),
        f"wrote         {entry.path} ({entry.size_bytes / 1e6:.1f} MB, {precision})",
        f"described in  {imported.described_in}",
        f"SHA-256       {entry.sha256}",
    ]
    if imported.described_in.name == entry.path.name + ".json":
        return [*lines, f"use it with   --model {entry.path}"]
    default = ModelStore.standard().default().model_id
    return [*lines, f"use it with   --model {entry.model_id} (the default is {default})"]
