"""The label maps in ``Testing/Annotations``: files agree with one another and with their CT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CTSAM3DLib.prompts import Click
from CTSAM3DLib.prompts.prompt import prompt_from_row

sitk = pytest.importorskip("SimpleITK")

FOLDERS = sorted(Path(__file__).parents[2].glob("Annotations/*/labels.nii.gz"))
LOOKS = {"kept", "corrected", "removed"}


def read_json(labels: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((labels.parent / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("labels", FOLDERS, ids=lambda path: path.parent.name)
def test_files_of_a_case_agree(labels: Path) -> None:
    names = {int(value): name for value, name in read_json(labels, "labels.json").items()}
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    assert set(np.unique(array)) - {0} == set(names)
    assert len(set(names.values())) == len(names)
    record = read_json(labels, "record.json")
    assert record["case"] == labels.parent.name
    made = record["structures"]
    removed = {n for n, about in made.items() if verdict(about) == "removed"}
    assert set(made) - removed == set(names.values())
    assert all(verdict(about) in LOOKS for about in made.values() if about["second_look"])
    prompts = read_json(labels, "prompts.json")
    assert set(names.values()) <= set(prompts) <= set(made)
    for name, rows in prompts.items():
        clicks = [isinstance(prompt_from_row(row, name), Click) for row in rows]
        assert (sum(clicks), len(clicks) - sum(clicks)) == (
            made[name]["clicks"],
            made[name]["strokes"],
        )


def verdict(about: dict[str, Any]) -> str:
    return str((about["second_look"] or {}).get("verdict", ""))


@pytest.mark.parametrize("labels", FOLDERS, ids=lambda path: path.parent.name)
def test_labels_lie_on_the_voxels_of_their_ct(labels: Path, shared_data: Path) -> None:
    ct = sitk.ReadImage(str(shared_data / "ct" / labels.parent.name / "ct.nii.gz"))
    image = sitk.ReadImage(str(labels))
    assert image.GetSize() == ct.GetSize()
    for of in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(image, of)(), getattr(ct, of)(), atol=1e-3)
