"""Clicks files: what is read, in which frame and order, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from CTSAM3DLib.errors import ClicksFileError
from CTSAM3DLib.io.clicks import prompts_from_points, read_clicks, write_clicks
from CTSAM3DLib.prompts import Click, ClickHistory


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Return a function that saves content as JSON and gives the path."""

    def save(content: Any, name: str = "clicks.json") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


def ours(structures: Any, system: Any = "RAS") -> dict[str, Any]:
    return {"coordinate_system": system, "structures": structures}


def point_list(*points: dict[str, Any], **fields: Any) -> dict[str, Any]:
    markups = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": list(points)}
    return {"markups": [{**markups, **fields}]}


def test_positives_come_before_negatives_and_stay_in_order(saved: Any) -> None:
    points = {"negative": [[7, 8, 9]], "positive": [[1, 2, 3], [4, 5, 6.5]]}
    found = read_clicks(saved(ours({"liver": points, "spleen": {"positive": [[0, 0, 0]]}})))
    assert list(found) == ["liver", "spleen"]
    assert list(found["liver"]) == [
        Click((1, 2, 3)),
        Click((4, 5, 6.5)),
        Click((7, 8, 9), False),
    ]


def test_lps_files_flip_r_and_a(saved: Any) -> None:
    found = read_clicks(saved(ours({"liver": {"positive": [[1, 2, 3]]}}, "LPS")))
    assert found["liver"][0] == Click((-1, -2, 3))


def test_an_exact_order_can_be_kept(saved: Any) -> None:
    rows = [[1, 2, 3, 1], [4, 5, 6, 0], [7, 8, 9, 1]]
    found = read_clicks(saved(ours({"liver": {"clicks": rows}})))
    assert [click.positive for click in found["liver"]] == [True, False, True]


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    path.write_text(json.dumps(ours({"liver": {"positive": [[1, 2, 3]]}})), encoding="utf-8-sig")
    assert len(read_clicks(str(path))["liver"]) == 1


POSITIVE = {"positive": [[1, 2, 3]]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "ct,clicks",
            r"expected a clicks file \(.json, .*got text of another kind .*Give the file",
        ),
        ("label,r,a,s,defined\nliver,1,2,3,1\n", "got a table .*Save the point list .* .mrk.json"),
        ("", "expected a clicks file .*got an empty one"),
        ('{"a": 1,}', "expected JSON or a point list of Slicer, got text that is none .Expecting"),
        ("[1]", 'expected the keys "coordinate_system" and "structures".*got a list'),
        ("{}", r"got \[\]"),
        ({"structures": {}}, 'expected "coordinate_system": "RAS" or "LPS" next to .*got none'),
        ({**ours({"liver": POSITIVE}), "frame": 1}, "got .*'frame'"),
        (
            ours({"liver": POSITIVE}, "IJK"),
            "\"coordinate_system\" RAS or LPS, with positions in mm, got 'IJK'",
        ),
        (ours({"liver": POSITIVE}, ["RAS"]), '"coordinate_system" RAS or LPS'),
        (ours({}), "expected named structures"),
        (ours([]), "expected named structures, got a list"),
        (ours({" ": POSITIVE}), "a name for every structure"),
        (ours({"liver": {}}), "structure 'liver': expected \"positive\""),
        (ours({"liver": []}), "structure 'liver': expected an object, got a list"),
        (ours({"liver": {"pos": []}}), r"structure 'liver'.*got \['pos'\]"),
        (ours({"liver": {**POSITIVE, "clicks": []}}), "structure 'liver'.*\"clicks\" alone"),
        (ours({"liver": {"positive": []}}), "structure 'liver': expected clicks, got none"),
        (ours({"liver": {"positive": "abc"}}), "structure 'liver', \"positive\": expected a list"),
        (
            ours({"liver": {"positive": [[1, 2, 3], [1, 2]]}}),
            r"structure 'liver', positive click 2: expected 3 numbers, got \[1, 2\]",
        ),
        (ours({"liver": {"positive": [[1, 2, "3"]]}}), "positive click 1: .* 3 num"),
        (ours({"liver": {"positive": [[1, 2, True]]}}), "positive click 1: .* 3 num"),
        (ours({"liver": {"positive": [[1, 2, None]]}}), "positive click 1: .* 3 num"),
        (ours({"liver": {"positive": ["123"]}}), "positive click 1: expected 3 num"),
        (ours({"liver": {"positive": [7]}}), "positive click 1: expected 3 num"),
        (
            ours({"liver": {"positive": [[1, 2, 3]], "negative": [[1, float("nan"), 3]]}}),
            "structure 'liver', negative click 1: .*3 finite numbers",
        ),
        (ours({"liver": {"clicks": [[1, 2, 3, 2]]}}), "structure 'liver', click 1: expected 1 "),
        (ours({"liver": {"clicks": [[1, 2, 3]]}}), "structure 'liver', click 1: expected 4 num"),
        (
            ours({"liver": {"negative": [[1, 2, 3]]}}),
            "'liver': expected a positive click, got only",
        ),
        (
            '{"coordinate_system": "RAS", "structures": {"a": {}, "a": {}}}',
            "expected every name once, got 'a' twice",
        ),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_bad_files_are_refused_with_file_structure_and_click(
    saved: Any, content: Any, message: str
) -> None:
    with pytest.raises(ClicksFileError, match=f"(?s)clicks.json: .*{message}"):
        read_clicks(saved(content))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for name in ("none.json", "none.seg.nrrd"):
        with pytest.raises(ClicksFileError, match=r"readable clicks file, found nothing there$"):
            read_clicks(tmp_path / name)
    (tmp_path / "ct").mkdir()
    with pytest.raises(ClicksFileError, match=r"readable clicks file, found a folder there$"):
        read_clicks(tmp_path / "ct")
    (tmp_path / "seg.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(ClicksFileError, match=r"holds no clicks\. Give the \.seg\.nrrd of"):
        read_clicks(tmp_path / "seg.dcm")
    (tmp_path / "x.json").write_bytes(b"\xfc\x81")
    with pytest.raises(ClicksFileError, match=r"x\.json: .* not in UTF-8 .*save it as UTF-8"):
        read_clicks(tmp_path / "x.json")
    with pytest.raises(ClicksFileError, match="at least one clicks file"):
        read_clicks([])


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.mha"])
def test_an_image_is_told_to_be_no_clicks_file(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkInt16), str(tmp_path / name))
    with pytest.raises(ClicksFileError, match=r"expected a clicks file .* got a file that is no t"):
        read_clicks(tmp_path / name)


