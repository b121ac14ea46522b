"""What was measured for a model after its training."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.terminology import anatomies
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.models.tuning import TUNING_FILE, is_followed, tuned, voxel_size_mm
from CTSAM3DLib.resources import resource_path

MINE = ModelSettings("mine", 64, (1.5, 4.0), 2.5, ((-125.0, 225.0),))


@pytest.fixture(scope="module")
def bundled() -> ModelSettings:
    return replace(resolve_model(None).settings, model_id="ctsam3d-lite", version=1)


def test_the_table_names_anatomies_once_and_what_the_model_was_trained_for(bundled) -> None:
    rows = json.loads(resource_path(TUNING_FILE).read_text(encoding="utf-8"))["models"]
    for row in rows:
        names = [name for names in row["voxel_sizes_mm"].values() for name in names]
        assert len(names) == len(set(names))
        assert set(names) <= set(anatomies())
        assert set(row["not_followed"]) <= set(anatomies())
    assert tuned(bundled).voxel_sizes_mm
    assert tuned(bundled).intensity_weight > 0
    assert tuned(bundled).opposite_weight > 0


def test_a_name_is_found_as_people_write_it(bundled) -> None:
    size = voxel_size_mm(bundled, "hip_left")
    assert size != bundled.default_spacing_mm
    assert voxel_size_mm(bundled, "Left hip") == voxel_size_mm(bundled, "Hip-Left") == size


@pytest.mark.parametrize("name", ["", "liver", "my lesion"])
def test_all_others_are_seen_with_the_voxels_of_the_model(bundled, name) -> None:
    assert voxel_size_mm(bundled, name) == bundled.default_spacing_mm


def test_the_table_is_for_one_model_alone(bundled) -> None:
    for other in (replace(bundled, version=1000), MINE):
        assert tuned(other) == other
        assert voxel_size_mm(other, "hip_left") == other.default_spacing_mm


def test_what_a_model_says_itself_goes_before_the_table(bundled) -> None:
    weights = {"intensity_weight": 0.25, "opposite_weight": 0.5}
    own = replace(bundled, voxel_sizes_mm={"spleen": 3.5}, not_followed=("colon",), **weights)
    own = tuned(own)
    assert voxel_size_mm(own, "Spleen") == 3.5
    assert voxel_size_mm(own, "hip_left") == bundled.default_spacing_mm
    assert (own.intensity_weight, own.opposite_weight) == (0.25, 0.5)
    assert not is_followed(own, "Colon")
    assert is_followed(own, "femur_left")


def test_a_table_that_does_not_fit_the_model_is_named(bundled) -> None:
    with pytest.raises(BundleError, match=r"tuning\.json: expected voxel sizes from 2\.0"):
        tuned(replace(bundled, spacing_range_mm=(2.0, 4.0)))


def test_a_model_that_comes_from_another_sees_as_that_does(bundled) -> None:
    child = replace(tuned(bundled), model_id="mine")
    stored = json.loads(json.dumps(child.to_dict()))
    assert tuned(ModelSettings.from_dict(stored)) == child


def test_tuning_is_kept_in_json() -> None:
    weights = {"intensity_weight": 1.5, "opposite_weight": 1.0}
    own = replace(MINE, voxel_sizes_mm={"spleen": 3.5}, not_followed=("colon",), **weights)
    stored = json.loads(json.dumps(own.to_dict()))
    assert ModelSettings.from_dict(stored) == own
    for name in ("voxel_sizes_mm", "not_followed", *weights):  # a bundle of before
        del stored[name]
    assert ModelSettings.from_dict(stored) == MINE


@pytest.mark.parametrize("name", ["intensity_weight", "opposite_weight"])
@pytest.mark.parametrize("weight", [-0.5, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(name, weight) -> None:
    with pytest.raises(BundleError, match=f"expected {name} to be 0 or more"):
        replace(MINE, **{name: weight})


@pytest.mark.parametrize("size", [1.0, 4.5, float("nan"), -2.0])
def test_a_size_beyond_the_range_is_refused(size) -> None:
    with pytest.raises(BundleError, match=r"voxel sizes from 1.5 to 4.0 mm, got \{'spleen'"):
        replace(MINE, voxel_sizes_mm={"spleen": size})


@pytest.mark.parametrize("wrong", [["spleen"], {"spleen": "large"}, 3.5, {"spleen": None}])
def test_something_else_in_place_of_sizes_is_refused(wrong) -> None:
    with pytest.raises(BundleError, match="wrong type"):
        ModelSettings.from_dict({**MINE.to_dict(), "voxel_sizes_mm": wrong})


@pytest.mark.parametrize("wrong", ["femur_left", 3.5, None])
def test_something_else_in_place_of_a_list_of_names_is_refused(wrong) -> None:
    with pytest.raises(BundleError, match="wrong type"):
        ModelSettings.from_dict({**MINE.to_dict(), "not_followed": wrong})
