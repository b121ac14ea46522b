"""Official network family: checkpoint layout, the plain oracle, scripting, and PSAP invariants."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import operator
import zipfile
from pathlib import Path

import numpy as np
import plain_official
import pytest
import torch
from checkpoint_case import MICRO
from random_weights import float64_weights, with_random_weights
from torch.nn import functional

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.network.official.decoder import OfficialPSAPBlock, PromptNorm
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import L1, OFFICIAL_VARIANTS, OfficialConfig
from CTSAM3DLib.network.prompt_maps import resize_prompt

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

KEYS_FILE = Path(__file__).parents[2] / "data" / "official_keys.json.gz"
PROMPT_MAPS = ("mask", "positive", "negative")
NARROW_L1 = dataclasses.replace(
    L1, name="narrow l1", encoder_widths=(8, 16, 32, 64), decoder_width=16, prompt_hidden=8
)
NAME = operator.attrgetter("name")
PARAMETERS = {
    "tiny": (36_935_344, 32_279_876, 74_022_482),
    "small": (47_655_856, 32_279_876, 84_742_994),
    "base": (62_362_096, 32_279_876, 99_449_234),
    "large": (98_206_528, 32_279_876, 135_293_666),
}


def parameter_count(module):
    return sum(p.numel() for p in module.parameters())


def gaussian_click(*centers_kji, size=(64, 64, 64)):
    """Clicks as the official network sees them: Gaussians of sigma 2 voxels with peak 1."""
    grid = np.indices(size)
    total = np.zeros(size)
    for center in centers_kji:
        squared = sum((grid[axis] - center[axis]) ** 2 for axis in range(3))
        total = np.maximum(total, np.exp(-squared / 8.0))
    return total[None, None]


def as_prompt(mask, positive, negative):
    return torch.from_numpy(np.concatenate([mask, positive, negative], axis=1))


@pytest.fixture(scope="module")
def segmenter():
    return with_random_weights(OfficialSegmenter(MICRO))


@pytest.fixture(scope="module")
def patch():
    noise = torch.rand(2, 1, 64, 64, 64, generator=torch.Generator().manual_seed(1))
    return functional.avg_pool3d(noise, 5, 1, 2)


@pytest.fixture(scope="module")
def embedding(segmenter, patch):
    with torch.no_grad():
        return [m.detach() for m in segmenter.encode(patch)]


@pytest.fixture(scope="module")
def prompt():
    clicks = as_prompt(
        np.zeros((1, 1, 64, 64, 64)), gaussian_click((20, 30, 41)), gaussian_click((40, 10, 9))
    ).float()
    mask = torch.sigmoid(torch.linspace(-6, 6, 64)).expand(1, 1, 64, 64, 64)
    return torch.cat([clicks, torch.cat([mask, clicks[:, 1:]], dim=1)])


# --- checkpoint layout -------------------------------------------------------------------------


@pytest.mark.parametrize("variant", list(OFFICIAL_VARIANTS))
def test_state_dict_has_the_official_keys_shapes_types_and_order(variant):
    official = json.loads(gzip.decompress(KEYS_FILE.read_bytes()))[variant]
    with torch.device("meta"):
        state = OfficialSegmenter(OFFICIAL_VARIANTS[variant]).state_dict()
    layout = [[key, list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()]
    assert layout == official


@pytest.mark.parametrize("variant", list(OFFICIAL_VARIANTS))
def test_parameter_counts_are_the_published_ones(variant):
    with torch.device("meta"):
        network = OfficialSegmenter(OFFICIAL_VARIANTS[variant])
    parts = (network.image_encoder, network.mask_decoder, network)
    assert tuple(parameter_count(part) for part in parts) == PARAMETERS[variant]
    assert parameter_count(network.cpp_predictor) == 4_807_262


def test_l1_has_five_million_parameters_and_only_what_it_uses():
    with torch.device("meta"):
        network = OfficialSegmenter(L1)
    both = parameter_count(network.image_encoder) + parameter_count(network.mask_decoder)
    assert both == 5_001_553
    unused = ("iou_prediction_head", "positional_encoding")
    assert not [k for k in network.state_dict() if any(u in k for u in unused)]


def test_checkpoint_of_one_variant_does_not_fit_another():
    with torch.device("meta"):
        tiny = OfficialSegmenter(OFFICIAL_VARIANTS["tiny"])
        small = OfficialSegmenter(OFFICIAL_VARIANTS["small"])
    with pytest.raises(RuntimeError, match=r"stage3\.6"):
        small.load_state_dict(tiny.state_dict(), assign=True)


# --- the same numbers as the plain oracle ------------------------------------------------------


@pytest.mark.slow
def test_encoder_and_decoder_equal_the_plain_oracle_on_a_patch_with_unequal_sides():
    network = with_random_weights(OfficialSegmenter(MICRO)).double()
    rng = np.random.default_rng(2)
    shape = (64, 96, 64)
    image = rng.random((1, 1, *shape))
    mask = 1.0 / (1.0 + np.exp(-(np.indices(shape)[2] - 30.0) / 3.0))[None, None]
    positive = gaussian_click((20, 71, 41), (31, 33, 12), size=shape)
    negative = gaussian_click((40, 10, 9), size=shape)
    weights = float64_weights(network)
    expected_maps = plain_official.encode(weights, image, MICRO.attention_heads)
    expected = plain_official.decode(weights, expected_maps, mask, positive, negative)[:, :1]
    with torch.inference_mode():
        maps = network.encode(torch.from_numpy(image))
        logits = network.decode(maps, as_prompt(mask, positive, negative)).numpy()
    for ours, plain in zip(maps, expected_maps, strict=True):
        assert plain.std() > 0.1
        np.testing.assert_allclose(ours.numpy(), plain, atol=1e-9)
    assert expected.std() > 0.3
    np.testing.assert_allclose(logits, expected, atol=1e-9)


def test_feature_maps_are_quarter_to_thirty_second_of_the_patch(embedding):
    shapes = [tuple(m.shape) for m in embedding]
    assert shapes == [(2, 8, n, n, n) for n in (16, 8, 4)] + [(2, 16, 2, 2, 2)]


@pytest.mark.parametrize("mode", ["trilinear", "area", "max"])
@pytest.mark.parametrize("size", [(2, 3, 2), (8, 12, 8), (32, 48, 32)])
def test_prompt_resizing_equals_the_plain_oracle(mode, size):
    prompt = np.random.default_rng(4).random((2, 3, 64, 96, 64))
    ours = resize_prompt(torch.from_numpy(prompt), list(size), mode).numpy()
    if mode == "trilinear":
        expected = plain_official.resize_trilinear(prompt, size)
    else:
        expected = plain_official.resize_blocks(prompt, size, mode)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


# --- scripting ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["max", "area"])
@pytest.mark.parametrize("sizes", [NARROW_L1, L1], ids=NAME)
def test_scripted_equals_eager_for_batches_of_one_and_two(patch, prompt, sizes, mode):
    network = with_random_weights(OfficialSegmenter(dataclasses.replace(sizes, prompt_resize=mode)))
    scripted = torch.jit.script(network)
    with torch.inference_mode():
        eager = network.decode(network.encode(patch), prompt)
        assert eager.std() > 0.1
        both = scripted.decode(scripted.encode(patch), prompt)
        one = scripted.decode(scripted.encode(patch[1:]), prompt[1:])
    torch.testing.assert_close(both, eager, atol=1e-5, rtol=0.0)
    # One item goes another way than two: probabilities, not logits, agree to 1e-5.
    torch.testing.assert_close(one.sigmoid(), eager[1:].sigmoid(), atol=1e-5, rtol=0.0)


@pytest.mark.slow
def test_scripted_tiny_equals_eager(patch, prompt):
    network = with_random_weights(OfficialSegmenter(OFFICIAL_VARIANTS["tiny"]))
    scripted = torch.jit.script(network)
    with torch.inference_mode():
        eager = torch.sigmoid(network(patch[:1], prompt[1:]))
        result = torch.sigmoid(scripted.decode(scripted.encode(patch[:1]), prompt[1:]))
    assert eager.std() > 0.1
    torch.testing.assert_close(result, eager, atol=1e-5, rtol=0.0)


@pytest.mark.slow
def test_saved_file_holds_no_operator_that_older_versions_lack(segmenter):
    """Scripted ``interpolate`` would name operators of the newest PyTorch only."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(segmenter), buffer)
    with zipfile.ZipFile(buffer) as archive:
        sources = [archive.read(n).decode() for n in archive.namelist() if n.endswith(".py")]
    assert any("upsample_trilinear3d" in source for source in sources)
    assert not any("interpolate" in source for source in sources)


