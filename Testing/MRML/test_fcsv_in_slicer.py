"""Point lists in the older format (.fcsv): read as Slicer reads them, and those that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from CTSAM3DLib.io.clicks import read_clicks

COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"


def storage(mrml: Any, path: Path) -> Any:
    node = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialStorageNode")
    node.SetFileName(str(path))
    return node


def positions_in_slicer(mrml: Any, path: Path) -> list[tuple[float, ...]]:
    node = mrml.points()
    assert storage(mrml, path).ReadData(node)
    return [
        tuple(node.GetNthControlPointPosition(n)) for n in range(node.GetNumberOfControlPoints())
    ]


@pytest.mark.parametrize("version", ["4.0", "4.6", "4.11", "5.2"])
@pytest.mark.parametrize("system", ["0", "1", "RAS", "LPS", None])
def test_positions_are_those_of_slicer(
    mrml: Any, silent_vtk: None, tmp_path: Path, version: str, system: str | None
) -> None:
    path = tmp_path / "F.fcsv"
    named = f"# CoordinateSystem = {system}\n" if system else ""
    text = f"# Markups fiducial file version = {version}\n{named}{COLUMNS}"
    path.write_text(text + "1,-95.5,20.25,30,0,0,0,1,1,1,0,liver-1,,\n")
    found = [click.position_ras for click in read_clicks(path)["liver"]]
    assert found == positions_in_slicer(mrml, path) != []


def test_what_slicer_writes_is_read(mrml: Any, silent_vtk: None, tmp_path: Path) -> None:
    node = mrml.points("liver")
    node.AddControlPoint([1, 2, 3], 'lé, "x"')
    node.AddControlPoint([4, 5, 6], "liver-2")
    node.SetNthControlPointDescription(1, "negative")
    node.AddControlPoint([7, 8, 9], "liver-3")
    node.UnsetNthControlPointPosition(2)
    path = tmp_path / "liver.fcsv"
    assert storage(mrml, path).WriteData(node)
    found = read_clicks(path)
    assert [(c.position_ras, c.positive) for c in found["liver"]] == [
        ((1.0, 2.0, 3.0), True),
        ((4.0, 5.0, 6.0), False),
    ]
