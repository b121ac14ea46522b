"""What a predictor asks of a GPU, seen on a device of which no value can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoint_case import MICRO
from random_weights import with_random_weights
from slow_values import slow

from CTSAM3DLib.bundles import predictor as torch_predictor
from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.predictor import TorchPredictor, exact_float32
from CTSAM3DLib.network.build import build_lite, build_official
from CTSAM3DLib.network.lite import LiteConfig

SMALL = LiteConfig(widths=(8, 16, 16, 16, 16), hidden=4)
HU = np.zeros((64, 64, 64), np.float32)
POINTS, LABELS = np.array([[30, 14, 9], [9, 60, 2]], np.float32), np.array([1, 0])


@pytest.fixture(scope="module", params=["lite", *slow("official")])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build_lite(SMALL) if request.param == "lite" else build_official(MICRO, "micro")
    path = tmp_path_factory.mktemp(request.param) / "model.pt"
    write_bundle(with_random_weights(model), path)
    return path


Load = Callable[[], TorchPredictor]


@pytest.fixture
def on_card(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load onto a device that knows shapes and layouts only: every look at a value raises."""
    load = torch.jit.load  # parameters of a scripted module cannot move to this device later
    monkeypatch.setattr(
        torch.jit, "load", lambda path, **options: load(path, **{**options, "map_location": "meta"})
    )
    monkeypatch.setattr(torch_predictor, "resolve_device", lambda device: torch.device("meta"))
    return lambda: TorchPredictor(bundle, "cuda:0")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Tensors that were fetched from the card."""
    found: list[torch.Tensor] = []
    monkeypatch.setattr(torch_predictor, "to_numpy", found.append)
    return found


def test_a_click_waits_for_the_card_once_for_its_answer(
    on_card: Load, fetched: list[torch.Tensor]
) -> None:
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.zeros(3, device="meta").sum().item()
    predictor = on_card()
    embedding = predictor.encode(HU)
    for previous in (None, HU):
        predictor.decode(embedding, POINTS, LABELS, previous)
        (answer,) = fetched
        assert (answer.shape, answer.device.type) == (HU.shape, "meta")
        fetched.clear()


def test_neighbours_are_asked_without_waiting_for_the_card(
    on_card: Load, fetched: list[torch.Tensor]
) -> None:
    predictor = on_card()
    predictor.cross_patch(HU, HU > 0, HU)
    assert [tuple(heat.shape) for heat in fetched] == [HU.shape]


# ---- exact products


def settings() -> tuple[object, ...]:
    """Who may round float32 factors."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    return conv.fp32_precision, matmul.fp32_precision


def recorder(seen: list[object], error: Exception | None = None) -> SimpleNamespace:
    """Stand-in for a scripted model that notes the settings under which it is called."""

    def encode(patch: torch.Tensor) -> list[torch.Tensor]:
        seen.append(settings())
        if error is not None:
            raise error
        return [patch]

    return SimpleNamespace(encode=encode)


@pytest.fixture
def rounding() -> Iterator[tuple[object, ...]]:
    """Another program in the process allows cards to round."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("PyTorch before 2.9 has other names for these settings")
    before = settings()
    conv.fp32_precision = matmul.fp32_precision = "tf32"
    yield settings()
    conv.fp32_precision, matmul.fp32_precision = before


def test_float32_on_a_card_is_float32(on_card: Load, rounding: tuple[object, ...]) -> None:
    assert rounding == ("tf32", "tf32")
    seen: list[object] = []
    predictor = on_card()
    predictor.module = recorder(seen)
    predictor.encode(HU)
    assert seen == [("ieee", "ieee")]
    assert settings() == rounding
    predictor.module = recorder(seen, RuntimeError("CUDA error"))
    with pytest.raises(RuntimeError, match="CUDA error"):
        predictor.encode(HU)
    assert settings() == rounding


def test_older_pytorch_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul = SimpleNamespace(allow_tf32=False)
    backends = SimpleNamespace(
        cuda=SimpleNamespace(matmul=matmul), cudnn=SimpleNamespace(allow_tf32=True)
    )
    monkeypatch.setattr(torch_predictor, "torch", SimpleNamespace(backends=backends))
    with exact_float32():
        assert (backends.cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
    assert (backends.cudnn.allow_tf32, matmul.allow_tf32) == (True, False)
