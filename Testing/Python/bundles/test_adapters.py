"""Adapters in a bundle: the decoder with one is that with changed weights, by torch itself."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import with_random_weights

from CTSAM3DLib.bundles import adapters
from CTSAM3DLib.bundles.adapters import ADAPTERS_FILE, low_rank
from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.fallback import FallbackPredictor
from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig

CONFIG = LiteConfig((4, 8, 8, 16, 16), hidden=4)
CLICK = (np.float32([[16, 15, 14]]), np.int64([1]), None)
NAMES = {"sacrum": "pelvis", "femur_left": "pelvis", "rib_left_1": "ribs"}


def model():
    made = build_lite(CONFIG, "small", patch_size=32)
    with_random_weights(made)
    return made


def changes(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.05 * torch.randn(parameter.shape, generator=generator)
        for name, parameter in model().segmenter.named_parameters()
        if name.startswith(("psap", "head"))
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "small.pt"
    made = model()
    made.settings = replace(made.settings, adapters=NAMES)
    parts = {"pelvis": low_rank(changes(1), 999), "ribs": low_rank(changes(2), 999)}
    write_bundle(made, path, half=False, adapters=parts)
    return path


def patch() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 200, (32, 32, 32)).astype(np.float32)


@pytest.mark.parametrize(("adapter", "seed"), [("pelvis", 1), ("ribs", 2), ("", None)])
def test_an_adapter_is_a_change_of_the_weights(bundle, tmp_path, adapter, seed) -> None:
    changed = model()
    weights = changed.segmenter.state_dict()
    for name, change in ({} if seed is None else changes(seed)).items():
        weights[name] += change
    changed.segmenter.load_state_dict(weights)
    write_bundle(changed, tmp_path / "changed.pt", half=False)
    other = TorchPredictor(tmp_path / "changed.pt", "cpu")
    expected = other.decode(other.encode(patch()), *CLICK)
    ours = TorchPredictor(bundle, "cpu")
    got = ours.decode(ours.encode(patch()), *CLICK, adapter=adapter)
    np.testing.assert_allclose(got, expected, atol=0.05)  # factors are int8
    plain = ours.decode(ours.encode(patch()), *CLICK)
    assert (np.abs(plain - got).max() > 0.1) == bool(adapter)


def test_the_order_in_which_adapters_are_asked_does_not_matter(bundle) -> None:
    def answers(order):
        model = TorchPredictor(bundle, "cpu")
        embedding = model.encode(patch())
        return {name: model.decode(embedding, *CLICK, adapter=name) for name in order}

    first, second = answers(["", "pelvis", "ribs"]), answers(["ribs", "pelvis", ""])
    for name, logits in first.items():
        np.testing.assert_array_equal(logits, second[name])


def test_the_nearest_change_of_a_rank_is_kept() -> None:
    kernel = torch.randn(24, 12, 3, 3, 3, generator=torch.Generator().manual_seed(3))
    left, right = low_rank({"kernel": kernel}, 5)["kernel"]
    missed = np.linalg.norm(kernel.numpy().reshape(24, -1) - left.numpy().T @ right.numpy())
    rest = np.linalg.svd(kernel.numpy().reshape(24, -1), compute_uv=False)[5:]
    assert missed == pytest.approx(np.linalg.norm(rest), rel=1e-4)  # Eckart, Young and Mirsky


def test_what_does_not_change_is_not_kept() -> None:
    change = {"same": torch.zeros(9), "bias": torch.ones(3)}
    assert list(low_rank(change, 4)) == ["bias"]
    assert adapters.to_bytes({}) == b""


def test_a_bundle_is_read_without_numpys_arrays_in_torch(bundle, monkeypatch) -> None:
    def fails(_array: object) -> None:
        raise RuntimeError("Numpy is not available")  # torch 2.2, the last for Intel macOS

    monkeypatch.setattr(torch, "from_numpy", fails)
    assert sorted(TorchPredictor(bundle, "cpu").adapters) == ["pelvis", "ribs"]


def test_a_model_goes_on_with_the_adapter_on_the_processor(bundle) -> None:
    class Broken(TorchPredictor):
        def decode(self, *_arguments, **_options):
            raise RuntimeError("CUDA error: device-side assert")

    kinds = {"cuda": Broken, "cpu": TorchPredictor}
    model = FallbackPredictor(("cuda", "cpu"), lambda stage: kinds[stage](bundle, "cpu"))
    got = model.decode(model.encode(patch()), *CLICK, adapter="pelvis")
    plain = TorchPredictor(bundle, "cpu")
    expected = plain.decode(plain.encode(patch()), *CLICK, adapter="pelvis")
    np.testing.assert_array_equal(got, expected)


def test_a_number_is_kept_to_half_a_step_and_is_the_same_when_written_again() -> None:
    sizes = torch.tensor([1e-6, 0.1, 300.0, 0.0])[:, None]
    rows = sizes * torch.randn(4, 99, generator=torch.Generator().manual_seed(4))
    whole = torch.randn(50, generator=torch.Generator().manual_seed(5))
    content = adapters.to_bytes({"pelvis": {"kernel": (rows, rows.flip(0)), "bias": (whole,)}})
    got = adapters.from_bytes(content, Path("a.pt"))
    for read, given in zip(got["pelvis"]["kernel"], (rows, rows.flip(0)), strict=True):
        half = given.abs().amax(1, keepdim=True) / 254
        assert ((read - given).abs() <= 1.001 * half).all()
    assert (got["pelvis"]["bias"][0] - whole).abs().max() <= 1.001 * whole.abs().max() / 254
    assert adapters.to_bytes(got) == content


def content(
    *parts: tuple[object, object, object], rows: int = 1, numbers: int = 1, step: float = 1.0
) -> bytes:
    steps = np.full(rows, step, "<f4").tobytes()
    return json.dumps(parts).encode() + b"\n" + steps + b"\x7f" * numbers


HEAD = ("pelvis", "head.bias", [1])
DAMAGED = {
    "no JSON": (b"abc", "is damaged: its adapters.bin"),
    "not UTF-8": (b"\xff\xfe\n", "is damaged: its adapters.bin"),
    "deep": (b"[" * 100_000 + b"\n", "is damaged: its adapters.bin"),
    "another list": (content(("pelvis", "head.bias")), "is damaged: its adapters.bin"),
    "a number": (b"5\n", "is damaged: its adapters.bin"),
    "too few": (content(HEAD, numbers=0), "expected 5 bytes, got 4"),
    "too many": (content(HEAD, numbers=2), "expected 5 bytes, got 6"),
    "huge": (content(("pelvis", "head.bias", [10**15, 10**8])), "bytes, got 5"),
    "below zero": (content(("pelvis", "head.bias", [-1, -1])), "an array has no numbers"),
    "no number": (content(HEAD, step=np.nan), "holds NaN"),
    "too large": (content(HEAD, step=3e38), "holds NaN or infinity"),
    "many axes": (content(("pelvis", "head.bias", [1] * 65)), r"expected \(1,\)"),
    "another size": (content(("pelvis", "head.bias", [2]), numbers=2), r"expected \(1,\)"),
    "three factors": (content(HEAD, HEAD, HEAD, rows=3, numbers=3), "changes 'head.bias'"),
    "factors that do not fit": (
        content(
            ("pelvis", "head.weight", [1, 2]), ("pelvis", "head.weight", [2, 9]), rows=3, numbers=20
        ),
        "changes 'head.weight' by .* expected .1, 4, 3, 3, 3.",
    ),
    "no such parameter": (content(("pelvis", "x", [1])), "no such parameter"),
    "lacks one": (content(HEAD), r"lacks its adapters \['ribs'\]"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_adapters_are_told(bundle, tmp_path, name) -> None:
    damaged, message = DAMAGED[name]
    path = tmp_path / "damaged.pt"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(path, "w") as target:
        for record in source.infolist():
            ours = record.filename.endswith(ADAPTERS_FILE)
            target.writestr(record.filename, damaged if ours else source.read(record))
    with pytest.raises(BundleError, match=message):
        TorchPredictor(path, "cpu")


def test_a_model_without_adapters_need_not_have_a_segmenter() -> None:
    adapters.check_fit({}, object(), Path("other.pt"))
    with pytest.raises(BundleError, match="no such parameter"):
        adapters.check_fit({"a": {"x": (torch.ones(1),)}}, object(), Path("other.pt"))
