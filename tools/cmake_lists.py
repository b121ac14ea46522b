"""Write the file lists of the CMake files from what git tracks; ``--check`` only compares.

Slicer's CMake macros glob nothing, and a missing file is an error of the build. A file that is not
listed is missing in the installed extension, which is worse, because nothing reports it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("CTSAM3DLib", "Resources")
KINDS = ("scripts", "resources")
MODULE = ("CTSAM3D.py", "CTSAM3DModuleLib/", "Resources/")
EFFECT = ("SegmentEditorCTSAM3D.py", "SegmentEditorCTSAM3DLib/")


@dataclass(frozen=True)
class FileList:
    """The files between two marker lines of a CMake file.

    Parameters
    ----------
    folder : str
        Folder of the CMake file, whose files are listed relative to it; empty for the root.
    kind : str
        Word of the marker lines ``# begin KIND`` and ``# end KIND``.
    wanted : callable
        Tells from a name relative to the folder whether the file belongs into the list.
    """

    folder: str
    kind: str
    wanted: Callable[[str], bool]

    @property
    def cmake(self) -> str:
        """Path of the CMake file."""
        return f"{self.folder}/CMakeLists.txt" if self.folder else "CMakeLists.txt"

    def files(self, root: Path, tracked: list[str]) -> list[str]:
        """Names of the tracked files that belong into the list."""
        prefix = f"{self.folder}/" if self.folder else ""
        names = [name.removeprefix(prefix) for name in tracked if name.startswith(prefix)]
        return [name for name in names if self.wanted(name) and (root / prefix / name).is_file()]


def _starting(starts: tuple[str, ...], scripts: bool) -> Callable[[str], bool]:
    """Return a rule: where a file lies, and whether it is Python."""
    return lambda name: name.startswith(starts) and name.endswith(".py") == scripts


def _runs_in_slicer(name: str) -> bool:
    """Whether a test of Testing/Slicer needs nothing of the stand-in for Slicer."""
    is_test = name.startswith("test_") and name.endswith(".py") and "/" not in name
    return is_test and not name.startswith("test_headless_")


LISTS = (
    FileList("", "scripts", _starting(("CTSAM3DLib/", "Resources/"), scripts=True)),
    FileList("", "resources", _starting(("CTSAM3DLib/", "Resources/"), scripts=False)),
    FileList("CTSAM3D", "scripts", _starting(MODULE, scripts=True)),
    FileList("CTSAM3D", "resources", _starting(MODULE, scripts=False)),
    FileList("CTSAM3D", "effect scripts", _starting(EFFECT, scripts=True)),
    FileList("CTSAM3D", "effect resources", _starting(EFFECT, scripts=False)),
    FileList("Testing/Slicer", "tests", _runs_in_slicer),
)
ALL_FOLDERS = (*FOLDERS, "CTSAM3D", "Testing")


def tracked_files(root: Path, folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """Files of the folders that git tracks; without git all files but caches. Sorted."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--", *folders]
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        names = [name for name in answer.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if not names:  # a source archive has no .git
        paths = [path for folder in folders for path in (root / folder).rglob("*")]
        names = [
            path.relative_to(root).as_posix() for path in paths if "__pycache__" not in path.parts
        ]
    return sorted(name for name in set(names) if (root / name).is_file())


def wanted_lists(root: Path, cmake: str, tracked: list[str]) -> dict[str, list[str]]:
    """Return what belongs into each list of one CMake file, by its kind."""
    return {one.kind: one.files(root, tracked) for one in LISTS if one.cmake == cmake}


def _markers(cmake: str, kind: str) -> tuple[int, int]:
    begin, end = f"  # begin {kind}\n", f"  # end {kind}\n"
    if cmake.count(begin) != 1 or cmake.count(end) != 1:
        raise ValueError(f"expected one pair of lines '# begin {kind}' and '# end {kind}'")
    return cmake.index(begin) + len(begin), cmake.index(end)


def listed(cmake: str, kind: str) -> list[str]:
    """Read the file names between the two marker lines of one kind."""
    start, stop = _markers(cmake, kind)
    return cmake[start:stop].split()


def rewritten(cmake: str, lists: dict[str, list[str]]) -> str:
    """Replace what stands between the marker lines."""
    for kind, names in lists.items():
        start, stop = _markers(cmake, kind)
        cmake = cmake[:start] + "".join(f"  {name}\n" for name in names) + cmake[stop:]
    return cmake


def differing(root: Path, write: bool) -> list[str]:
    """Return the CMake files whose lists differ from the files, after rewriting them if wanted."""
    tracked = tracked_files(root, ALL_FOLDERS)
    found = []
    for name in dict.fromkeys(one.cmake for one in LISTS):
        path = root / name
        before = path.read_text(encoding="utf-8")
        after = rewritten(before, wanted_lists(root, name, tracked))
        if before != after:
            found.append(name)
            if write:
                path.write_text(after, encoding="utf-8", newline="\n")
    return found


def main() -> int:
    """Run the command; returns 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check_only = parser.parse_args().check
    names = ", ".join(differing(REPOSITORY, write=not check_only))
    if not names:
        print("The lists in the CMake files are up to date.")
        return 0
    if check_only:
        print(f"The lists in {names} differ from what git tracks; run: make cmake-lists")
        return 1
    print(f"The lists in {names} were rewritten.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
