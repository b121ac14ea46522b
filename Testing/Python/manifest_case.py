"""Manifests of models for tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

CONTENT = bytes(range(256)) * 20


def entry_values(file: str = "a.pt", content: bytes = CONTENT, **changes: object) -> dict:
    return {
        "id": Path(file).stem,
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": "Apache-2.0",
        "version": 1,
        "patch_size": 64,
        "spacing_range_mm": [1.5, 4.0],
        "default_spacing_mm": 2.0,
        "windows_hu": [[-125, 225], [-1000, 400]],
        "training_data": [{"name": "set", "licence": "CC-BY-4.0", "url": "https://example.org"}],
        "quality": {"dice": 0.9},
        **changes,
    }


def write_manifest(folder: Path, *entries: dict, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        (folder / entry["file"]).write_bytes(CONTENT)
    path = folder / "models.json"
    path.write_text(json.dumps({"schema": 1, "models": list(entries), **changes}))
    return path
