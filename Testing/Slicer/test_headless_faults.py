"""Faults under the hands of a user: scene, segments and prompts are those of before or after."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import slicer
from fault_case import KINDS, FaultCase
from fault_table import show

from Testing.HeadlessSlicer import callback_errors

MANY = 200


def _faults(seed: int, kinds: list[str], folder: Path) -> Counter[tuple[str, str]]:
    case = FaultCase(seed, folder)
    try:
        found = Counter((kind, case.fault(KINDS[kind])) for kind in kinds)
    finally:
        case.close()
        slicer.app.processEvents()
        # What is raised into Slicer is shown there; here it is wanted.
        callback_errors.take()
    return found


def test_a_fault_of_each_kind(tmp_path: Path) -> None:
    assert {kind for kind, _ in _faults(1, list(KINDS), tmp_path)} == set(KINDS)


@pytest.mark.slow
def test_many_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a call fails while it is written"] * 7 + list(KINDS)
    kinds = [names[n % len(names)] for n in range(MANY)]
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(8):
        found.update(_faults(seed, kinds[seed::8], tmp_path))
    show("effect", found, capsys)
    assert found.total() == MANY
