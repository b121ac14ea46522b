"""``python -m CTSAM3DLib models``: what is installed, and whether it is intact."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.model_store import ModelStore, verify


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 when a model's file is missing or damaged."""
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib models",
        description="List the installed models and check their files.",
    )
    parser.parse_args(argv)
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
        print(f"  {entry.path}")
    return 1 if damaged else 0
