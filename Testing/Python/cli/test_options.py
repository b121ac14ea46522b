"""Wrong values of options: refused in words, with exit code 2, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from CTSAM3DLib.cli import main as cli

NUMBERS = {
    "evaluate --data DATA": ["--threads 0", "--threads -1", "--clicks 0", "--limit 0", "--seed -1",
        "--limit-cases -1", "--min-voxels 0", "--spacing-mm -1", "--spacing-mm nan"],
    "learn DATA --id x": ["--threads -1", "--threads two", "--seed -1"],
    "train pack DATA a.npz": ["--limit -1", "--pseudo-cases -1"],
    "train cut a.npz b.npz": ["--megabytes 0", "--megabytes nan"],
    "train run a.npz run": ["--threads 0", "--iterations -1", "--seconds nan", "--cpu-seconds -1",
        "--total-seconds 0"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "option"), [(key, one) for key, some in NUMBERS.items() for one in some]
)
def test_numbers_that_cannot_be_used_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    words = command.replace("DATA", str(tmp_path)).split()
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, *option.split()])
    assert ended.value.code == cli.FAILURE
    name, value = option.split()
    assert f"argument {name}: expected a" in (told := capsys.readouterr().err)
    assert f"got {value!r}" in told


def test_a_filter_that_is_no_regular_expression_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--data", str(tmp_path), "--case-filter", "["])
    assert "expected a regular expression, got '['" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["mps", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], device: str
) -> None:
    pytest.importorskip("torch")
    assert cli.main(["demo", "--output-dir", str(tmp_path / "o"), "--device", device]) == 2
    assert repr(device) in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("device", ["mps", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_the_table_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], device: str
) -> None:
    pytest.importorskip("torch")
    words = ["batch", str(tmp_path / "t.csv"), "--output-dir", str(tmp_path / "o")]
    assert cli.main([*words, "--device", device, "--workers", "2"]) == 2
    assert repr(device) in capsys.readouterr().err
