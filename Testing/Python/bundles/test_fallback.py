"""A click is answered although the device of the model fails; the user is told once."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from failing_gpu import (
    CLICKS,
    GONE,
    HALF,
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
    ({("cuda:0", 1): OOM(NO_MEMORY)}, "cuda:0 in half precision"),
    ({("cuda:0", 2): OOM(NO_MEMORY)}, "cuda:0 in half precision"),
    ({("cuda:0", 4): RuntimeError(SCRIPTED)}, "cuda:0 in half precision"),
    ({("cuda:0", 3): RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")}, "cuda:0 in half "),
    ({("cuda:0", 2): OOM(NO_MEMORY), ("cuda:0 in half precision", 2): OOM(NO_MEMORY)}, "cpu"),
    ({("cuda:0", 2): OOM(NO_MEMORY), ("cuda:0 in half precision", 1): OOM(NO_MEMORY)}, "cpu"),
    ({("cuda:0", 2): OOM(NO_MEMORY), ("cuda:0 in half precision", 4): OOM(NO_MEMORY)}, "cpu"),
    ({("cuda:0", 3): OOM(NO_MEMORY), ("cuda:0 in half precision", 3): float("nan")}, "cpu"),
    *(({("cuda:0", 1 + n): RuntimeError(text)}, "cpu") for n, text in enumerate(GONE)),
]


@pytest.mark.parametrize(("plan", "device"), ERRORS)
def test_no_click_is_lost(plan, device: str) -> None:
    predictor, card = on_card(plan)
    session = clicked(predictor)
    assert not plan, "not all errors came"
    assert predictor.device.startswith(device)
    assert np.array_equal(session.mask, clicked(BallPredictor()).mask)
    assert len(session.clicks) == len(CLICKS)
    assert len(card.loads) == len(set(card.loads))


def test_memory_leads_to_half_precision_and_then_to_the_processor() -> None:
    predictor, card = on_card({("cuda:0", 2): OOM(NO_MEMORY)})
    session = clicked(predictor)
    assert predictor.take_notices() == (f"The graphics card has too little free memory: {HALF}",)
    card.plan["cuda:0 in half precision", card.calls["cuda:0 in half precision"] + 1] = OOM(
        "CUDA out of memory"
    )
    session.add_click((60.0, 44.0, 40.0))
    assert predictor.take_notices() == (
        f"The graphics card has too little free memory: {PROCESSOR}",
    )
    assert predictor.take_notices() == ()
    assert card.loads == ["cuda:0", "cuda:0 in half precision", "cpu"]


def test_two_steps_in_one_click_are_one_sentence() -> None:
    predictor, _ = on_card(
        {("cuda:0", 2): OOM(NO_MEMORY), ("cuda:0 in half precision", 3): OOM(NO_MEMORY)}
    )
    clicked(predictor)
    (sentence,) = predictor.take_notices()
    assert sentence.endswith(PROCESSOR)


@pytest.mark.parametrize("text", GONE)
def test_a_lost_card_leads_to_the_processor_at_once(text: str) -> None:
    predictor, card = on_card({("cuda:0", 3): RuntimeError(text)})
    clicked(predictor)
    (sentence,) = predictor.take_notices()
    assert sentence.startswith("The graphics card failed (")
    assert sentence.endswith(PROCESSOR)
    assert "\n" not in sentence
    assert "TorchScript" not in sentence
    assert card.loads == ["cuda:0", "cpu"]


def test_half_precision_that_gives_no_numbers_is_not_believed() -> None:
    predictor, _ = on_card(
        {("cuda:0", 3): OOM(NO_MEMORY), ("cuda:0 in half precision", 3): float("inf")}
    )
    clicked(predictor)
    assert predictor.take_notices() == (
        f"Half precision does not suffice for this model: {PROCESSOR}",
    )


def test_an_embedding_of_an_earlier_stage_is_made_anew_once() -> None:
    predictor, card = on_card({("cuda:0", 3): OOM(NO_MEMORY)})
    patch = np.zeros((32, 32, 32), np.float32)
    embedding = predictor.encode(patch)
    points, labels = np.array([[16, 16, 16]], np.float32), np.array([1])
    answers = [predictor.decode(embedding, points, labels, None) for _ in range(3)]
    half = card.predictors["cuda:0 in half precision"]
    assert (half.encode_calls, half.decode_calls) == (1, 3)
    assert np.array_equal(half.encoded[0], patch)
    assert np.array_equal(answers[0], answers[2])


def test_the_device_holds_nothing_of_the_stage_before() -> None:
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


def test_a_card_that_vanishes_before_half_precision_is_loaded() -> None:
    predictor, card = on_card(
        {
            ("cuda:0", 2): OOM(NO_MEMORY),
            ("cuda:0 in half precision", 1): DeviceError("0 CUDA devices were found"),
        }
    )
    clicked(predictor)
    assert (predictor.device, card.loads[-1]) == ("cpu", "cpu")


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
    predictor = FallbackPredictor(stages_from("cpu"), lambda stage: BallPredictor())
    error = torch_without_memory()
    with pytest.raises(NotEnoughMemoryError, match=r"expected 10000000\.0 GB more"):
        predictor._run(lambda model: (_ for _ in ()).throw(error))
