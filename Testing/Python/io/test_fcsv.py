"""Slicer's older point lists: frames, labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from CTSAM3DLib.errors import ClicksFileError
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.prompts import Click

VERSION = "# Markups fiducial file version = 4.11\n"
COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"


def row(label: str, place: str = "1,2,3", description: str = "", more: str = "") -> str:
    return f"vtkMRMLMarkupsFiducialNode_0,{place},0,0,0,1,1,1,0,{label},{description},{more}\n"


def system(name: str) -> str:
    return f"# CoordinateSystem = {name}\n"


@pytest.mark.parametrize(
    ("header", "position"),
    [
        (system("LPS"), (-1, -2, 3)),
        (system("1"), (-1, -2, 3)),
        (system("RAS"), (1, 2, 3)),
        (system("0"), (1, 2, 3)),
        ("", (-1, -2, 3)),
    ],
)
def test_the_frame_is_the_one_that_the_header_names(
    tmp_path: Path, header: str, position: tuple[float, float, float]
) -> None:
    path = tmp_path / "F.fcsv"
    path.write_text(VERSION + header + COLUMNS + row("liver-1") + "\n")
    assert list(read_clicks(path)["liver"]) == [Click(position)]


def test_labels_descriptions_and_points_that_were_not_placed(tmp_path: Path) -> None:
    path = tmp_path / "tumour.fcsv"
    text = VERSION + system("RAS") + COLUMNS
    text += row("F-1") + row("liver negative-2", "4,5,6") + row("liver-3", "7,8,9", "positive")
    text += row('"Müller, ""left"""', "1,1,1") + row("F-5", "9,9,9", more=",0,0")
    path.write_text(text.replace("\n", "\r\n"), encoding="utf-8")
    found = read_clicks(path)
    assert list(found["tumour"]) == [Click((1, 2, 3))]
    assert list(found["liver"]) == [Click((4, 5, 6), False), Click((7, 8, 9))]
    assert list(found['Müller, "left"']) == [Click((1, 1, 1))]


def test_lists_of_slicer_3_are_in_ras(tmp_path: Path) -> None:
    path = tmp_path / "L.fcsv"
    path.write_text("# Fiducial List file\n# columns = label,x,y,z,sel,vis\nliver,1,2,3,1,1\n")
    assert list(read_clicks(path)["liver"]) == [Click((1, 2, 3))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# CoordinateSystem = LPS\n", "expected .* at the top of a point list .* Save the point"),
        (VERSION + system("IJK") + row("liver"), "expected coordinates in LPS or RAS, got 'IJK'"),
        (VERSION + system("LPS") + "1,2,3\n", "line 3: expected a position of 3 numbers"),
        (VERSION + system("LPS") + row("liver", "1,x,3"), "line 3: expected a position"),
        (VERSION + system("LPS") + row("liver", "1,nan,3"), "point 1: .* 3 finite numbers"),
        (VERSION + system("LPS"), "expected clicks, got none"),
    ],
)
def test_what_is_no_point_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "F.fcsv"
    path.write_text(text)
    with pytest.raises(ClicksFileError, match=rf"F\.fcsv: .*{message}"):
        read_clicks(path)


def test_the_point_list_that_was_refused_without_a_hint(cases: Path) -> None:
    (click,) = read_clicks(cases / "hint-missing" / "F.fcsv")["liver"]
    assert click.position_ras == pytest.approx((95.043671, 167.319, 148.301758))


def test_json_in_utf_16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    text = '{"coordinate_system": "RAS", "structures": {"Milz ü": {"positive": [[1, 2, 3]]}}}'
    path.write_text(text, encoding="utf-16")
    assert list(read_clicks(path)["Milz ü"]) == [Click((1, 2, 3))]


def test_a_decimal_comma_is_no_other_position(tmp_path: Path) -> None:
    path = tmp_path / "F.fcsv"
    path.write_text(VERSION + system("RAS") + COLUMNS + row("F-1", '"1,5","2,5","3,5"'))
    with pytest.raises(ClicksFileError, match="expected a position of 3 numbers"):
        read_clicks(path)
    path.write_text(VERSION + system("RAS") + COLUMNS + row("F-1", "1,5,2,5,3,5"))
    with pytest.raises(ClicksFileError, match=r"line 4: expected at most 16 values, got 17; write"):
        read_clicks(path)


@pytest.mark.parametrize("columns", ["id,z,y,x", "id,x,y,z,label"])
def test_columns_that_slicer_would_take_for_others_are_refused(
    tmp_path: Path, columns: str
) -> None:
    head = "# Markups fiducial file version = 5.2\n# CoordinateSystem = LPS\n"
    path = tmp_path / "liver.fcsv"
    path.write_text(f"{head}# columns = {columns}\n1,10,20,30,liver\n")
    with pytest.raises(ClicksFileError, match="expected the columns id, x, y, z"):
        read_clicks(path)
    path.write_text(f"{head}# columns = id,x,y,z\n1,10,20,30\n")
    assert read_clicks(path)["liver"].clicks[0].position_ras == (-10.0, -20.0, 30.0)
