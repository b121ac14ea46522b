"""Write the file lists of CMakeLists.txt from what git tracks; ``--check`` only compares.

Slicer's CMake macros glob nothing, and a missing file is an error of the build. A file that is not
listed is missing in the installed extension, which is worse, because nothing reports it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("CTSAM3DLib", "Resources")
KINDS = ("scripts", "resources")


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


def wanted_lists(files: list[str]) -> dict[str, list[str]]:
    """Sort the files into Python scripts and everything else."""
    scripts = [name for name in files if name.endswith(".py")]
    return {"scripts": scripts, "resources": [name for name in files if name not in set(scripts)]}


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
    for kind in KINDS:
        start, stop = _markers(cmake, kind)
        cmake = cmake[:start] + "".join(f"  {name}\n" for name in lists[kind]) + cmake[stop:]
    return cmake


def main() -> int:
    """Run the command; returns 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check_only = parser.parse_args().check
    path = REPOSITORY / "CMakeLists.txt"
    before = path.read_text(encoding="utf-8")
    after = rewritten(before, wanted_lists(tracked_files(REPOSITORY)))
    if before == after:
        print("The lists in CMakeLists.txt are up to date.")
        return 0
    if check_only:
        print("The lists in CMakeLists.txt differ from what git tracks; run: make cmake-lists")
        return 1
    path.write_text(after, encoding="utf-8", newline="\n")
    print("The lists in CMakeLists.txt were rewritten.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
