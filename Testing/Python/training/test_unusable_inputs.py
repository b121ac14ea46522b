"""What `train` cannot use is told in words: settings, packed data, a state, a device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from packed_case import damaged_zip, newer_zip

from CTSAM3DLib.cli.train import main
from CTSAM3DLib.errors import CheckpointError, DeviceError, LearningError
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIG = TrainConfig(patch_size=32, widths=(4, 8, 8, 8, 8), hidden=4)


def test_a_damaged_state_and_one_of_other_sizes_are_told(packed: Path, tmp_path: Path) -> None:
    data = PackedData(packed, CPU)
    trainer = Trainer(CONFIG, data, tmp_path / "run")
    trainer.save()
    with pytest.raises(CheckpointError, match="no state of a training with these settings"):
        Trainer(replace(CONFIG, widths=(4, 4, 8, 8, 8)), data, trainer.run_dir)
    trainer.checkpoint.write_bytes(trainer.checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="no state of a training with these settings"):
        Trainer(CONFIG, data, trainer.run_dir)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"patch_sze": 32}', "expected settings of .*, got .'patch_sze'"),
        ('{"patch_size": "a"}', "'patch_size': expected a value like 48, got 'a'"),
        ('{"patch_size": 30}', "'patch_size': expected a multiple of 16, got 30"),
        ("[1]", r"expected settings of .*, got \[1\]"),
        ("{,", "expected readable settings in JSON"),
    ],
)
def test_settings_that_cannot_be_used_are_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(LearningError, match=said):
        TrainConfig.read(tmp_path / "config.json")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    assert TrainConfig.read(tmp_path / "config.json") == CONFIG


def test_a_device_that_is_not_there_is_told(packed: Path, tmp_path: Path) -> None:
    words = ["run", str(packed), str(tmp_path / "run"), "--iterations", "1", "--device"]
    with pytest.raises(DeviceError, match="expected device auto, cpu, cuda or cuda:N, got 'foo'"):
        main([*words, "foo"])
    with pytest.raises(DeviceError, match="device 'cuda:77' is not available"):
        main([*words, "cuda:77"])


@pytest.mark.parametrize(
    "content", [b"ct,clicks", b"", b"PK\x03\x04damaged", newer_zip(), damaged_zip()]
)
def test_what_is_no_packed_data_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    for command in (["run", "{}", "{}.run", "--iterations", "1"], ["cut", "{}", "{}.small"]):
        with pytest.raises(LearningError, match=r"a\.npz: expected packed data"):
            main([word.format(tmp_path / "a.npz") for word in command])
