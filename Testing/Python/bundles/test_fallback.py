"""A click is answered although the device of the model fails; the user is told once."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from failing_gpu import (
    CLICKS,
    GONE,
    NO_MEMORY,
    OOM,
    PROCESSOR,
    SCRIPTED,
    Card,
    clicked,
    on_card,
    volume,
)
from fake_predictor import BallPredictor

from CTSAM3DLib.bundles.fallback import FallbackPredictor, stages_from
from CTSAM3DLib.errors import BundleError, DeviceError, NotEnoughMemoryError
from CTSAM3DLib.session.session import InteractiveSession

ERRORS = [
    {("cuda:0", 1): OOM(NO_MEMORY)},
    {("cuda:0", 2): OOM(NO_MEMORY)},
    {("cuda:0", 4): RuntimeError(SCRIPTED)},
    {("cuda:0", 3): RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")},
    *({("cuda:0", 1 + n): RuntimeError(text)} for n, text in enumerate(GONE)),
]


@pytest.mark.parametrize("plan", ERRORS)
def test_no_click_is_lost(plan) -> None:
    predictor, card = on_card(plan)
    session = clicked(predictor)
    assert not plan, "not all errors came"
    assert predictor.device == "cpu"
    assert np.array_equal(session.mask, clicked(BallPredictor()).mask)
    assert len(session.clicks) == len(CLICKS)
    assert card.loads == ["cuda:0", "cpu"]


def test_too_little_memory_is_told_once() -> None:
    predictor, _ = on_card({("cuda:0", 2): OOM(NO_MEMORY)})
    clicked(predictor)
    assert predictor.take_notices() == (f"The GPU has too little free memory: {PROCESSOR}",)
    assert predictor.take_notices() == ()


@pytest.mark.parametrize("text", GONE)
def test_a_lost_gpu_is_told_in_one_line(text: str) -> None:
    predictor, card = on_card({("cuda:0", 3): RuntimeError(text)})
    clicked(predictor)
    (sentence,) = predictor.take_notices()
    assert sentence.startswith("The GPU failed (")
    assert sentence.endswith(PROCESSOR)
    assert "\n" not in sentence
    assert "TorchScript" not in sentence
    assert card.loads == ["cuda:0", "cpu"]


def test_an_embedding_of_an_earlier_device_is_made_anew_once() -> None:
    predictor, card = on_card({("cuda:0", 3): OOM(NO_MEMORY)})
    patch = np.zeros((32, 32, 32), np.float32)
    embedding = predictor.encode(patch)
    points, labels = np.array([[16, 16, 16]], np.float32), np.array([1])
    answers = [predictor.decode(embedding, points, labels, None) for _ in range(3)]
    after = card.predictors["cpu"]
    assert (after.encode_calls, after.decode_calls) == (1, 3)
    assert np.array_equal(after.encoded[0], patch)
    assert np.array_equal(answers[0], answers[2])


def test_the_device_holds_nothing_after_its_failure() -> None:
    predictor, card = on_card({("cuda:0", 4): OOM(NO_MEMORY)})
    embeddings = [predictor.encode(np.zeros((32, 32, 32), np.float32)) for _ in range(2)]
    held = [weakref.ref(embedding.value) for embedding in embeddings]
    held.append(weakref.ref(card.predictors.pop("cuda:0")))
    assert all(ref() is not None for ref in held)
    alive = []
    card.on_load = lambda label: alive.extend(ref() for ref in held)
    points, labels = np.array([[16, 16, 16]], np.float32), np.array([1])
    predictor.decode(embeddings[0], points, labels, None)
    assert alive == [None, None, None]


def test_on_the_processor_no_patch_is_kept() -> None:
    predictor = FallbackPredictor(stages_from("cpu"), lambda stage: BallPredictor())
    assert predictor.encode(np.zeros((32, 32, 32), np.float32)).patch_hu is None
    on_gpu, _ = on_card({})
    assert on_gpu.encode(np.zeros((32, 32, 32), np.float32)).patch_hu is not None


@pytest.mark.parametrize("error", [RuntimeError("sizes of tensors must match"), KeyError("x")])
def test_what_is_wrong_elsewhere_raises_and_changes_nothing(error: Exception) -> None:
    predictor, card = on_card({("cuda:0", 2): error})
    with pytest.raises(type(error)):
        clicked(predictor)
    assert (predictor.device, card.loads, predictor.take_notices()) == ("cuda:0", ["cuda:0"], ())


def test_a_device_or_bundle_that_was_never_there_is_told() -> None:
    for error in (DeviceError("not available"), BundleError("damaged")):
        with pytest.raises(type(error)):
            on_card({("cuda:0", 1): error})


def torch_without_memory() -> BaseException:
    """Return what PyTorch itself raises."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**16, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("make", [torch_without_memory, lambda: MemoryError("std::bad_alloc")])
def test_main_memory_that_runs_out_is_told_and_loses_nothing(make, device: str) -> None:
    card = Card({})
    predictor = FallbackPredictor(stages_from(device), card.load)
    session = InteractiveSession.for_volume(volume(), predictor)
    session.add_click((40.0, 44.0, 40.0))
    before = session.mask
    card.plan[device, card.calls[device] + 1] = make()
    with pytest.raises(NotEnoughMemoryError, match=r"expected .*, got .* free.*Crop Volume"):
        session.add_click((48.0, 44.0, 40.0))
    assert (len(session.clicks), predictor.device) == (1, device)
    assert np.array_equal(session.mask, before)
    session.add_click((48.0, 44.0, 40.0))
    assert len(session.clicks) == 2


def test_torch_tells_how_much_it_wanted() -> None:
    error = torch_without_memory()
    predictor, card = on_card({("cuda:0", 2): error})
    with pytest.raises(NotEnoughMemoryError, match=r"expected 10000000\.0 GB more"):
        predictor.encode(np.zeros((32, 32, 32), np.float32))
    assert card.loads == ["cuda:0"]