def test_an_image_in_nrrd_is_told_that_clicks_were_expected(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkInt16), str(tmp_path / "ct.nrrd"))
    with pytest.raises(ClicksFileError, match=r"expected a clicks file .*; as a segmentation: "):
        read_clicks(tmp_path / "ct.nrrd")


def test_a_written_file_has_the_documented_form_and_keeps_the_order(tmp_path: Path) -> None:
    clicks = {
        "liver": ClickHistory([Click((1, 2, 3)), Click((4, 5, 6), False)]),
        'odd "name"': ClickHistory([Click((1, 2, 3), False), Click((0.1, 0.2, 0.3))]),
    }
    path = tmp_path / "new" / "clicks.json"
    write_clicks(path, clicks)
    assert json.loads(path.read_text()) == {
        "coordinate_system": "RAS",
        "structures": {
            "liver": {"positive": [[1, 2, 3]], "negative": [[4, 5, 6]]},
            'odd "name"': {"clicks": [[1, 2, 3, 0], [0.1, 0.2, 0.3, 1]]},
        },
    }
    assert read_clicks(path) == clicks


def test_history_from_points_takes_numpy_like_rows() -> None:
    assert prompts_from_points({"positive": ((1, 2, 3),)}, "x") == ClickHistory([Click((1, 2, 3))])


@pytest.mark.parametrize("system", ["LPS", 1, None])
def test_point_lists_are_lps_unless_they_say_ras(saved: Any, system: Any) -> None:
    content = point_list({"label": "liver-1", "position": [1, 2, 3]}, coordinateSystem=system)
    if system is None:
        del content["markups"][0]["coordinateSystem"]
    assert read_clicks(saved(content))["liver"][0] == Click((-1, -2, 3))


@pytest.mark.parametrize("system", ["RAS", 0, "0"])
def test_point_lists_may_be_ras(saved: Any, system: Any) -> None:
    content = point_list({"label": "liver-1", "position": [1, 2, 3]}, coordinateSystem=system)
    assert read_clicks(saved(content))["liver"][0] == Click((1, 2, 3))


@pytest.mark.parametrize(
    ("label", "list_name", "file_name", "structure"),
    [
        ("liver-1", None, "F.mrk.json", "liver"),
        ("Left kidney", "F", "F.mrk.json", "kidney_left"),
        ("F-1", "liver", "x.mrk.json", "liver"),
        ("F-1", None, "liver.mrk.json", "liver"),
        ("spleen-2", "liver", "liver.mrk.json", "spleen"),
        ("lesion A-3", None, "F.mrk.json", "lesion A"),
        ("lesion A-3", "tumours", "F.mrk.json", "tumours"),
        ("F-1", None, "my lesion.mrk.json", "my lesion"),
        ("1", None, "my lesion.json", "my lesion"),
        ("rib_left_4-1", None, "F.mrk.json", "rib_left_4"),
    ],
)
def test_label_list_or_file_name_the_structure(
    saved: Any, label: str, list_name: str | None, file_name: str, structure: str
) -> None:
    fields = {"name": list_name} if list_name else {}
    content = point_list({"label": label, "position": [1, 2, 3]}, **fields)
    assert list(read_clicks(saved(content, file_name))) == [structure]


