"""Readers on thousands of random files: exact against the oracle, or a named error."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from reader_corpus import KINDS, Made, make

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import Scan, read_scan

FEW = 200
MANY = int(os.environ.get("CTSAM3D_CORPUS", "10000"))


def _corners(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    last = np.array(shape[::-1]) - 1
    corners = np.array(np.meshgrid(*[(0, n) for n in last])).reshape(3, -1)
    return (matrix[:3, :3] @ corners).T + matrix[:3, 3]


def _is_exact(scan: Scan, made: Made) -> bool:
    if scan.volume.array_kji.shape != made.array.shape:
        return False
    ours = _corners(np.asarray(scan.volume.geometry.ijk_to_ras), made.array.shape)
    apart = np.linalg.norm(ours - _corners(made.matrix, made.array.shape), axis=1).max()
    return bool(apart <= 0.01 and np.abs(scan.volume.array_kji - made.array).max() <= 0.5)


def result_of(seed: int) -> str:
    """One word for what became of the file of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder), seed)
        try:
            scan = read_scan(made.path)
        except VolumeError as error:
            if not made.faults:
                pytest.fail(f"seed {seed}: a sound {made.kind} was refused: {error}")
            return "refused"
        if "surplus" in made.faults:
            assert scan.notes, f"seed {seed}: surplus bytes of a {made.kind} were not told"
        if _is_exact(scan, made):
            return "exact"
        # A turned bit in numbers that have no checksum cannot be seen; a note tells the rest.
        if "bit" in made.faults:
            return "bit unseen"
        assert made.faults, f"seed {seed}: a sound {made.kind} was read otherwise"
        assert scan.notes, f"seed {seed}: {made.faults} in a {made.kind} was not told"
        return "told"


def _table(seeds: range) -> Counter[tuple[str, str]]:
    return Counter((KINDS[seed % len(KINDS)], result_of(seed)) for seed in seeds)


def test_two_hundred_files_are_read_exactly_or_refused() -> None:
    found = _table(range(FEW))
    assert sum(found.values()) == FEW
    for kind in KINDS:
        assert found[kind, "exact"] > FEW / len(KINDS) / 2
        assert found[kind, "refused"] > 0


@pytest.mark.parametrize(("seed", "result"), [(5230, "exact"), (6898, "told")])
def test_seeds_that_found_a_fault_are_sound(seed: int, result: str) -> None:
    assert result_of(seed) == result


@pytest.mark.slow
@pytest.mark.skipif("CTSAM3D_CORPUS" not in os.environ, reason="set CTSAM3D_CORPUS to a number")
def test_as_many_files_as_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = _table(range(FEW, FEW + MANY))
    lines = [f"{kind:10}{result:12}{count}" for (kind, result), count in sorted(found.items())]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert sum(found.values()) == MANY
