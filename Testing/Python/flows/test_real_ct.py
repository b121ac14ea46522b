"""Real CTs from file to file: clicks taken from the labels, the command line, what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from CTSAM3DLib.cli.main import main
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.io.segmentation import read_segmentation

pytest.importorskip("torch")

# The Dice of the bundled model after one click, measured, less 0.1.
LEAST_DICE = {
    "totalsegmentator__abdomen_slab": {"liver": 0.69, "spleen": 0.82, "kidney_left": 0.63},
    "lidc__chest": {"heart": 0.64, "aorta": 0.37},
    "openkbp__pt_201": {"brainstem": 0.66, "mandible": 0.72},
}


def _deepest_ras(mask_kji: np.ndarray, image: sitk.Image) -> list[float]:
    """World position of the voxel farthest from the border, by SimpleITK; LPS to RAS by hand."""
    depth = ndimage.distance_transform_edt(mask_kji)
    k, j, i = (int(v) for v in np.unravel_index(int(np.argmax(depth)), depth.shape))
    left, posterior, superior = image.TransformIndexToPhysicalPoint((i, j, k))
    return [-left, -posterior, superior]


@pytest.mark.slow
@pytest.mark.parametrize("case", LEAST_DICE)
def test_clicks_of_a_real_ct_become_segments(case: str, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ct" / case
    image = sitk.ReadImage(str(folder / "labels.nii.gz"))
    labels = sitk.GetArrayFromImage(image)
    ids = {name: int(i) for i, name in json.loads((folder / "labels.json").read_text()).items()}
    structures = {
        name: {"positive": [_deepest_ras(labels == ids[name], image)]} for name in LEAST_DICE[case]
    }
    clicks = tmp_path / "clicks.json"
    clicks.write_text(json.dumps({"coordinate_system": "RAS", "structures": structures}))
    out = {kind: tmp_path / f"out.{kind}" for kind in ("seg.nrrd", "png", "json")}
    arguments = ["segment", str(folder / "ct.nii.gz"), "--clicks", str(clicks), "--device", "cpu"]
    arguments += ["--output", str(out["seg.nrrd"]), "--picture", str(out["png"])]
    assert main([*arguments, "--report", str(out["json"])]) == 0
    stored = read_segmentation(out["seg.nrrd"])
    assert [segment.name for segment in stored.segments] == list(LEAST_DICE[case])
    report = json.loads(out["json"].read_text())
    voxel_cm3 = float(np.prod(image.GetSpacing())) / 1000
    scores = {}
    for segment, told in zip(stored.segments, report["structures"], strict=True):
        mask = segment.mask.full(labels.shape)
        assert told["volume_cm3"] == pytest.approx(mask.sum() * voxel_cm3, rel=1e-3)
        scores[segment.name] = dice(mask, labels == ids[segment.name])
    assert {name: d for name, d in scores.items() if d < LEAST_DICE[case][name]} == {}
    assert out["png"].stat().st_size > 20_000
