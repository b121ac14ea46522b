"""From training checkpoints and bundles to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.from_training import model_from_checkpoint
from CTSAM3DLib.cli.export import main
from CTSAM3DLib.errors import CheckpointError
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.training.config import TrainConfig

SMALL = LiteConfig(widths=(4, 8, 8, 16, 16), hidden=4)


@pytest.fixture
def model() -> PromptableModel:
    torch.manual_seed(0)
    return build_lite(SMALL, "small", patch_size=32)


def test_wrong_checkpoints_are_named(model: PromptableModel, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"no training checkpoint.*weights"):
        model_from_checkpoint(path)
    wrong = TrainConfig(widths=(4, 8, 8, 16, 32), hidden=4).to_dict()
    torch.save({"config": wrong, "average": model.segmenter.state_dict()}, path)
    with pytest.raises(CheckpointError, match="do not fit"):
        model_from_checkpoint(path)
    write_bundle(model, path, half=False)
    with pytest.raises(CheckpointError, match=r"expected last.pt of a training run, got a bundle"):
        model_from_checkpoint(path)
    path.write_text("{}")
    with pytest.raises(CheckpointError, match="got a file that is none"):
        model_from_checkpoint(path)


@pytest.mark.parametrize("share", ["abc", "1.0", "-1"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["last.pt", "models.json", "--card", "card.json", f"--share={share}"])
    assert f"expected a share between 0 and 1, got {share}" in capsys.readouterr().err


def test_the_mean_of_several_checkpoints(model: PromptableModel, tmp_path: Path) -> None:
    config = TrainConfig(widths=(4, 8, 8, 8, 8), hidden=4).to_dict()
    torch.manual_seed(1)
    paths, values = [], []
    base = build_lite(LiteConfig((4, 8, 8, 8, 8), 4)).segmenter.state_dict()
    for number in range(3):
        weights = {key: torch.randn_like(value) for key, value in base.items()}
        paths.append(tmp_path / f"{number}.pt")
        torch.save({"config": config, "average": weights}, paths[-1])
        values.append(weights)
    mean = model_from_checkpoint(paths[0], others=paths[1:]).segmenter.state_dict()
    for key, value in mean.items():
        expected = torch.stack([weights[key] for weights in values]).mean(0)
        torch.testing.assert_close(value, expected)
    uneven = model_from_checkpoint(paths[0], others=paths[1:], share=0.5).segmenter.state_dict()
    for key, value in uneven.items():
        expected = 0.5 * values[0][key] + 0.25 * (values[1][key] + values[2][key])
        torch.testing.assert_close(value, expected)


@pytest.mark.slow
def test_the_mean_with_a_bundle_and_its_cross_patch_predictor(
    model: PromptableModel, tmp_path: Path
) -> None:
    config = TrainConfig(widths=SMALL.widths, hidden=4).to_dict()
    weights = {key: torch.randn_like(v) for key, v in model.segmenter.state_dict().items()}
    torch.save({"config": config, "average": weights}, tmp_path / "last.pt")
    bundle = tmp_path / "bundle.pt"
    write_bundle(model, bundle, half=False)
    found = model_from_checkpoint(tmp_path / "last.pt", others=[bundle], share=0.75)
    for key, value in found.segmenter.state_dict().items():
        expected = 0.75 * weights[key] + 0.25 * model.segmenter.state_dict()[key]
        torch.testing.assert_close(value, expected)
    with pytest.raises(CheckpointError, match="trained cross-patch predictor"):
        model_from_checkpoint(tmp_path / "last.pt", cross_patch=bundle)
    model.settings = replace(model.settings, cross_patch_trained=True)
    write_bundle(model, bundle, half=False)
    found = model_from_checkpoint(tmp_path / "last.pt", cross_patch=bundle)
    assert found.settings.cross_patch_trained
    for key, value in found.cross_patch_net.state_dict().items():
        assert torch.equal(value, model.cross_patch_net.state_dict()[key])
