"""What belongs into the installed extension is listed in CMake and lands in its place."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cmake_lists
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


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[str]:
    """All files that git tracks, or all files of a source archive."""
    return cmake_lists.tracked_files(
        repository, ("CTSAM3D", "CTSAM3DLib", "Resources", "Testing", "tools")
    )


@pytest.mark.parametrize("one", cmake_lists.LISTS, ids=lambda one: f"{one.cmake}: {one.kind}")
def test_lists_equal_the_files_on_disk(
    repository: Path, tracked: list[str], one: cmake_lists.FileList
) -> None:
    cmake = (repository / one.cmake).read_text(encoding="utf-8")
    assert cmake_lists.listed(cmake, one.kind) == one.files(repository, tracked), (
        "run: make cmake-lists"
    )


def test_every_file_of_the_module_folder_is_in_one_list(
    repository: Path, tracked: list[str]
) -> None:
    cmake = (repository / "CTSAM3D" / "CMakeLists.txt").read_text(encoding="utf-8")
    kinds = [one.kind for one in cmake_lists.LISTS if one.folder == "CTSAM3D"]
    names = [f"CTSAM3D/{name}" for kind in kinds for name in cmake_lists.listed(cmake, kind)]
    files = [name for name in tracked if name.startswith("CTSAM3D/")]
    assert sorted(names) == sorted(set(files) - {"CTSAM3D/CMakeLists.txt"})


def test_tests_for_slicer_do_not_need_the_stand_in(repository: Path) -> None:
    folder = repository / "Testing" / "Slicer"
    cmake = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    names = cmake_lists.listed(cmake, "tests")
    assert "test_console.py" in names
    needing = re.compile(r"^\s*(from|import) (Testing|pytest)\b", re.MULTILINE)
    assert [n for n in names if needing.search((folder / n).read_text(encoding="utf-8"))] == []


def test_runner_in_slicer_finds_the_same_tests(repository: Path) -> None:
    folder = repository / "Testing" / "Slicer"
    text = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    space: dict[str, object] = runpy.run_path(str(folder / "run_in_slicer.py"))
    names = [f"{name}.py" for name in space["listed_tests"]()]
    assert names == cmake_lists.listed(text, "tests")


def test_only_modules_lie_in_the_module_folder(repository: Path) -> None:
    assert {path.name for path in (repository / "CTSAM3D").glob("*.py")} == MODULE_FILES


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


def test_lists_of_a_changed_tree_are_rewritten(repository: Path, tmp_path: Path) -> None:
    for folder in cmake_lists.ALL_FOLDERS:
        shutil.copytree(
            repository / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(repository / "CMakeLists.txt", tmp_path)
    cmake_lists.differing(tmp_path, write=True)
    assert cmake_lists.differing(tmp_path, write=False) == []
    (tmp_path / "CTSAM3D" / "CTSAM3DModuleLib" / "another.py").touch()
    (tmp_path / "Testing" / "Slicer" / "test_another.py").touch()
    (tmp_path / "Testing" / "Slicer" / "test_headless_another.py").touch()
    changed = ["CTSAM3D/CMakeLists.txt", "Testing/Slicer/CMakeLists.txt"]
    assert cmake_lists.differing(tmp_path, write=True) == changed
    text = (tmp_path / changed[1]).read_text(encoding="utf-8")
    assert "  test_another.py\n" in text
    assert "test_headless_another" not in text


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
    tests = (build / "tests.txt").read_text(encoding="utf-8").splitlines()
    assert {"py_CTSAM3D", "py_CTSAM3D_test_console"} <= set(tests)
    return prefix / MODULES_FOLDER


def test_installed_tree_is_the_listed_one(installed: Path, repository: Path) -> None:
    files = {
        path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()
    }
    library = {name for name in files if name.startswith("CTSAM3DLib/")}
    assert library == set(cmake_lists.tracked_files(repository, ("CTSAM3DLib",)))
    assert set(cmake_lists.tracked_files(repository, ("Resources",))) <= files
    module = cmake_lists.tracked_files(repository, ("CTSAM3D",))
    assert {name.removeprefix("CTSAM3D/") for name in module} - {"CMakeLists.txt"} <= files


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
