"""What git tracks of the extension is installed, in its place."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STUB = Path(__file__).resolve().parent / "slicer_stub"
MODULE_FILES = {"CTSAM3D.py", "SegmentEditorCTSAM3D.py"}
LOAD = """
import sys
from pathlib import Path
from Testing import HeadlessSlicer
missing = HeadlessSlicer.missing()
if missing:
    sys.exit(missing)
slicer = HeadlessSlicer.start()
HeadlessSlicer.load_modules(sorted(Path(sys.argv[1]).glob("*.py")))
import CTSAM3DLib, CTSAM3DModuleLib, SegmentEditorCTSAM3DLib
from CTSAM3DLib.resources import resource_path
(source,) = slicer.modules.sampleDataSources["CT-SAM3D"]
panel = slicer.modules.ctsam3d.widgetRepresentation()
for package in (CTSAM3DLib, CTSAM3DModuleLib, SegmentEditorCTSAM3DLib):
    print(Path(package.__file__).parent)
print(resource_path("Models/models.json"))
print(source.thumbnailFileName)
panel.self().cleanup()
"""
MODULES_FOLDER = Path("lib", "Slicer-5.12", "qt-scripted-modules")


FOLDERS = ("CTSAM3D", "CTSAM3DLib", "Resources")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> set[str]:
    """The files of the installed folders that git tracks; in a source archive, all of them."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--", *FOLDERS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    names = set(done.stdout.split("\0")) - {""}
    if not names:
        paths = [path for folder in FOLDERS for path in (repository / folder).rglob("*")]
        names = {path.relative_to(repository).as_posix() for path in paths}
    return {name for name in names if (repository / name).is_file() and "__pycache__" not in name}


def _listed(repository: Path, folder: str) -> list[str]:
    """The file names in the lists of a CMake file, relative to the repository."""
    text = (repository / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = re.findall(r"^set\(\w+_PYTHON_\w+\n([^)]*)\)", text, re.MULTILINE)
    return [(Path(folder) / name).as_posix() for names in lists for name in names.split()]


def test_module_lists_equal_the_files(repository: Path, tracked: set[str]) -> None:
    files = {name for name in tracked if name.startswith("CTSAM3D/")}
    listed = _listed(repository, "CTSAM3D")
    assert sorted(listed) == sorted(files - {"CTSAM3D/CMakeLists.txt"})


def test_resource_list_equals_the_files(repository: Path, tracked: set[str]) -> None:
    files = {name for name in tracked if name.startswith("Resources/")}
    assert sorted(_listed(repository, "")) == sorted(files | {"CTSAM3DLib/py.typed"})


def _slicer_tests(repository: Path) -> list[str]:
    folder = repository / "Testing" / "Slicer"
    space: dict[str, Any] = runpy.run_path(str(folder / "run_in_slicer.py"))
    return [f"{name}.py" for name in space["listed_tests"]()]


def test_tests_for_slicer_do_not_need_the_stand_in(repository: Path) -> None:
    names = _slicer_tests(repository)
    assert "test_console.py" in names
    folder = repository / "Testing" / "Slicer"
    needing = re.compile(r"^\s*(from|import) (Testing|pytest)\b", re.MULTILINE)
    assert [n for n in names if needing.search((folder / n).read_text(encoding="utf-8"))] == []


def test_only_modules_lie_in_the_module_folder(repository: Path) -> None:
    assert {path.name for path in (repository / "CTSAM3D").glob("*.py")} == MODULE_FILES


def test_no_python_file_at_the_root(repository: Path) -> None:
    assert list(repository.glob("*.py")) == []


def test_both_resource_folders_share_no_path(tracked: set[str]) -> None:
    # Both are installed into the same folder.
    module = {
        name.removeprefix("CTSAM3D/") for name in tracked if name.startswith("CTSAM3D/Resources/")
    }
    assert module.isdisjoint(name for name in tracked if name.startswith("Resources/"))


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, configured and installed by CMake with a stub of Slicer's build system."""
    if shutil.which("cmake") is None or not any(
        shutil.which(name) for name in ("cc", "gcc", "clang")
    ):
        pytest.skip("cmake and a C compiler are needed to configure the extension")
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    steps = (
        [
            "cmake",
            "-S",
            str(repository),
            "-B",
            str(build),
            f"-DSlicer_DIR={STUB}",
            "--no-warn-unused-cli",
        ],
        ["cmake", "--install", str(build), "--prefix", str(prefix)],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "DEPENDS=PyTorch\n" in (build / "metadata.txt").read_text(encoding="utf-8")
    tests = (build / "tests.txt").read_text(encoding="utf-8").splitlines()
    expected = [f"py_CTSAM3D_{name.removesuffix('.py')}" for name in _slicer_tests(repository)]
    assert sorted(tests) == sorted(["py_CTSAM3D", *expected])
    return prefix / MODULES_FOLDER


def test_installed_tree_is_the_tracked_one(installed: Path, tracked: set[str]) -> None:
    files = {
        path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()
    }
    expected = {name.removeprefix("CTSAM3D/") for name in tracked} - {"CMakeLists.txt"}
    assert files == expected


def test_slicer_sees_two_modules_in_the_installed_tree(installed: Path) -> None:
    # Every other .py file there would be loaded as a module, too.
    assert {path.name for path in installed.glob("*.py")} == MODULE_FILES


def test_installed_library_is_found_without_the_repository(installed: Path, tmp_path: Path) -> None:
    code = "import CTSAM3DLib, pathlib; print(pathlib.Path(CTSAM3DLib.__file__).parent)"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert Path(done.stdout.strip()) == installed / "CTSAM3DLib"


@pytest.mark.slow
def test_installed_modules_load_from_the_installed_tree(installed: Path, repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(installed)],
        cwd=repository,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "is missing" in done.stderr or "not installed" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert paths == [
        installed / "CTSAM3DLib",
        installed / "CTSAM3DModuleLib",
        installed / "SegmentEditorCTSAM3DLib",
        installed / "Resources" / "Models" / "models.json",
        installed / "Resources" / "Icons" / "CTSAM3DTorso.png",
    ]
