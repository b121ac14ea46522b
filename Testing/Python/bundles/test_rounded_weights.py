"""Export with weights of few significant bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.cli.export import main
from CTSAM3DLib.network.segmenters import build_segmenter
from CTSAM3DLib.training.config import TrainConfig


@pytest.mark.slow
def test_rounded_weights_lose_their_last_bits_only(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TrainConfig(widths=(4, 8, 8, 8, 8), hidden=4)
    segmenter = build_segmenter("psap", config.widths, config.hidden, 2, "max")
    checkpoint, card = tmp_path / "last.pt", tmp_path / "card.json"
    torch.save({"config": config.to_dict(), "average": segmenter.state_dict()}, checkpoint)
    card.write_text(json.dumps({"licence": "Apache-2.0", "training_data": [], "quality": {}}))
    arguments = [str(checkpoint), str(tmp_path / "models.json"), "--card", str(card), "--id"]
    assert main([*arguments, "exact"]) == 0
    assert main([*arguments, "rounded", "--significant-bits", "7"]) == 0
    exact, rounded = (
        torch.jit.load(str(tmp_path / f"{name}.pt")).state_dict() for name in ("exact", "rounded")
    )
    sizes = [(tmp_path / f"{name}.pt").stat().st_size for name in ("exact", "rounded")]
    assert sizes[1] < 0.8 * sizes[0]
    assert TorchPredictor(tmp_path / "rounded.pt", "cpu").settings.model_id == "rounded"
    changed = 0
    for key, value in rounded.items():
        if not key.startswith("segmenter."):
            continue  # untrained weights, drawn anew for each
        # 1e-7: the smallest float16 are so far apart.
        np.testing.assert_allclose(value.double(), exact[key].double(), rtol=2.0**-7, atol=1e-7)
        if value.ndim < 2:
            assert torch.equal(value, exact[key])
        else:
            # float16 stores 10 bits after the leading one; the last four of them are empty now.
            normal = value.abs() > 1e-4
            assert not (value.view(torch.int16)[normal] & 0b1111).any()
            changed += int((value != exact[key]).sum())
    assert changed > 1000
