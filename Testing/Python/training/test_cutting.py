"""Packed files made small: what comes back, what is left out, and a training that fits a budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from CTSAM3DLib.cli.train import main
from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.cutting import POINTS_PER_TARGET, cut_pack, read_pack
from CTSAM3DLib.training.data import PackedData

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")


def _case(number: int, hu: int | None, labels: int, pseudo: int | None) -> dict[str, object]:
    targets = [
        {"kind": "labels", "value": 1, "points": 309 * number, "count": 300},
        {"kind": "labels", "value": 2, "points": 309 * number + 300, "count": 9},
    ]
    return {
        "name": f"case {number}",
        "shape": [10, 20, 20],
        "hu": hu,
        "labels": labels,
        "pseudo": pseudo,
        "targets": targets[: 1 if number == 2 else 2],
    }


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Three cases: the first two share a CT, the last has none, and fewer targets."""
    cases = [_case(0, 0, 0, 0), _case(1, 0, 4000, None), _case(2, None, 8000, None)]
    np.savez(
        tmp_path / "train.npz",
        hu=RNG.integers(-1024, 1700, 4000).astype(np.int16),
        labels=RNG.integers(0, 9, 12000).astype(np.uint8),
        pseudo=RNG.integers(0, 9, 4000).astype(np.uint8),
        points=RNG.integers(0, 10, (927, 3)).astype(np.int16),
        header=np.frombuffer(json.dumps({"version": 1, "cases": cases}).encode(), np.uint8),
    )
    return tmp_path / "train.npz"


def test_labels_come_back_and_hu_are_rounded(pack: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.npz"
    header = cut_pack(pack, small, 1.0)
    assert len(header["cases"]) == 3
    before, after = read_pack(pack), read_pack(small)
    assert json.loads(after["header"].tobytes()) == header
    for name in ("labels", "pseudo"):
        np.testing.assert_array_equal(after[name], before[name])
    assert after["hu"].dtype == np.int16
    lost = np.abs(after["hu"].astype(int) - before["hu"])
    soft = np.abs(before["hu"]) < 190
    assert lost[soft].max() <= 3
    assert lost.max() <= 10
    first, second = header["cases"][1]["targets"]
    assert (first["count"], second["count"]) == (POINTS_PER_TARGET, 9)
    kept = after["points"][second["points"] : second["points"] + 9]
    assert sorted(map(tuple, kept)) == sorted(map(tuple, before["points"][609:618]))
    places = set(map(tuple, before["points"][309:609]))
    own = after["points"][first["points"] : first["points"] + first["count"]]
    assert places.issuperset(map(tuple, own))
    assert [case["hu"] for case in header["cases"]] == [0, 0, None]


def test_cases_are_left_out_until_it_fits(pack: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.npz"
    cut_pack(pack, small, 1.0)
    whole = small.stat().st_size
    header = cut_pack(pack, small, (whole - 1000) / 1e6)
    assert small.stat().st_size <= whole - 1000
    # Of all three, the first has the most bytes for each target: its CT and two label maps.
    assert [case["name"] for case in header["cases"]] == ["case 1", "case 2"]
    before, after = read_pack(pack), read_pack(small)
    np.testing.assert_array_equal(after["labels"], before["labels"][4000:])
    assert len(after["pseudo"]) == 0
    assert len(after["hu"]) == 4000
    with pytest.raises(ValueError, match="allow more megabytes"):
        cut_pack(pack, small, 0.001)


def test_the_file_that_is_read_stays(pack: Path) -> None:
    before = pack.read_bytes()
    with pytest.raises(OutputFileError, match="is an input"):
        cut_pack(pack, pack, 1.0)
    assert pack.read_bytes() == before


def test_carried_trained_resumed_and_cooled_down_by_one_command(
    packed_balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is done with half an hour of a GPU in runs of ten minutes, on a processor in seconds."""
    small, run = tmp_path / "small.npz", tmp_path / "run"
    assert main(["cut", str(packed_balls), str(small), "--megabytes", "64"]) == 0
    assert "kept 2 cases" in capsys.readouterr().out
    assert small.stat().st_size < 0.6 * packed_balls.stat().st_size
    cases = PackedData(small, CPU).cases, PackedData(packed_balls, CPU).cases
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(*cases, strict=True))
    config = TrainConfig(
        patch_size=32,
        widths=(4, 8, 8, 8, 8),
        hidden=4,
        spacing_range_mm=(2.0, 2.5),
        source_weights={"human": 0.5, "synthetic": 0.5},
    )
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    command = ["run", str(small), str(run), "--config", str(tmp_path / "config.json")]
    command += ["--seconds", "0.001", "--total-seconds", "1e9", "--cooldown-share", "0.5"]
    command += ["--threads", str(torch.get_num_threads())]
    for _ in range(2):  # each call ends after a step
        assert main(command) == 0
    assert "starting at iteration 1\n" in capsys.readouterr().out
    state = torch.load(run / "last.pt", weights_only=True)
    assert state["iteration"] == 2
    # The time of all calls is used up: the next call adds nothing.
    command[command.index("1e9")] = str(state["seconds"])
    assert main(command) == 0
    assert "the time of all calls is used" in capsys.readouterr().out
    assert torch.load(run / "last.pt", weights_only=True)["iteration"] == 2
