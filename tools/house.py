"""Print the rooms of the project, how they lie on floors, and how many lines they have.

A room is a file or package at the first level of CTSAM3DLib, and each of CTSAM3D, Testing, tools.
The ground floor imports no other room; a room stands one floor above the highest that it imports.
Imports inside functions count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LIBRARY = "CTSAM3DLib"
OTHERS = ("CTSAM3D", "Testing", "tools")
PRODUCT = (LIBRARY, "CTSAM3D")
# Packages that are imported by their own name, and the room that they lie in.
INSIDE = {"CTSAM3DModuleLib": "CTSAM3D", "SegmentEditorCTSAM3DLib": "CTSAM3D"}


def files_of(root: Path) -> dict[str, list[Path]]:
    """Return the Python files of each room."""
    inside = root / LIBRARY
    first = sorted(p for p in inside.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists())
    # The __init__ of the library only fetches names of other rooms on demand.
    rooms = {path.stem: _python(path) for path in first if path.name != "__init__.py"}
    return rooms | {name: _python(root / name) for name in OTHERS}


def _python(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _imported(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports, those of `from a import b` as a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports_of(rooms: dict[str, list[Path]]) -> dict[str, set[str]]:
    """Return which rooms each room imports."""
    found = {}
    for room, files in rooms.items():
        parts = [name.split(".") for file in files for name in _imported(file)]
        names = {INSIDE.get(p[0], p[0]) for p in parts if p[0] != LIBRARY}
        names |= {p[1] for p in parts if p[0] == LIBRARY and len(p) > 1}
        found[room] = (names & set(rooms)) - {room}
    return found


def floors_of(imports: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each room, counted from 1.

    Raises
    ------
    ValueError
        Rooms import each other in a circle.
    """
    floors: dict[str, int] = {}
    while len(floors) < len(imports):
        ready = [n for n, below in imports.items() if n not in floors and below <= set(floors)]
        if not ready:
            circle = sorted(set(imports) - set(floors))
            raise ValueError(f"expected no circle of imports, got one among {', '.join(circle)}")
        floors |= {n: 1 + max((floors[b] for b in imports[n]), default=0) for n in ready}
    return floors


def lines_of(paths: list[Path]) -> int:
    """Count the lines of files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def main(root: Path) -> int:
    """Print the house that lies in a folder."""
    rooms = files_of(root)
    floors = floors_of(imports_of(rooms))
    for floor in range(max(floors.values()), 0, -1):
        names = [f"{n} ({lines_of(rooms[n])})" for n in rooms if floors[n] == floor]
        print(f"floor {floor:2}: {', '.join(names)}")
    product = sum(lines_of(_python(root / name)) for name in PRODUCT)
    print(f"{len(rooms)} rooms on {max(floors.values())} floors, no circle")
    print(f"lines: product {product}, tests {lines_of(rooms['Testing'])}, ", end="")
    print(f"tools {lines_of(rooms['tools'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]))
