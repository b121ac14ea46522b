"""Write the public address of the repository into every file that names it.

The Extensions Index wants literal addresses, so the same one stands in several files. This command
replaces it everywhere; the packaging tests check that no other is left.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = (
    "CMakeLists.txt",
    "CTSAM3D.s4ext",
    "CTSAM3D.json",
    "CITATION.cff",
    "CHANGELOG.md",
    "README.md",
)


def current_address(root: Path = REPOSITORY) -> str:
    """Read the address that is in use: EXTENSION_HOMEPAGE of CMakeLists.txt."""
    cmake = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    match = re.search(r'set\(EXTENSION_HOMEPAGE "([^"]+)"\)', cmake)
    if match is None:
        raise ValueError("CMakeLists.txt has no EXTENSION_HOMEPAGE")
    return match[1]


def replace_address(new: str, root: Path = REPOSITORY) -> list[str]:
    """Replace the address in all files; returns the files that changed."""
    if not re.fullmatch(r"https://[^\s\"]+/Slicer[^\s/\"]+(?<!\.git)", new):
        raise ValueError(f"expected https://<host>/<owner>/SlicerCTSAM3D, got {new!r}")
    old, changed = current_address(root), []
    for name in FILES:
        path = root / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if old in text:
            path.write_text(text.replace(old, new), encoding="utf-8", newline="\n")
            changed.append(name)
    return changed


if __name__ == "__main__":
    try:
        print("Changed:", ", ".join(replace_address(sys.argv[1] if len(sys.argv) > 1 else "")))
    except ValueError as error:
        sys.exit(f"The address was not changed: {error}")
