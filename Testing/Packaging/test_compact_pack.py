"""The tool that makes a packed file small: what comes back, and what it says was lost."""

from __future__ import annotations

import json
from pathlib import Path

import compact_pack
import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Write a pack of one case with two targets of 300 and of 9 places to click."""
    hu = RNG.integers(-1024, 1700, 4000).astype(np.int16)
    points = RNG.integers(0, 20, (309, 3)).astype(np.int16)
    targets = [{"points": 0, "count": 300}, {"points": 300, "count": 9}]
    header = json.dumps({"version": 1, "cases": [{"targets": targets}]}).encode()
    np.savez(
        tmp_path / "train.npz",
        hu=hu,
        labels=RNG.integers(0, 9, 4000).astype(np.uint8),
        pseudo=RNG.integers(0, 9, 500).astype(np.uint8),
        points=points,
        header=np.frombuffer(header, np.uint8),
    )
    return tmp_path / "train.npz"


def test_labels_come_back_and_hu_are_rounded(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = pack.with_name("small"), pack.with_name("large.npz")
    for command in (["compact", str(pack), str(small)], ["expand", str(small), str(large)]):
        monkeypatch.setattr("sys.argv", ["compact_pack.py", *command])
        assert compact_pack.main() == 0
    with np.load(pack) as before, np.load(large) as after:
        for name in ("labels", "pseudo"):
            np.testing.assert_array_equal(after[name], before[name])
        assert after["hu"].dtype == np.int16
        lost = np.abs(after["hu"].astype(int) - before["hu"])
        soft = np.abs(before["hu"]) < 190
        assert lost[soft].max() <= 3
        assert lost.max() <= 10
        first, second = json.loads(after["header"].tobytes())["cases"][0]["targets"]
        assert (first["count"], second["count"]) == (compact_pack.POINTS_PER_TARGET, 9)
        kept = after["points"][second["points"] : second["points"] + 9]
        assert sorted(map(tuple, kept)) == sorted(map(tuple, before["points"][300:]))
        places = set(map(tuple, before["points"][:300]))
        assert places.issuperset(map(tuple, after["points"][: first["count"]]))
