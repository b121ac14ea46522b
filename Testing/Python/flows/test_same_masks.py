"""Masks, logits and calls of the model equal those that were recorded at commit 78d6eb6."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from CTSAM3DLib import BoundingBox, MaskUpdate, Volume, read_volume
from CTSAM3DLib.evaluation.simulated_user import next_click
from CTSAM3DLib.phantom.torso import torso_phantom
from CTSAM3DLib.session import InteractiveSession

pytest.importorskip("torch")

RECORDED = Path(__file__).parent.parent / "data" / "recorded_masks.json"
CASES = {
    "totalsegmentator__abdomen_slab": ("liver", "spleen", "aorta"),
    "torso": ("lung_left", "liver", "aorta"),
}
GROW = ("off", "frontier", "coarse")


class Counting:
    """A model whose calls are counted."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.calls = {"encode": 0, "decode": 0}

    def __getattr__(self, name: str) -> Any:
        if name in self.calls:
            self.calls[name] += 1
        return getattr(self._model, name)


def opened(case: str, data: Path) -> tuple[Volume, dict[str, np.ndarray]]:
    if case == "torso":
        return torso_phantom(2.5)
    folder = data / "ct" / case
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.nii.gz")))
    ids = {name: int(i) for i, name in json.loads((folder / "labels.json").read_text()).items()}
    truth = {name: labels == ids[name] for name in CASES[case]}
    return read_volume(folder / "ct.nii.gz"), truth


def digest(session: InteractiveSession) -> str:
    parts = np.packbits(session.mask).tobytes(), session.state.logits.dense().tobytes()
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def steps(session: InteractiveSession, truth: np.ndarray, seed: int) -> Iterator[str]:
    """Clicks of a simulated user, wrong ones too, undo, removal, and a mask edited by hand."""
    rng = np.random.default_rng(seed)
    geometry = session.volume.geometry
    for number in range(6):
        found = next_click(truth, session.mask, geometry.spacing_mm, rng)
        if found is None:
            return
        voxel, positive = found
        session.add_click(tuple(geometry.ras_from_ijk(voxel)), positive ^ (number == 4))
        yield digest(session)
    session.undo()
    session.remove_click(1)
    yield digest(session)
    edited = ndimage.binary_erosion(session.mask, iterations=2)
    box = BoundingBox.from_mask(edited)
    session.rebase(session.clicks, MaskUpdate(edited[box.slices_kji], box))
    voxel, positive = next_click(truth, session.mask, geometry.spacing_mm, rng)
    session.add_click(tuple(geometry.ras_from_ijk(voxel)), positive)
    yield digest(session)


def run(case: str, data: Path) -> dict[str, list]:
    from CTSAM3DLib.bundles.predictor import load_predictor

    model = load_predictor(None, "cpu")
    volume, truth = opened(case, data)
    found: dict[str, list] = {}
    for grow in GROW:
        for number, name in enumerate(CASES[case]):
            counted = Counting(model)
            session = InteractiveSession.for_volume(volume, counted, grow=grow)
            told = [*steps(session, truth[name], number)]
            found[f"{grow} {name}"] = [*told, counted.calls["encode"], counted.calls["decode"]]
    return found


@pytest.mark.parametrize("case", CASES)
def test_masks_are_those_of_the_step_before_the_change(case: str, shared_data: Path) -> None:
    assert run(case, shared_data) == json.loads(RECORDED.read_text())[case]


if __name__ == "__main__":
    data = Path(sys.argv[1])
    RECORDED.write_text(json.dumps({case: run(case, data) for case in CASES}, indent=1) + "\n")
