"""The tool that sets clicks by labels: at the place that SimpleITK names, or a plain reason."""

from __future__ import annotations

import json
from pathlib import Path

import clicks_from_labels
import numpy as np
import pytest

from CTSAM3DLib.io.clicks import read_clicks

sitk = pytest.importorskip("SimpleITK")


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Return a folder with two cubes on an oblique grid; id 3 has no voxels."""
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[2:7, 3:8, 4:9] = 1
    labels[9, 11, 13] = 2
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.5, 2.0))
    image.SetOrigin((5.0, -6.0, 7.0))
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "labels.nii.gz"))
    (tmp_path / "labels.json").write_text(json.dumps({"1": "liver", "2": "spleen", "3": "colon"}))
    return tmp_path


def test_clicks_lie_in_the_depth_of_each_structure(case: Path) -> None:
    assert clicks_from_labels.main(case, case / "c.json", ["spleen", "liver"]) == ""
    clicks = read_clicks(case / "c.json")
    image = sitk.ReadImage(str(case / "labels.nii.gz"))
    for name, index in (("liver", (6, 5, 4)), ("spleen", (13, 11, 9))):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(index)
        (click,) = clicks[name]
        assert click.positive
        assert click.position_ras == pytest.approx((-left, -posterior, superior), abs=1e-4)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["lver"], "expected some of colon, liver, spleen; got lver"),
        ([], "expected some of colon"),
        (["colon"], "expected voxels of colon, got none"),
    ],
)
def test_what_is_wrong_is_named(case: Path, names: list[str], said: str) -> None:
    assert said in clicks_from_labels.main(case, case / "c.json", names)
    assert not (case / "c.json").exists()
