"""Labelled cases: what is found, scored and refused."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_case import ball_volume

from CTSAM3DLib.errors import CTSAM3DError, GeometryError
from CTSAM3DLib.evaluation.cases import Structure, find_cases, is_human, load_case, structures_of


def test_cases_are_found_by_split_and_name(data_folder):
    assert [case.name for case in find_cases(data_folder, "all")] == ["a__two", "b__one"]
    (case,) = find_cases(data_folder / "ct", "validation")
    assert (case.name, case.family) == ("b__one", "torso, human labels")
    assert find_cases(data_folder, "all", "two")[0].label_kind == "machine"
    assert len(find_cases(data_folder, "all", limit=1)) == 1


def test_missing_cases_are_an_error(data_folder):
    with pytest.raises(CTSAM3DError, match=r"expected cases of split 'test'.*among 3 folders"):
        find_cases(data_folder, "test")


def test_label_maps_may_come_from_a_folder_of_their_own(data_folder, tmp_path):
    labelled = tmp_path / "annotations" / "b__one"
    labelled.mkdir(parents=True)
    source = data_folder / "ct" / "b__one"
    (labelled / "labels.nii.gz").write_bytes((source / "labels.nii.gz").read_bytes())
    (labelled / "labels.json").write_text('{"3": "spleen"}')
    (case,) = find_cases(data_folder, "all", annotations=labelled.parent)
    assert (case.name, case.family) == ("b__one", "torso, annotated labels")
    (spleen,) = structures_of(case, *load_case(case))
    assert spleen.anatomy == "spleen"
    with pytest.raises(CTSAM3DError, match=r"and .*annotations, found none among 3 folders"):
        find_cases(data_folder, "all", "two", annotations=labelled.parent)


def test_damaged_case_is_named(data_folder):
    (data_folder / "ct" / "a__two" / "meta.json").write_text('{"split": "train"}')
    with pytest.raises(CTSAM3DError, match=r"a__two is not a labelled case.*label_origin"):
        find_cases(data_folder, "all")


def test_only_labelled_and_large_structures_are_scored(data_folder):
    case = find_cases(data_folder, "validation")[0]
    volume, labels = load_case(case)
    (liver,) = structures_of(case, volume, labels)
    assert liver.anatomy == "liver"
    np.testing.assert_array_equal(liver.truth_kji, ball_volume()[1])
    assert liver.volume_cm3 == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.03)
    assert liver.extent_mm == (42.0, 42.0, 39.0)
    assert [s.anatomy for s in structures_of(case, volume, labels, 20)] == ["liver", "dot"]


def test_labels_on_other_voxels_are_refused(data_folder):
    sitk = pytest.importorskip("SimpleITK")
    path = data_folder / "ct" / "b__one" / "labels.nii.gz"
    image = sitk.ReadImage(str(path))
    image.SetOrigin((5.0, 0.0, 0.0))
    sitk.WriteImage(image, str(path))
    with pytest.raises(GeometryError, match="b__one: expected labels on the voxels of the CT"):
        load_case(find_cases(data_folder, "validation")[0])


@pytest.mark.parametrize(
    ("cm3", "extent", "expected"),
    [
        (4.9, 90.0, "small (< 5 cm3)"),
        (5.0, 90.0, "medium"),
        (500.0, 101.0, "larger than a patch"),
        (1.0, 101.0, "larger than a patch"),
    ],
)
def test_size_classes(cm3, extent, expected):
    structure = Structure("c", "f", "a", np.ones((1, 1, 1), bool), cm3, (10.0, extent, 10.0))
    assert structure.size_class(100.0) == expected


@pytest.mark.parametrize(
    ("origin", "human"),
    [
        ("human (clinical radiotherapy contours)", True),
        ("Human, two readers", True),
        ("dataset of humans (human-corrected model output)", False),
        ("model-made, checked by human (one reader)", False),
        ("rule-made", False),
        ("", False),
    ],
)
def test_labels_are_human_when_their_origin_begins_so(origin, human):
    assert is_human(origin) is human
