"""Weights of the authors' networks: recognised by keys and shapes, checked, refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoint_case import know_micro, micro_state, save, thin_state, use_data_folder

from CTSAM3DLib.bundles.checkpoint_file import read_checkpoint
from CTSAM3DLib.bundles.importing import ImportRequest, import_official
from CTSAM3DLib.bundles.official_weights import layout, official_weights, recognise
from CTSAM3DLib.errors import CheckpointError
from CTSAM3DLib.network.official.sizes import OFFICIAL_VARIANTS

TINY = OFFICIAL_VARIANTS["tiny"]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's folder of models, which is not there yet; only a micro network is known."""
    know_micro(monkeypatch)
    return use_data_folder(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("variant", "with_cross_patch"),
    [(name, number % 2 == 0) for number, name in enumerate(OFFICIAL_VARIANTS)],
)
def test_each_variant_is_recognised(variant: str, with_cross_patch: bool, tmp_path: Path) -> None:
    state = thin_state(OFFICIAL_VARIANTS[variant])
    if not with_cross_patch:
        state = {k: v for k, v in state.items() if not k.startswith("cpp_predictor.")}
    path = save(tmp_path / "params.pth", {"model_state_dict": state})
    assert path.stat().st_size < 1_000_000
    read = read_checkpoint(path)["model_state_dict"]
    config = recognise({key: tuple(value.shape) for key, value in read.items()}, "params.pth")
    assert config.name == variant
    assert bool(config.cross_patch_widths) == with_cross_patch


def test_nearest_variant_is_named() -> None:
    shapes = {key: shape for key, (shape, _) in layout(OFFICIAL_VARIANTS["base"]).items()}
    del shapes["image_encoder.stage3.15.mlp.fc2.bias"]
    text = r"p\.pth: expected all weights .* nearest, base \(664 keys\), 1 missing: image_\S+bias$"
    with pytest.raises(CheckpointError, match=text):
        recognise(shapes, "p.pth")


def test_cross_patch_weights_in_part_are_refused() -> None:
    shapes = {key: shape for key, (shape, _) in layout(TINY).items()}
    cross_patch = [key for key in shapes if key.startswith("cpp_predictor.")]
    for key in cross_patch[1:]:
        del shapes[key]
    text = rf"{len(cross_patch) - 1} missing: cpp_.* more; the cross-patch predictor .* in part"
    with pytest.raises(CheckpointError, match=text):
        recognise(shapes, "p.pth")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_encoder.norm": torch.ones(2)}, "1 unexpected: image_encoder.norm$"),
        (
            {"mask_decoder.spade1.conv_0.weight": torch.ones(2, 1)},
            r"1 of another shape: mask_\S+ \(expected \[16, 16, 3, 3, 3\], got \[2, 1\]\)",
        ),
        ({"mask_decoder.spade1.conv_0.bias": None}, "1 missing: mask_decoder.spade1.conv_0.bias$"),
        ({"mask_decoder.spade1.conv_0.bias": 3}, "plain tensor .* got another value under mask_"),
        ({3: torch.ones(1)}, "plain tensor of numbers for each key, got another value under 3"),
    ],
)
def test_other_keys_and_shapes_are_refused_by_name(
    models: Path, change: dict, said: str, tmp_path: Path
) -> None:
    state = {k: v for k, v in {**micro_state(), **change}.items() if v is not None}
    path = save(tmp_path / "params.pth", {"model_state_dict": state})
    with pytest.raises(CheckpointError, match=said):
        import_official(ImportRequest(path))
    assert not models.exists()


KEY = "image_encoder.stem.proj.1.running_var"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), rf"NaN or infinite values in 1 of \d+ keys: {KEY}"),
        (float("inf"), rf"NaN or infinite values in 1 of \d+ keys: {KEY}"),
        (-1.0, rf"variances of 0 or more, got negative ones in 1 of \d+ keys: {KEY}"),
    ],
)
def test_weights_that_cannot_be_right_are_refused_by_name(
    models: Path, value: float, said: str
) -> None:
    state = micro_state()
    state[KEY][1] = value
    with pytest.raises(CheckpointError, match=said):
        official_weights(state, "params.pth")


def test_other_kinds_of_numbers(models: Path) -> None:
    state = micro_state()
    wide = official_weights({k: v.double() if "pe_layer" in k else v for k, v in state.items()}, "")
    assert wide.notes == ("stored as float64; converted to float32",)
    assert {v.dtype for v in wide.state.values()} == {torch.float32, torch.int64}
    whole = {**state, KEY: state[KEY].to(torch.int64)}
    with pytest.raises(CheckpointError, match=rf"{KEY} \(int64, expected float32\)"):
        official_weights(whole, "params.pth")
    large = {**state, KEY: torch.full(state[KEY].shape, 1e300, dtype=torch.float64)}
    with pytest.raises(CheckpointError, match="infinite"):
        official_weights(large, "params.pth")
    with pytest.raises(CheckpointError, match="got another value under image_"):
        official_weights({**state, KEY: state[KEY].to("meta")}, "params.pth")


def test_prefix_of_parallel_training_is_taken_off_where_all_have_it(models: Path) -> None:
    state = {f"module.{key}": value for key, value in micro_state().items()}
    weights = official_weights(state, "params.pth")
    assert list(weights.state) == list(micro_state())
    assert weights.notes == ("the prefix 'module.' of every key was taken off",)
    with pytest.raises(CheckpointError, match=r"unexpected: module\.image_encoder"):
        official_weights({**state, "other": torch.ones(1)}, "params.pth")
    with pytest.raises(CheckpointError, match=r"unexpected: module\.image_encoder"):
        official_weights({f"module.{key}": value for key, value in state.items()}, "params.pth")


def test_what_is_not_used_is_told(models: Path) -> None:
    content = {"model_state_dict": micro_state(), "epoch": 1000, "optimizer": {}}
    assert official_weights(content, "").notes == (
        "not used, though in the file: epoch, optimizer",
    )
    assert official_weights(micro_state(), "").notes == ()


@pytest.mark.parametrize("content", [3, {}, {"state_dict": {}}, {"model_state_dict": 3}, [1]])
def test_a_file_without_weights_is_refused(content: object) -> None:
    with pytest.raises(CheckpointError, match="expected weights under 'model_state_dict', or"):
        official_weights(content, "params.pth")
