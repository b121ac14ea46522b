"""What belongs into the installed extension is listed in CMake and lands in its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cmake_lists
import pytest

STUB = Path(__file__).resolve().parent / "slicer_stub"
MODULE_FILES = {"CTSAM3D.py", "SegmentEditorCTSAM3D.py"}
MODULES_FOLDER = Path("lib", "Slicer-5.12", "qt-scripted-modules")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[str]:
    """All files that git tracks, or all files of a source archive."""
    return cmake_lists.tracked_files(
        repository, ("CTSAM3D", "CTSAM3DLib", "Resources", "Testing", "tools")
    )


@pytest.mark.parametrize("kind", cmake_lists.KINDS)
def test_lists_equal_the_files_on_disk(repository: Path, kind: str) -> None:
    cmake = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    files = cmake_lists.wanted_lists(cmake_lists.tracked_files(repository))
    assert cmake_lists.listed(cmake, kind) == files[kind], "run: make cmake-lists"


def test_module_lists_equal_the_files_on_disk(repository: Path, tracked: list[str]) -> None:
    cmake = (repository / "CTSAM3D" / "CMakeLists.txt").read_text(encoding="utf-8")
    words = set(cmake.replace("${MODULE_NAME}", "CTSAM3D").split())
    files = {name.removeprefix("CTSAM3D/") for name in tracked if name.startswith("CTSAM3D/")} - {
        "CMakeLists.txt"
    }
    assert files <= words


def test_only_modules_lie_in_the_module_folder(repository: Path) -> None:
    assert {path.name for path in (repository / "CTSAM3D").glob("*.py")} <= MODULE_FILES


def test_no_python_file_at_the_root(repository: Path) -> None:
    assert list(repository.glob("*.py")) == []


def test_no_cache_is_tracked(tracked: list[str]) -> None:
    assert [name for name in tracked if "__pycache__" in name or name.endswith(".pyc")] == []


def test_both_resource_folders_share_no_path(tracked: list[str]) -> None:
    # Both are installed into the same folder.
    module = {
        name.removeprefix("CTSAM3D/") for name in tracked if name.startswith("CTSAM3D/Resources/")
    }
    assert module.isdisjoint(name for name in tracked if name.startswith("Resources/"))


def test_rewriting_keeps_everything_outside_the_markers() -> None:
    form = (
        "a\n  # begin scripts\n{}  # end scripts\nb\n  # begin resources\n{}  # end resources\nc\n"
    )
    before = form.format("  old.py\n", "")
    after = cmake_lists.rewritten(before, {"scripts": ["x.py", "y.py"], "resources": ["z.png"]})
    assert after == form.format("  x.py\n  y.py\n", "  z.png\n")


def test_missing_marker_is_reported() -> None:
    with pytest.raises(ValueError, match="expected one pair of lines '# begin scripts'"):
        cmake_lists.listed("set(X\n)\n", "scripts")


def test_source_archive_without_git_lists_the_same(repository: Path, tmp_path: Path) -> None:
    for name in cmake_lists.tracked_files(repository, ("CTSAM3DLib",)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "CTSAM3DLib" / "__pycache__").mkdir()
    (tmp_path / "CTSAM3DLib" / "__pycache__" / "errors.cpython-312.pyc").touch()
    assert cmake_lists.tracked_files(tmp_path) == cmake_lists.tracked_files(
        repository, ("CTSAM3DLib",)
    )


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
    return prefix / MODULES_FOLDER


def test_installed_tree_is_the_listed_one(installed: Path, repository: Path) -> None:
    files = {
        path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()
    }
    library = {name for name in files if name.startswith("CTSAM3DLib/")}
    assert library == set(cmake_lists.tracked_files(repository, ("CTSAM3DLib",)))
    assert set(cmake_lists.tracked_files(repository, ("Resources",))) <= files


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
