"""Accept only conventional commit messages: ``type(scope): summary``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

TYPES = (
    "build",
    "chore",
    "ci",
    "docs",
    "feat",
    "fix",
    "perf",
    "refactor",
    "revert",
    "style",
    "test",
)
FORM = re.compile(rf"({'|'.join(TYPES)})(\([a-z0-9 ,_-]+\))?!?: \S.{{0,99}}")


def fault(message: str) -> str:
    """Return what is wrong with a commit message; empty when nothing is."""
    first, _, rest = message.partition("\n")
    if first.startswith(("Merge ", "fixup! ", "squash! ")):
        return ""
    if FORM.fullmatch(first) is None:
        return f"expected 'type(scope): summary' with one of {', '.join(TYPES)}; got {first!r}"
    if rest.strip() and not rest.startswith("\n"):
        return "expected an empty line after the summary"
    return ""


if __name__ == "__main__":
    sys.exit(fault(Path(sys.argv[1]).read_text(encoding="utf-8")) or 0)
