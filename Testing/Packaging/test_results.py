"""Published measurements belong to the model that is bundled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RESULTS = (
    "ctsam3d-lite-1-abdomen-slab.md",
    "ctsam3d-lite-1-head-and-neck.md",
)
GROUPS = [
    ("abdomen slab, 24 structures, machine labels", RESULTS[0]),
    ("head and neck, 135 structures, human labels", RESULTS[1]),
]


@pytest.fixture
def entry(repository: Path) -> dict:
    manifest = json.loads((repository / "Resources/Models/models.json").read_text(encoding="utf-8"))
    (found,) = [m for m in manifest["models"] if m["id"] == manifest["default"]]
    return found


@pytest.mark.parametrize("name", RESULTS)
def test_results_name_the_checksum_of_the_bundle(repository: Path, entry: dict, name: str) -> None:
    text = (repository / "Testing/Benchmarks/results" / name).read_text(encoding="utf-8")
    assert f"model sha256: {entry['sha256']}" in text


@pytest.mark.parametrize(("group", "name"), GROUPS)
def test_quality_in_the_manifest_is_that_of_the_results(
    repository: Path, entry: dict, group: str, name: str
) -> None:
    text = (repository / "Testing/Benchmarks/results" / name).read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if "| model |" in line)
    cells = [cell.strip() for cell in row.split("|")[4:12]]
    quality = entry["quality"][group]
    assert [float(cell) for cell in cells] == [*quality["dice"], *quality["nsd_2mm"]]