@pytest.mark.parametrize(
    ("ct_name", "file_name", "structure", "positive"),
    [
        ("case 1", "case 1 liver.mrk.json", "liver", True),
        ("case.1", "case.1_Left kidney.mrk.json", "kidney_left", True),
        ("case", "case-my lesion negative.json", "my lesion", False),
        ("case", "case10 lesion.mrk.json", "case10 lesion", True),
        ("case", "case.mrk.json", "case", True),
        ("kidney", "kidney_left.mrk.json", "kidney_left", True),
        ("", "case lesion.mrk.json", "case lesion", True),
    ],
)
def test_the_name_of_the_ct_names_no_structure(
    saved: Any, ct_name: str, file_name: str, structure: str, positive: bool
) -> None:
    points = [{"label": "F-1", "position": [1, 2, 3]}]
    if not positive:
        points.append({"label": "F-2", "position": [4, 5, 6], "description": "positive"})
    found = read_clicks(saved(point_list(*points), file_name), ct_name=ct_name)
    assert list(found) == [structure]
    assert found[structure][0].positive is positive


@pytest.mark.parametrize(
    ("label", "list_name", "description", "positive"),
    [
        ("liver-1", None, "", True),
        ("liver negative-1", None, "", False),
        ("liver_negative", None, "", False),
        ("liver Negative-12", None, "", False),
        ("liver-1", "liver-negative", "", False),
        ("liver-1", None, "Negative", False),
        ("liver negative-1", None, "positive", True),
        ("liver-1", None, "not a negative one", True),
    ],
)
def test_the_word_negative_marks_negative_points(
    saved: Any, label: str, list_name: str | None, description: str, positive: bool
) -> None:
    first = {"label": "liver-0", "position": [0, 0, 0], "description": "positive"}
    point = {"label": label, "position": [1, 2, 3], "description": description}
    fields = {"name": list_name} if list_name else {}
    found = read_clicks(saved(point_list(first, point, **fields)))
    assert [click.positive for click in found["liver"]] == [True, positive]


def test_files_are_joined_and_a_negative_file_counts_as_such(saved: Any) -> None:
    inside = saved(point_list({"label": "F-1", "position": [1, 2, 3]}), "liver.mrk.json")
    outside = saved(point_list({"label": "F-1", "position": [4, 5, 6]}), "liver_negative.mrk.json")
    found = read_clicks([inside, outside])
    assert list(found["liver"]) == [Click((-1, -2, 3)), Click((-4, -5, 6), False)]
    with pytest.raises(
        ClicksFileError, match=r"liver_negative.*'liver': expected a positive click, got only"
    ):
        read_clicks(outside)


def test_points_that_were_never_placed_are_left_out(saved: Any) -> None:
    found = read_clicks(
        saved(
            point_list(
                {"label": "liver-1", "position": [1, 2, 3], "positionStatus": "defined"},
                {"label": "liver-2", "position": "", "positionStatus": "undefined"},
                {"label": "liver-3", "position": [1, 2, 3], "positionStatus": "preview"},
            )
        )
    )
    assert len(found["liver"]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"markups": {}}, 'expected a list under "markups", got dict'),
        ({"markups": []}, "expected clicks, got none"),
        ({"markups": [7]}, "point list 1: expected an object, got int"),
        (point_list(type="Line"), "point list 1: expected the type Fiducial, Curve, .* got 'Line'"),
        (point_list(coordinateUnits="cm"), "point list 1: expected coordinates in mm, got 'cm'"),
        (point_list(controlPoints=3), "point list 1: expected a list of points, got int"),
        (point_list({"label": "liver"}), "point 1: expected 3 numbers as its position, got None"),
        (
            point_list({"label": "liver", "position": [1, 2, "x"]}),
            "point list 1, point 1: a click needs 3 numbers",
        ),
        (
            point_list({"label": "liver", "position": [1, 2, 3]}, coordinateSystem="IJK"),
            "point list 1: expected coordinates in LPS or RAS, got 'IJK'",
        ),
        (point_list("a"), "point list 1, point 1: expected an object, got str"),  # type: ignore[arg-type]
        (point_list({"label": "", "position": [1, 2, 3]}), "expected the structure as its label"),
    ],
)
def test_bad_point_lists_are_refused(saved: Any, content: Any, message: str) -> None:
    with pytest.raises(ClicksFileError, match=f"F.mrk.json: .*{message}"):
        read_clicks(saved(content, "F.mrk.json"))


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clicks.json"
    path.write_text(
        '{"coordinate_system": "RAS", "structures": {"a\\ud800": {"positive": [[1, 2, 3]]}}}'
    )
    with pytest.raises(ClicksFileError, match=r"'a\\ud800': expected a name in Unicode"):
        read_clicks(path)
