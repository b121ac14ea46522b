"""Cases to learn from: found in folders and tables, read, and divided by patient."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from learning_case import geometry, scan, write_case, write_image

from CTSAM3DLib.errors import GeometryError, LearningError, SegmentationFileError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.training.learning_cases import (
    LearningCase,
    divide,
    find_learning_cases,
    one_patient_where_equal,
    read_learning_case,
)


def _write_labels(folder: Path, names: object = None, place: Geometry | None = None) -> Path:
    hu, masks = scan(0)
    write_image(folder / "ct.nii.gz", hu)
    labels = masks["spleen"] + 2 * masks["cyst"].astype(np.uint8)
    write_image(folder / "labels.nii.gz", labels.astype(np.uint8), place)
    if names is not None:
        (folder / "labels.json").write_text(json.dumps(names))
    return folder


def test_a_folder_of_case_folders_with_both_kinds_of_segmentation(tmp_path):
    write_case(tmp_path / "a", 0)
    _write_labels(tmp_path / "b", {"0": "nothing", "1": "spleen", "2": "cyst"})
    found = find_learning_cases(tmp_path)
    assert [case.name for case in found] == ["a", "b"]
    first, second = (read_learning_case(case) for case in found)
    assert set(first.masks) == set(second.masks) == {"spleen", "cyst"}
    for name, mask in scan(0)[1].items():
        assert np.array_equal(first.masks[name], mask)
        assert np.array_equal(second.masks[name], mask)


def test_one_case_folder_and_files_side_by_side(tmp_path):
    folder = write_case(tmp_path / "a", 0)
    assert [case.name for case in find_learning_cases(folder)] == ["a"]
    for name in ("p1", "p2"):
        for kind in ("ct.nrrd", "organs.seg.nrrd"):
            target = tmp_path / "flat" / kind.replace("ct", name).replace("organs", name)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((folder / kind).read_bytes())
    assert [case.name for case in find_learning_cases(tmp_path / "flat")] == ["p1", "p2"]
    (tmp_path / "flat" / "p2.nrrd").unlink()
    with pytest.raises(LearningError, match="expected its CT beside it"):
        find_learning_cases(tmp_path / "flat")


@pytest.mark.parametrize("separator", [",", ";", "\t"])  # as spreadsheets write it
def test_a_table_names_patients(tmp_path, separator):
    for number in range(3):
        write_case(tmp_path / f"c{number}", number)
    table = tmp_path / "cases.csv"
    rows = [f"c{n}/ct.nrrd,c{n}/organs.seg.nrrd,{p}" for n, p in enumerate(("x", "x", "y"))]
    text = "\n".join(["ct,segmentation,patient", *rows]) + "\n"
    first = f"sep={separator}\n" * (separator == ";")
    table.write_text(first + text.replace(",", separator), encoding="utf-8-sig")
    cases = [read_learning_case(paths) for paths in find_learning_cases(table)]
    division = divide(cases)
    learnt, held = ({c.patient for c in side} for side in (division.learnt, division.held_out))
    assert division.kind == "patients"
    assert learnt | held == {"x", "y"}
    assert not learnt & held
    # They are told apart also where files are called alike.
    assert [case.name for case in cases] == ["organs (1)", "organs (2)", "organs (3)"]


@pytest.mark.parametrize(
    ("line", "message"),
    [("ct.nrrd,", "line 2: expected values"), ("ct.nrrd,none.seg.nrrd", "line 2: there is no")],
)
def test_a_table_with_a_gap_names_the_line(tmp_path, line, message):
    write_case(tmp_path, 0)
    table = tmp_path / "cases.csv"
    table.write_text(f"ct,segmentation\n{line}\n")
    with pytest.raises(LearningError, match=message):
        find_learning_cases(table)


def test_no_cases(tmp_path):
    with pytest.raises(LearningError, match="found no case"):
        find_learning_cases(tmp_path)
    with pytest.raises(LearningError, match="found nothing there"):
        find_learning_cases(tmp_path / "missing")


def test_two_segmentations_of_one_ct_are_not_guessed_between(tmp_path):
    write_case(tmp_path, 0)
    (tmp_path / "old.seg.nrrd").write_bytes((tmp_path / "organs.seg.nrrd").read_bytes())
    with pytest.raises(LearningError, match=r"expected one .seg.nrrd"):
        find_learning_cases(tmp_path)


@pytest.mark.parametrize("names", [None, ["spleen"], {"one": "spleen"}, {"1": "a", "2": "a"}])
def test_a_label_map_without_usable_names(tmp_path, names):
    _write_labels(tmp_path, names)
    with pytest.raises(LearningError, match=r"expected (the )?names"):
        read_learning_case(find_learning_cases(tmp_path)[0])


def test_a_segmentation_on_another_grid(tmp_path):
    moved = geometry().ijk_to_ras.copy()
    moved[0, 3] += 1.0
    _write_labels(tmp_path, {"1": "spleen"}, Geometry(moved, geometry().shape_kji))
    with pytest.raises(GeometryError, match="expected the voxels of"):
        read_learning_case(find_learning_cases(tmp_path)[0])


def test_a_damaged_segmentation(tmp_path):
    write_case(tmp_path, 0)
    path = tmp_path / "organs.seg.nrrd"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SegmentationFileError):
        read_learning_case(find_learning_cases(tmp_path)[0])


def test_structures_of_a_few_voxels_are_left_out(tmp_path):
    hu, _ = scan(0)
    write_image(tmp_path / "ct.nrrd", hu)
    labels = np.zeros(hu.shape, np.uint8)
    labels[5, 5, 5] = 1
    write_image(tmp_path / "labels.nrrd", labels)
    (tmp_path / "labels.json").write_text('{"1": "dot"}')
    with pytest.raises(LearningError, match="at least 60 voxels"):
        read_learning_case(find_learning_cases(tmp_path)[0])


def test_the_same_ct_twice_is_one_patient(tmp_path):
    write_case(tmp_path / "a", 0)
    write_case(tmp_path / "b", 0)
    cases = [read_learning_case(paths) for paths in find_learning_cases(tmp_path)]
    assert {case.patient for case in cases} == {"a", "b"}
    assert {case.patient for case in one_patient_where_equal(cases)} == {"a"}


def test_files_that_macos_puts_beside_others_are_no_cases(tmp_path):
    write_case(tmp_path / "a", 0)
    (tmp_path / "a" / "._organs.seg.nrrd").write_bytes(b"\0")
    (tmp_path / "._b.seg.nrrd").write_bytes(b"\0")
    assert [case.segmentation.name for case in find_learning_cases(tmp_path)] == ["organs.seg.nrrd"]


def _case(patient: str, *names: str) -> LearningCase:
    hu, masks = scan(0)
    return LearningCase(
        patient, patient, Volume(hu, geometry()), dict.fromkeys(names, masks["cyst"])
    )


def test_what_is_held_out_is_learnt_from_others():
    for seed in range(8):
        cases = [_case("a", "liver"), _case("b", "liver", "spleen"), _case("c", "cyst")]
        division = divide(cases, seed)
        assert division.kind == "patients"
        assert division.held_out[0].patient != "c"


def test_nothing_is_held_out_where_no_two_patients_have_a_structure():
    division = divide([_case("a", "liver"), _case("b", "spleen", "cyst")])
    assert division.kind == "nothing"
    assert len(division.learnt) == len(division.held_out) == 2


def test_of_one_case_structures_are_held_out_or_nothing(tmp_path):
    write_case(tmp_path, 0)
    case = read_learning_case(find_learning_cases(tmp_path)[0])
    division = divide([case])
    assert division.kind == "structures"
    assert len(division.learnt[0].masks) == len(division.held_out[0].masks) == 1
    assert not set(division.learnt[0].masks) & set(division.held_out[0].masks)
    assert divide([case.only(["spleen"])]).kind == "nothing"
    with pytest.raises(LearningError, match="at least one case"):
        divide([])
