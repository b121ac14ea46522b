"""The library imports with numpy and scipy alone; the import contracts report what breaks them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

WITH_TORCH = {"network", "bundles", "training", "evaluation"}
WITH_SLICER = {"mrml"}
COMMAND_WITH_TORCH = "CTSAM3DLib.cli.export"
IMPORT_ALL = """
import importlib, sys

class Refuse:
    names = {"torch", "slicer", "vtk", "vtkmodules", "SimpleITK", "nrrd", "matplotlib", "tqdm"}
    names |= {"pydicom", "nibabel", "skimage", "PySide6"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"import of {name} is refused here", name=name)
        return None

sys.meta_path.insert(0, Refuse())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def modules_of(library: Path) -> list[str]:
    """Names of all modules of the library that need neither PyTorch nor Slicer."""
    paths = (path.relative_to(library.parent).with_suffix("") for path in library.rglob("*.py"))
    names = {
        ".".join(path.parts)
        for path in paths
        if path.parts[1] not in WITH_TORCH | WITH_SLICER | {"__main__"}
    }
    return sorted(names - {COMMAND_WITH_TORCH})


def test_library_imports_with_numpy_and_scipy_alone(repository: Path) -> None:
    names = modules_of(repository / "CTSAM3DLib")
    assert "CTSAM3DLib.session.step" in names
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr


PLANTED = {
    "io/terminology.py": ("import vtk", "Slicer, VTK and Qt only in mrml"),
    "geometry/overlap.py": ("import torch", "PyTorch only in network, bundles, training"),
    "session/rules.py": ("from CTSAM3DLib.session import coarse", "Inside a session"),
    "errors.py": ("from CTSAM3DLib import geometry", "Imports point one way"),
}


def test_contracts_report_planted_imports(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(
        repository / "CTSAM3DLib",
        tmp_path / "CTSAM3DLib",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(repository / "pyproject.toml", tmp_path)
    for name, (line, _) in PLANTED.items():
        path = tmp_path / "CTSAM3DLib" / name
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    broken = {line for line in done.stdout.splitlines() if " BROKEN" in line}
    assert done.returncode == 1
    assert len(broken) == len(PLANTED), done.stdout + done.stderr
    for _, contract in PLANTED.values():
        assert any(line.startswith(contract) for line in broken), f"not reported: {contract}"
