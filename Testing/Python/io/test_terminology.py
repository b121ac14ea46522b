"""Anatomies: names, colours and codes, in the library and in the file that Slicer loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.io.terminology import anatomies, colour, find, terminology_entry
from CTSAM3DLib.resources import TERM_FILE, resource_path


def test_the_entry_of_the_liver_is_the_one_slicer_writes() -> None:
    assert terminology_entry("liver") == (
        "Segmentation category and type - CTSAM3D~SCT^123037004^Anatomical Structure"
        "~SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^"
    )


def test_a_side_is_the_type_modifier_and_a_region_has_its_own_parts() -> None:
    assert terminology_entry("kidney_left").split("~")[3] == "SCT^7771000^Left"
    cyst = terminology_entry("kidney_cyst_right").split("~")
    assert cyst[5:] == ["SCT^64033007^Kidney", "SCT^24028007^Right"]


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("Liver", "liver"),
        ("left kidney", "kidney_left"),
        ("Kidney-Left", "kidney_left"),
        ("vertebra L1", "vertebrae_L1"),
        ("L1 vertebra", "vertebrae_L1"),
        ("vertebrae_t12", "vertebrae_T12"),
        ("right rib 4", "rib_right_4"),
    ],
)
def test_people_may_write_a_name_their_own_way(given_name: str, name: str) -> None:
    anatomy = find(given_name)
    assert anatomy is not None
    assert anatomy.name == name


def test_all_names_of_both_totalsegmentator_versions_are_there() -> None:
    names = anatomies()
    assert len(names) >= 124
    for name in ("liver", "rib_left_12", "lung_middle_lobe_right", "face", "atrial_appendage_left"):
        assert name in names


def test_every_name_finds_itself_and_has_seven_parts_and_a_colour() -> None:
    for name, anatomy in anatomies().items():
        assert find(name.upper().replace("_", " ")) is anatomy
        parts = anatomy.terminology_entry.split("~")
        assert len(parts) == 7
        assert all(part.count("^") == 2 for part in parts[1:4] + parts[5:])
        assert "|" not in anatomy.terminology_entry
        assert all(0 <= value <= 255 for value in anatomy.rgb)


def test_an_unknown_name_is_tissue_with_a_fixed_colour() -> None:
    assert find("my lesion") is None
    assert terminology_entry("my lesion").split("~")[1:3] == ["SCT^85756007^Tissue"] * 2
    assert colour("my lesion") == colour("my lesion")
    assert len({colour(f"lesion {number}") for number in range(30)}) > 4


def _codes(entry: dict[str, object]) -> tuple[object, object, object]:
    return entry["CodingSchemeDesignator"], entry["CodeValue"], entry["CodeMeaning"]


def test_the_file_for_slicer_names_every_anatomy_with_the_same_codes_and_colours() -> None:
    content = json.loads(resource_path(TERM_FILE).read_text(encoding="utf-8"))
    offered = {}
    for category in content["SegmentationCodes"]["Category"]:
        for kind in category["Type"]:
            for modifier in kind.get("Modifier", [None]):
                codes = _codes(category), _codes(kind), modifier and _codes(modifier)
                offered[codes] = (modifier or kind)["recommendedDisplayRGBValue"]
    for anatomy in anatomies().values():
        assert anatomy.context == content["SegmentationCategoryTypeContextName"]
        codes = anatomy.category, anatomy.type, anatomy.type_modifier
        assert offered[codes] == list(anatomy.rgb), anatomy.name
    assert len(offered) <= len(anatomies())


def test_resources_are_found_in_a_checkout_and_when_installed_in_one_folder(tmp_path: Path) -> None:
    package = tmp_path / "qt-scripted-modules" / "CTSAM3DLib"
    file = package.parent / "Resources" / "Models" / "models.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert resource_path("Models/models.json", package) == file
    inside = package / "Resources" / "Other" / "x.txt"
    inside.parent.mkdir(parents=True)
    inside.write_text("")
    assert resource_path("Other/x.txt", package) == inside


def test_a_missing_resource_names_the_places_that_were_tried(tmp_path: Path) -> None:
    with pytest.raises(CTSAM3DError, match=r"'no/such\.file' is missing; looked at .*Resources"):
        resource_path("no/such.file", tmp_path / "CTSAM3DLib")
