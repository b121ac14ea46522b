"""The generated torso: repeatable, plausible, and its stored clicks fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.resources import resource_path

# HU of a portal venous scan, and cm3 that an adult may have in this field of view.
PLAUSIBLE = {
    "liver": ((90, 130), (800, 2000)),
    "spleen": ((90, 140), (80, 350)),
    "kidney_right": ((130, 210), (100, 250)),
    "kidney_left": ((130, 210), (100, 250)),
    "heart": ((80, 170), (300, 900)),
    "lung_right": ((-900, -700), (1000, 3000)),
    "lung_left": ((-900, -700), (900, 3000)),
    "aorta": ((120, 190), (80, 300)),
    "gallbladder": ((-10, 40), (10, 60)),
    "pancreas": ((40, 110), (20, 120)),
    "vertebrae_L1": ((200, 450), (30, 80)),
}


@pytest.fixture(scope="module")
def coarse_torso():
    return torso_phantom(spacing_mm=4.0)


@pytest.mark.slow
def test_grid_is_as_documented(torso):
    volume, truth = torso
    assert volume.geometry.size_ijk == (192, 144, 160)
    assert volume.array_kji.dtype == np.int16
    np.testing.assert_allclose(volume.geometry.spacing_mm, (2.0, 2.0, 2.0))
    np.testing.assert_allclose(volume.geometry.directions_ras, np.diag([-1, -1, 1]))
    middle = (np.array(volume.geometry.size_ijk) - 1) / 2
    np.testing.assert_allclose(volume.geometry.ras_from_ijk(middle), (0, 0, 0), atol=1e-9)
    assert {mask.shape for mask in truth.values()} == {volume.array_kji.shape}


@pytest.mark.parametrize("name", PLAUSIBLE)
def test_organ_has_plausible_hu_and_volume(coarse_torso, name):
    volume, truth = coarse_torso
    (hu_low, hu_high), (cm3_low, cm3_high) = PLAUSIBLE[name]
    assert hu_low < volume.array_kji[truth[name]].mean() < hu_high
    assert cm3_low < truth[name].sum() * 64e-3 < cm3_high


def test_sides_match_their_names_in_ras(coarse_torso):
    volume, truth = coarse_torso

    def middle_ras(name):
        return volume.geometry.ras_from_ijk(np.argwhere(truth[name]).mean(0)[::-1])

    for organ in ("liver", "gallbladder", "kidney_right", "lung_right"):
        assert middle_ras(organ)[0] > 15
    for organ in ("spleen", "stomach", "kidney_left", "lung_left", "heart"):
        assert middle_ras(organ)[0] < -15
    assert middle_ras("vertebrae_L1")[1] < middle_ras("aorta")[1] < middle_ras("liver")[1]
    assert middle_ras("liver")[2] < middle_ras("heart")[2]


@pytest.mark.parametrize("name", ["liver", "spleen", "heart", "aorta", "vertebrae_T12", "stomach"])
def test_organ_is_one_piece(coarse_torso, name):
    mask = coarse_torso[1][name]
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    assert np.bincount(labels.ravel())[1:].max() > 0.97 * mask.sum()


def test_masks_do_not_overlap(coarse_torso):
    assert sum(mask.astype(np.uint8) for mask in coarse_torso[1].values()).max() == 1


@pytest.mark.slow
def test_neighbours_differ_enough_to_be_seen(torso):
    """Fat lies round the kidney, as in a patient, and noise stays below the contrast."""
    volume, truth = torso
    hu = volume.array_kji
    rim = ndimage.binary_dilation(truth["kidney_left"], iterations=3) & ~truth["kidney_left"]
    assert hu[truth["kidney_left"]].mean() - np.median(hu[rim]) > 80
    flat = hu[ndimage.binary_erosion(truth["gallbladder"], iterations=3)]
    assert 5 < flat.std() < 25


def test_seed_decides_every_voxel(coarse_torso):
    volume, truth = coarse_torso
    again, again_truth = torso_phantom(spacing_mm=4.0)
    other, _ = torso_phantom(spacing_mm=4.0, seed=1)
    np.testing.assert_array_equal(volume.array_kji, again.array_kji)
    assert all(np.array_equal(truth[name], again_truth[name]) for name in truth)
    assert not np.array_equal(volume.array_kji, other.array_kji)


@pytest.mark.slow
def test_coarser_grid_holds_the_same_patient(torso, coarse_torso):
    fine, coarse = torso[1]["liver"], coarse_torso[1]["liver"]
    assert coarse.sum() * 64 == pytest.approx(fine.sum() * 8, rel=0.05)


@pytest.mark.slow
def test_stored_clicks_lie_where_they_should(torso):
    volume, truth = torso
    stored = json.loads(resource_path("SampleData/torso_phantom_clicks.json").read_text())
    assert stored["coordinate_system"] == "RAS"
    assert len(stored["structures"]) >= 8
    for name, clicks in stored["structures"].items():
        for sign in ("positive", "negative"):
            for position in clicks.get(sign, []):
                i, j, k = volume.geometry.voxel_from_ras(position)
                assert truth[name][k, j, i] == (sign == "positive"), (name, position)


@pytest.mark.parametrize("spacing", [0.1, 20.0, float("nan")])
def test_unreasonable_spacing_is_refused(spacing):
    with pytest.raises(GeometryError, match=r"0\.5 to 10 mm, got"):
        torso_phantom(spacing_mm=spacing)