def test_training_reaches_every_weight_that_inference_uses(patch, prompt):
    network = OfficialSegmenter(MICRO).train()
    network(patch, prompt).square().mean().backward()
    untouched = {n for n, p in network.named_parameters() if p.grad is None}
    assert {n.split(".")[0] for n in untouched} == {"cpp_predictor", "mask_decoder"}
    assert all("iou" in n for n in untouched if n.startswith("mask_decoder"))
    head = network.mask_decoder.mask_prediction_head[0].weight.grad
    assert head[0].abs().max() > 0.0
    assert head[1].abs().max() == 0.0


# --- invariants of prompting -------------------------------------------------------------------


def test_psap_without_scale_and_shift_is_a_plain_instance_norm_block():
    block = with_random_weights(OfficialPSAPBlock(6, prompt_hidden=4))
    with torch.no_grad():
        for norm in (block.norm_0, block.norm_1):
            for conv in (norm.mlp_gamma, norm.mlp_beta):
                conv.weight.zero_()
                conv.bias.zero_()
    x = torch.rand(2, 6, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = x
    for conv in (block.conv_0, block.conv_1):
        mean, variance = expected.mean((2, 3, 4), True), expected.var((2, 3, 4), False, True)
        expected = conv(functional.leaky_relu((expected - mean) / (variance + 1e-5).sqrt(), 0.2))
    with torch.inference_mode():
        for prompt in (torch.zeros(2, 3, 16, 16, 16), torch.rand(2, 3, 16, 16, 16)):
            torch.testing.assert_close(block(x, prompt), x + expected, atol=1e-5, rtol=0.0)


def test_one_prompt_voxel_changes_a_norm_in_its_5x5x5_neighbourhood_only():
    norm = with_random_weights(PromptNorm(4, prompt_hidden=4))
    x = torch.rand(1, 4, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    prompt = torch.zeros(1, 3, 12, 12, 12)
    with torch.inference_mode():
        before = norm(x, prompt)
        prompt[0, 1, 5, 6, 4] = 1.0
        changed = (norm(x, prompt) != before).any(dim=1)[0].nonzero()
    assert changed.min(dim=0).values.tolist() == [3, 4, 2]
    assert changed.max(dim=0).values.tolist() == [7, 8, 6]


@pytest.mark.parametrize(("kept", "kept_name"), list(enumerate(PROMPT_MAPS)))
def test_prompt_channels_are_mask_positive_negative_in_this_order(kept, kept_name):
    """With only the weights of one prompt channel left, only that map moves the answer."""
    block = with_random_weights(OfficialPSAPBlock(4, prompt_hidden=4))
    with torch.no_grad():
        for norm in (block.norm_0, block.norm_1):
            norm.mlp_shared[0].weight[:, [c for c in range(3) if c != kept]] = 0.0
    maps = {
        "mask": np.ones((1, 1, 16, 16, 16)),
        "positive": gaussian_click((4, 8, 3), size=(16, 16, 16)),
        "negative": gaussian_click((11, 9, 12), size=(16, 16, 16)),
    }
    x = torch.rand(1, 4, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        full = block(x, as_prompt(**maps).float())
        for name, one_map in maps.items():
            without = as_prompt(**{**maps, name: np.zeros_like(one_map)}).float()
            moved = bool((block(x, without) != full).any())
            assert moved == (name == kept_name), name


@pytest.mark.parametrize("channel", [1, 2], ids=["positive", "negative"])
def test_a_click_moves_the_logits_most_where_it_is(segmenter, embedding, channel):
    """The prompt's own part of the answer is local; instance norms spread only a small rest."""
    center = (22, 36, 43)
    maps = [m[:1] for m in embedding]
    empty = torch.zeros(1, 3, 64, 64, 64)
    clicked = empty.clone()
    clicked[:, channel] = torch.from_numpy(gaussian_click(center)[:, 0]).float()
    with torch.inference_mode():
        change = (segmenter.decode(maps, clicked) - segmenter.decode(maps, empty)).abs()[0, 0]
    near = tuple(slice(c - 8, c + 9) for c in center)
    far = torch.ones_like(change, dtype=torch.bool)
    far[tuple(slice(max(c - 24, 0), c + 25) for c in center)] = False
    assert change[near].mean() > 3.0 * change[far].mean()


def test_trilinear_prompts_lose_a_central_click_at_coarse_scales_and_max_does_not():
    """The official aliasing flaw, with the measured values, and its cure."""
    click = torch.from_numpy(gaussian_click((32, 32, 32)))
    scales = [2, 4, 8, 16, 32]
    peaks = {
        mode: [float(resize_prompt(click, [n] * 3, mode).max()) for n in scales]
        for mode in ("trilinear", "max")
    }
    assert peaks["trilinear"] == pytest.approx([0.0, 0.0, 0.012, 0.41, 0.83], abs=0.005)
    assert peaks["max"] == [1.0] * 5


def test_second_mask_channel_and_quality_head_have_no_say(embedding, prompt):
    network = with_random_weights(OfficialSegmenter(MICRO))
    with torch.inference_mode():
        before = network.decode(embedding, prompt)
        head = network.mask_decoder.mask_prediction_head[0]
        head.weight[1] += 1.0
        head.bias[1] += 1.0
        for layer in network.mask_decoder.iou_prediction_head.layers:
            layer.weight += 1.0
        assert torch.equal(network.decode(embedding, prompt), before)
        head.bias[0] += 1.0
        torch.testing.assert_close(network.decode(embedding, prompt), before + 1.0)


def test_decoding_leaves_the_embedding_untouched(segmenter, embedding, prompt):
    copies = [m.clone() for m in embedding]
    with torch.inference_mode():
        segmenter.decode(embedding, prompt)
    assert all(torch.equal(a, b) for a, b in zip(embedding, copies, strict=True))


# --- refused input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 2, 64, 64, 64), (1, 1, 48, 64, 64), (1, 1, 64, 64, 32), (1, 64, 64, 64)]
)
def test_patches_of_other_shapes_are_refused(segmenter, shape):
    with pytest.raises(GeometryError, match="multiples of 32, at least 64, got"):
        segmenter.encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 2, 64, 64, 64), (1, 3, 64, 64, 64), (2, 3, 32, 32, 32)])
def test_prompts_that_do_not_fit_the_embedding_are_refused(segmenter, embedding, shape):
    expected = r"expected shape \[2, 3, 64, 64, 64\], got"
    with pytest.raises(GeometryError, match=expected):
        segmenter.decode(embedding, torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_resize": "nearest"}, "one of 'trilinear', 'area', 'max', got 'nearest'"),
        ({"decoder_width": 66}, "multiple of 4, got 66"),
        ({"encoder_widths": (96, 191, 384, 768)}, "multiple of 2 heads, got 191"),
    ],
)
def test_inconsistent_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        OfficialConfig(**change)


def test_unknown_resize_mode_is_refused():
    with pytest.raises(ValueError, match="got nearest"):
        resize_prompt(torch.zeros(1, 3, 4, 4, 4), [2, 2, 2], "nearest")
