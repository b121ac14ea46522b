"""The project stays a house with few rooms on few floors."""

from __future__ import annotations

from pathlib import Path

import house
import pytest


@pytest.mark.slow  # each file of the project is parsed
def test_at_most_26_rooms_on_12_floors_without_a_circle(repository: Path) -> None:
    rooms = house.files_of(repository)
    assert {"geometry", "session", "CTSAM3D", "Testing", "tools"} <= set(rooms)
    assert len(rooms) <= 26
    floors = house.floors_of(house.imports_of(rooms))
    assert max(floors.values()) <= 12


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A tree with a room on each of four floors."""
    for name in ("one", "two"):
        (tmp_path / "CTSAM3DLib" / name).mkdir(parents=True)
        (tmp_path / "CTSAM3DLib" / name / "__init__.py").touch()
    inner = tmp_path / "CTSAM3DLib" / "two" / "inner.py"
    inner.write_text("def f():\n    from CTSAM3DLib.one import x\n", encoding="utf-8")
    (tmp_path / "Testing").mkdir()
    (tmp_path / "Testing" / "test_it.py").write_text("import CTSAM3DModuleLib.x\n")
    (tmp_path / "CTSAM3D").mkdir()
    (tmp_path / "CTSAM3D" / "module.py").write_text("from CTSAM3DLib import two\n")
    return tmp_path


def test_imports_in_functions_and_of_packages_inside_the_module_count(small_house: Path) -> None:
    imports = house.imports_of(house.files_of(small_house))
    assert imports["two"] == {"one"}
    floors = house.floors_of(imports)
    assert floors == {"one": 1, "two": 2, "CTSAM3D": 3, "Testing": 4, "tools": 1}


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match=r"got one among a, b$"):
        house.floors_of({"a": {"b"}, "b": {"a"}, "c": set()})


def test_the_command_prints_rooms_floors_and_lines(
    small_house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert house.main(small_house) == 0
    assert capsys.readouterr().out.splitlines() == [
        "floor  4: Testing (1)",
        "floor  3: CTSAM3D (1)",
        "floor  2: two (2)",
        "floor  1: one (0), tools (0)",
        "5 rooms on 4 floors, no circle",
        "lines: product 3, tests 1, tools 0",
    ]
