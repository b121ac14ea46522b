"""bfloat16 as an option of the predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_weights import with_random_weights

from CTSAM3DLib.bundles import precision
from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.predictor import TorchPredictor, load_predictor
from CTSAM3DLib.errors import DeviceError
from CTSAM3DLib.network.build import build_lite, build_official
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.official.sizes import L1

SMALL = LiteConfig(widths=(8, 16, 16, 16, 16), hidden=4)


@pytest.fixture
def processor_with_bfloat16(monkeypatch):
    """The check answers yes; every build of PyTorch for processors can compute it, if slowly."""
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)


@pytest.mark.parametrize("kind", ["lite", "official"])
@pytest.mark.usefixtures("processor_with_bfloat16")
def test_bfloat16_stays_near_float32_and_is_not_the_same(kind, tmp_path):
    model = build_lite(SMALL) if kind == "lite" else build_official(L1, "l1")
    path = tmp_path / "model.pt"
    write_bundle(with_random_weights(model), path)
    hu = np.random.default_rng(0).normal(0.0, 200.0, (64, 64, 64)).astype(np.float32)
    points, labels = np.array([[30.0, 14.0, 9.0]], np.float32), np.array([1])
    mask = np.zeros(hu.shape, bool)
    mask[20:40, 20:40, 40:] = True
    chances, heats = {}, {}
    for name in ("float32", "bfloat16"):
        predictor = TorchPredictor(path, "cpu", precision=name)
        embedding = predictor.encode(hu)
        assert {str(m.dtype) for m in embedding} == {f"torch.{name}"}
        first = predictor.decode(embedding, points, labels, None)
        second = predictor.decode(embedding, points, labels, first)
        assert second.dtype == np.float32
        chances[name] = 1.0 / (1.0 + np.exp(-second))
        heats[name] = predictor.cross_patch(hu, mask, hu)
    difference = np.abs(chances["bfloat16"] - chances["float32"])
    assert chances["float32"].std() > 0.1
    assert difference.max() > 1e-4
    assert difference.mean() < 0.02
    # Its weights were rounded only where it is part of the segmenter.
    change = np.abs(heats["bfloat16"] - heats["float32"]).mean()
    assert change <= (0.0 if kind == "lite" else 0.05 * heats["float32"].std())


def test_processor_without_bfloat16_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    path = tmp_path / "model.pt"
    write_bundle(build_lite(SMALL), path)
    with pytest.raises(DeviceError, match="this processor does not compute with it"):
        TorchPredictor(path, "cpu", precision="bfloat16")
    TorchPredictor(path, "cpu")


def test_unknown_precision_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="float32 or bfloat16, got 'float16'"):
        TorchPredictor(tmp_path / "model.pt", "cpu", precision="float16")


def test_older_pytorch_is_asked_in_its_own_way(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    answer = precision.computes_bfloat16(torch.device("cpu"))
    assert answer == torch.ops.mkldnn._is_mkldnn_bf16_supported()


@pytest.mark.usefixtures("processor_with_bfloat16")
def test_the_loader_hands_the_precision_on():
    patch = np.random.default_rng(0).normal(0.0, 200.0, (64, 64, 64)).astype(np.float32)
    clicks = np.array([[32.0, 32.0, 32.0]], np.float32), np.array([1], np.int64)
    answers = {}
    for name in ("float32", "bfloat16"):
        predictor = load_predictor(None, "cpu", name)
        answers[name] = predictor.decode(predictor.encode(patch), *clicks, None)
    assert not np.array_equal(answers["float32"], answers["bfloat16"])
    with pytest.raises(DeviceError, match="got 'int8'"):
        load_predictor(None, "cpu", "int8").settings  # noqa: B018
