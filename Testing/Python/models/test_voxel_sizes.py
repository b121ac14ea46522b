"""Voxels of their own size for single anatomies."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.terminology import anatomies
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.models.voxel_sizes import (
    VOXEL_SIZES_FILE,
    own_voxel_sizes_mm,
    settings_of_child,
    voxel_size_mm,
)
from CTSAM3DLib.resources import resource_path

MINE = ModelSettings("mine", 64, (1.5, 4.0), 2.5, ((-125.0, 225.0),))


@pytest.fixture(scope="module")
def bundled() -> ModelSettings:
    return replace(resolve_model(None).settings, model_id="ctsam3d-lite", version=1)


def test_the_table_names_anatomies_once_and_sizes_that_the_model_was_trained_for(bundled) -> None:
    rows = json.loads(resource_path(VOXEL_SIZES_FILE).read_text(encoding="utf-8"))["models"]
    for row in rows:
        names = [name for names in row["mm"].values() for name in names]
        assert len(names) == len(set(names))
        assert set(names) <= set(anatomies())
    own = own_voxel_sizes_mm(bundled)
    assert own
    assert replace(bundled, voxel_sizes_mm=own).voxel_sizes_mm == own  # else it raises


def test_a_name_is_found_as_people_write_it(bundled) -> None:
    size = voxel_size_mm(bundled, "hip_left")
    assert size != bundled.default_spacing_mm
    assert voxel_size_mm(bundled, "Left hip") == voxel_size_mm(bundled, "Hip-Left") == size


@pytest.mark.parametrize("name", ["", "liver", "my lesion"])
def test_all_others_are_seen_with_the_voxels_of_the_model(bundled, name) -> None:
    assert voxel_size_mm(bundled, name) == bundled.default_spacing_mm


def test_the_table_is_for_one_model_alone(bundled) -> None:
    assert voxel_size_mm(replace(bundled, version=1000), "hip_left") == bundled.default_spacing_mm
    assert voxel_size_mm(MINE, "hip_left") == MINE.default_spacing_mm


def test_what_a_model_says_itself_goes_before_the_table(bundled) -> None:
    own = replace(bundled, voxel_sizes_mm={"spleen": 3.5})
    assert voxel_size_mm(own, "Spleen") == 3.5
    assert voxel_size_mm(own, "hip_left") == bundled.default_spacing_mm


def test_a_model_that_comes_from_another_sees_as_that_does(bundled) -> None:
    child = settings_of_child(bundled, "mine")
    assert child.model_id == "mine"
    assert own_voxel_sizes_mm(child) == own_voxel_sizes_mm(bundled)
    assert settings_of_child(child, "grandchild").voxel_sizes_mm == child.voxel_sizes_mm


def test_sizes_are_kept_in_json() -> None:
    own = replace(MINE, voxel_sizes_mm={"spleen": 3.5})
    stored = json.loads(json.dumps(own.to_dict()))
    assert ModelSettings.from_dict(stored) == own
    del stored["voxel_sizes_mm"]  # a bundle of before
    assert ModelSettings.from_dict(stored) == MINE


@pytest.mark.parametrize("size", [1.0, 4.5, float("nan"), -2.0])
def test_a_size_beyond_the_range_is_refused(size) -> None:
    with pytest.raises(BundleError, match=r"voxel sizes from 1.5 to 4.0 mm, got \{'spleen'"):
        replace(MINE, voxel_sizes_mm={"spleen": size})


@pytest.mark.parametrize("wrong", [["spleen"], {"spleen": "large"}, 3.5, {"spleen": None}])
def test_something_else_in_place_of_sizes_is_refused(wrong) -> None:
    with pytest.raises(BundleError, match="wrong type"):
        ModelSettings.from_dict({**MINE.to_dict(), "voxel_sizes_mm": wrong})
