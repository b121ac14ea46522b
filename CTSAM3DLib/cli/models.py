"""``python -m CTSAM3DLib models``: list them and check their files, remove one, trust one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.models.folder import remove_model
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.models.store import ModelStore, trust_model, verify


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 when a model's file is missing or damaged."""
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib models",
        description="List the installed models and check their files, remove one, or trust a "
        "file of somebody else.",
    )
    actions = parser.add_subparsers(dest="action", metavar="remove ID | trust FILE")
    remove = actions.add_parser("remove", help="remove a model that you have added")
    remove.add_argument("id", metavar="ID")
    trust = actions.add_parser("trust", help="allow --model FILE for a file of somebody else")
    trust.add_argument("file", metavar="FILE")
    options = parser.parse_args(argv)
    if options.action == "remove":
        print(f"removed {remove_model(options.id)}")
        return 0
    if options.action == "trust":
        entry = trust_model(options.file)
        print(f"trusted {entry.path}, SHA-256 {entry.sha256}; use it with --model {entry.path}")
        return 0
    return _list()


def _list() -> int:
    store = ModelStore.standard()
    entries = store.entries()
    if not entries:
        folders = ", ".join(str(folder) for folder in store.folders)
        print(f"no models are installed; looked in {folders}")
        return 1
    default = store.default().model_id
    damaged = 0
    for name, entry in entries.items():
        try:
            verify(entry)
            state = "intact"
        except BundleError as error:
            state, damaged = str(error), damaged + 1
        mark = " (default)" if name == default else ""
        print(f"{name}{mark}  {entry.size_bytes / 1e6:.1f} MB  {entry.licence}  {state}")
        print(f"  {describe(entry)}")
        print(f"  {entry.path}")
    return 1 if damaged else 0


def describe(entry: ModelEntry) -> str:
    """Return what kind of model it is, in one line."""
    settings = entry.settings
    kind = "own network"
    if settings.official:
        kind = f"official network {entry.variant}".rstrip()
    low, high = settings.spacing_range_mm
    spacing = f"{low:g} mm" if low == high else f"{low:g} to {high:g} mm"
    windows = ", ".join(f"{a:g} to {b:g}" for a, b in settings.windows_hu)
    cross_patch = "yes" if settings.cross_patch_trained else "no"
    text = f"{kind}; cross-patch predictor: {cross_patch}; voxels of {spacing}; HU {windows}"
    count = len(settings.adapters)
    return f"{text}; anatomies with adapters: {count}" if count else text
