"""``python -m CTSAM3DLib anatomies``: the names of structures that get a colour and codes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from CTSAM3DLib.io.terminology import anatomies


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 when no name has all words."""
    parser = argparse.ArgumentParser(
        "python -m CTSAM3DLib anatomies",
        description="List the names of anatomies, each with its label in Slicer. A structure may "
        "have any other name, too; these get a label, a colour and SNOMED CT codes.",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="list those with all these words")
    words = [word.lower() for word in parser.parse_args(argv).words]
    names = {one.name: one.label for one in anatomies().values()}
    width = max(map(len, names))
    found = [
        f"{name:<{width}}  {label}"
        for name, label in names.items()
        if all(word in f"{name} {label}".lower() for word in words)
    ]
    print("\n".join(found) or f"no anatomy has the words: {' '.join(words)}")
    return 0 if found else 1
