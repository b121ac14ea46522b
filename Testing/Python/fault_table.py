"""The table of injected faults: what was done, how often, and what was left."""

from __future__ import annotations

import sys
from collections import Counter

import pytest


def show(area: str, found: Counter[tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Print the rows of one area as they stand in ``docs/testing.md``."""
    lines = []
    for kind in sorted({kind for kind, _ in found}):
        before, after = found[kind, "before"], found[kind, "after"]
        lines.append(f"| {area} | {kind} | {before + after} | {before} | {after} |")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
