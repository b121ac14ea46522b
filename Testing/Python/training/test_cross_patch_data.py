"""Pairs of neighbouring patches: what is known lies where it belongs, and the target beyond it."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch

from CTSAM3DLib.training import cross_patch_data as pairs
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.packing import pack

SIZE = 32
CONFIG = TrainConfig(
    patch_size=SIZE, spacing_range_mm=(2.0, 2.001), source_weights={"human": 1.0}, seed=5
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """A long bar and a small ball; HU tells them from all else: bar 150, ball 90, body 0."""
    folder = tmp_path_factory.mktemp("pairs")
    case = folder / "ct" / "bar__1"
    case.mkdir(parents=True)
    i, j, k = np.ogrid[:60, :60, :120]
    labels = np.zeros((60, 60, 120), np.uint8)
    labels[24:34, 24:34, 6:114] = 1
    labels[(i - 50) ** 2 + (j - 12) ** 2 + (k - 60) ** 2 < 25] = 2
    hu = np.choose(labels, [0, 150, 90]).astype(np.int16)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(hu, affine), case / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, affine), case / "labels.nii.gz")
    (case / "labels.json").write_text(json.dumps({"1": "aorta", "2": "spleen"}))
    (case / "meta.json").write_text(json.dumps({"split": "train", "label_origin": "human (test)"}))
    pack(folder, folder / "train.npz")
    return PackedData(folder / "train.npz", torch.device("cpu"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intensities and masks as they are."""
    monkeypatch.setattr(pairs, "vary_intensity", lambda hu, rng, generator: hu)
    monkeypatch.setattr(pairs, "disturbed", lambda mask, rng: mask)


def _drawn(data: PackedData, number: int, segmenter: torch.nn.Module | None = None) -> pairs.Pair:
    rng, generator = np.random.default_rng((number, 1)), torch.Generator().manual_seed(number)
    return pairs.draw_pair(data, CONFIG, rng, generator, segmenter)


@pytest.mark.usefixtures("plain")
def test_known_mask_lies_on_the_image_of_the_neighbour(data: PackedData) -> None:
    agreements = []
    for number in range(24):
        pair = _drawn(data, number)
        image, mask, known = pair.seen[0], pair.seen[-2] > 0, pair.known > 0
        assert 0 < known.sum() < known.numel()
        assert not (mask & ~known).any()
        assert not (pair.beyond & known).any()
        # Window -160..240: bar 0.775, ball 0.625, body 0.4, outside 0. A blur of one voxel at the
        # border is allowed, a shift is not.
        level = 0.775 if float(image[mask].median()) > 0.7 else 0.625
        structure = (image > 0.5 * (level + 0.4)) & (image < level + 0.05)
        agreement = 2 * (structure & mask).sum() / ((structure & known).sum() + mask.sum())
        agreements.append(float(agreement))
    assert np.median(agreements) > 0.9
    assert min(agreements) > 0.75


@pytest.mark.usefixtures("plain")
def test_the_target_is_beyond_and_inside_or_nothing(data: PackedData) -> None:
    seen = {True: 0, False: 0}
    for number in range(40):
        pair = _drawn(data, number)
        seen[pair.goes_on] += 1
        if pair.goes_on:
            peak = int(pair.heat.argmax())
            assert float(pair.heat.max()) == 1.0
            assert bool(pair.beyond.flatten()[peak])
        else:
            assert float(pair.heat.max()) == 0.0
    assert min(seen.values()) >= 4


def test_the_segmenter_gives_masks_with_its_mistakes(data: PackedData) -> None:
    class Everything(torch.nn.Module):
        def encode(self, image):
            return [image]

        def decode(self, _embedding, prompt):
            return torch.ones_like(prompt[:, :1])

    full = [_drawn(data, number, Everything()) for number in range(20)]
    filled = [bool((pair.seen[-2][pair.known > 0] == 1).all()) for pair in full]
    assert 6 <= sum(filled) <= 18  # the share that comes from the segmenter, see PREDICTED_SHARE


def test_the_same_numbers_give_the_same_pair(data: PackedData) -> None:
    one, two, other = _drawn(data, 3), _drawn(data, 3), _drawn(data, 4)
    assert torch.equal(one.seen, two.seen)
    assert torch.equal(one.heat, two.heat)
    assert not torch.equal(one.seen, other.seen)
