"""The library imports with numpy and scipy alone; the import contracts report what breaks them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WITH_TORCH = {"network", "training", "evaluation"}
WITH_SLICER = {"slicer_adapter"}
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


@pytest.fixture(scope="module")
def modules(repository: Path) -> set[str]:
    """Names of the modules and packages directly in CTSAM3DLib."""
    children = (repository / "CTSAM3DLib").iterdir()
    names = {
        path.stem for path in children if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    return names - {"__init__"}


def test_library_imports_with_numpy_and_scipy_alone(repository: Path, modules: set[str]) -> None:
    names = [
        "CTSAM3DLib",
        *(
            f"CTSAM3DLib.{name}"
            for name in sorted(modules - WITH_TORCH - WITH_SLICER - {"__main__"})
        ),
    ]
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
    "terminology.py": ("import vtk", "Slicer, VTK and Qt only in slicer_adapter"),
    "metrics.py": ("import torch", "PyTorch only in network, training and evaluation"),
    "session.py": (
        "from CTSAM3DLib.network import blocks",
        "What Slicer loads at start reaches no PyTorch",
    ),
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
