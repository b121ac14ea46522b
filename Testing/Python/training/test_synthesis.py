"""CT made from label maps with the HU of their anatomies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CTSAM3DLib.training.synthesis import (
    AIRWAY,
    BONE,
    FLUID,
    HOLLOW,
    LUNG,
    SOFT,
    TissueTable,
    synthesise_typical,
    tissue_table,
)

NAMES = {
    "1": "liver",
    "2": "vertebrae_L1",
    "3": "lung_upper_lobe_left",
    "4": "colon",
    "5": "trachea",
    "6": "kidney_left",
    "7": "urinary_bladder",
}


def blocks():
    """Seven blocks of 12³ voxels in a row, unlabelled voxels between and far around them."""
    labels = torch.zeros(40, 40, 130)
    for value in range(1, 8):
        labels[4:16, 4:16, 16 * value : 16 * value + 12] = value
    return labels


def made(seed):
    """The second sample of a batch."""
    labels = torch.stack([torch.zeros(blocks().shape), blocks()])
    table = TissueTable.of([tissue_table({}), tissue_table(NAMES)], torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    return synthesise_typical(labels, table, torch.tensor([1.0, 2.0]), generator)[1]


def inner(hu, value):
    return hu[7:13, 7:13, 16 * value + 3 : 16 * value + 9]


def test_every_anatomy_finds_its_structure():
    structure = tissue_table(NAMES).structure
    assert structure[1:8].tolist() == [SOFT, BONE, LUNG, HOLLOW, AIRWAY, SOFT, FLUID]
    assert set(structure[8:].tolist()) == {SOFT}


@pytest.mark.parametrize("name", ["vena_cava", "inferior_vena_cava", "iliac_vena_left"])
def test_veins_are_no_arteries(name):
    vein, artery = tissue_table({"1": name, "2": "iliac_artery_left"}).hu[:, 1:3].T
    assert vein[1] < 0.5 * artery[1]


@pytest.mark.parametrize("seed", range(6))
def test_tissues_have_their_range_in_every_phase(seed):
    hu = made(seed)
    assert 20.0 < inner(hu, 1).mean() < 170.0
    assert inner(hu, 3).mean() < -500.0
    assert inner(hu, 5).mean() < -900.0
    assert -30.0 < inner(hu, 7).mean() < 50.0
    bone = hu[4:16, 4:16, 32:44]
    assert inner(hu, 2).mean() > 40.0
    assert bone.max() > inner(hu, 2).mean() + 50.0  # the cortex


@pytest.mark.slow
def test_contrast_lifts_the_kidney_more_than_the_liver_and_never_the_bladder():
    pairs = np.array([[float(inner(made(s), v).mean()) for v in (6, 1, 7)] for s in range(16)])
    enhanced = pairs[:, 0] > 80.0
    assert 4 < enhanced.sum() < 15
    assert (pairs[enhanced, 0] > pairs[enhanced, 1]).mean() > 0.9
    assert abs(pairs[enhanced, 2].mean() - pairs[~enhanced, 2].mean()) < 12.0


def test_the_body_ends_in_air_and_organs_lie_in_fat():
    hu = made(3)
    assert hu[39, 39].mean() < -990.0
    between = hu[8:12, 8:12, 29:31]
    assert -140.0 < float(between.median()) < 80.0


def sheets(name, other):
    """Mean HU of each sheet across two blocks of twelve sheets that touch, in forty drawings."""
    labels = torch.zeros(1, 32, 24, 24)
    labels[:, 4:16], labels[:, 16:28] = 1, 2
    table = TissueTable.of([tissue_table({"1": name, "2": other})], torch.device("cpu"))
    drawn = [
        synthesise_typical(labels, table, torch.tensor([1.5]), torch.Generator().manual_seed(seed))
        for seed in range(40)
    ]
    return torch.stack([hu[0, 4:28, 6:18, 6:18].mean((1, 2)) for hu in drawn])


def test_a_fissure_parts_two_lobes_and_nothing_parts_one():
    two = sheets("lung_upper_lobe_left", "lung_lower_lobe_left")
    excess = two[:, 11:13].mean(1) - two[:, [8, 15]].mean(1)
    assert 40.0 < excess.mean() < 250.0
    assert excess.min() > -30.0  # in some it is not seen
    assert excess.max() > 120.0
    with_liver = sheets("lung_upper_lobe_left", "liver")
    assert abs(float((with_liver[:, 8] - with_liver[:, 5]).mean())) < 30.0


def test_a_cortex_is_thicker_in_some_places():
    hu = sheets("femur_left", "liver")
    first, second, deep = hu[:, 0], hu[:, 1], hu[:, 5]
    share = ((second - deep) / (first - deep))[first - deep > 150.0]
    assert share.max() > 0.9
    assert share.min() < 0.6


def test_the_seed_decides():
    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))
