"""The lite network: shapes, scripting, what depends on what, PSAP against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from CTSAM3DLib.network.blocks import PSAPBlock, ResidualBlock, modulate, prompt_pyramid
from CTSAM3DLib.network.lite import LiteConfig, LiteSegmenter

SMALL = LiteConfig(widths=(4, 8, 8, 16, 16), hidden=4)


@pytest.fixture
def network() -> LiteSegmenter:
    torch.manual_seed(0)
    return LiteSegmenter(SMALL).eval()


def _prompt(size: int = 32) -> Tensor:
    prompt = torch.zeros(1, 3, size, size, size)
    prompt[0, 1, 10:13, 10:13, 10:13] = 1.0
    return prompt


def test_bundled_size_has_seven_million_parameters() -> None:
    with torch.device("meta"):
        net = LiteSegmenter(LiteConfig())
    assert sum(p.numel() for p in net.parameters()) == 7_137_553


@pytest.mark.parametrize(("batch", "shape"), [(1, (32, 32, 32)), (2, (32, 48, 64))])
def test_scripted_equals_eager(
    network: LiteSegmenter, batch: int, shape: tuple[int, int, int]
) -> None:
    scripted = torch.jit.script(network)
    image, prompt = torch.rand(batch, 2, *shape), torch.rand(batch, 3, *shape)
    with torch.inference_mode():
        eager = network.decode(network.encode(image), prompt)
        other = scripted.decode(scripted.encode(image), prompt)
    assert eager.shape == (batch, 1, *shape)
    assert float(eager.std()) > 1e-3
    assert float((eager - other).abs().max()) <= 1e-5


def test_embedding_knows_no_prompt_and_is_not_changed_by_decoding(network: LiteSegmenter) -> None:
    with torch.inference_mode():
        embedding = network.encode(torch.rand(1, 2, 32, 32, 32))
        copies = [e.clone() for e in embedding]
        first = network.decode(embedding, _prompt())
        network.decode(embedding, torch.rand(1, 3, 32, 32, 32))
        again = network.decode(embedding, _prompt())
    assert all(torch.equal(a, b) for a, b in zip(embedding, copies, strict=True))
    assert torch.equal(first, again)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_every_prompt_channel_reaches_the_output(network: LiteSegmenter, channel: int) -> None:
    image, prompt = torch.rand(1, 2, 32, 32, 32), torch.zeros(1, 3, 32, 32, 32)
    with torch.inference_mode():
        embedding = network.encode(image)
        silent = network.decode(embedding, prompt)
        prompt[0, channel, 16, 16, 16] = 1.0
        changed = (network.decode(embedding, prompt) - silent).abs()
    assert float(changed.max()) > 1e-4
    # PSAP at the coarsest scale: one voxel moves logits in the far corner too.
    assert float(changed[0, 0, :4, :4, :4].max()) > 1e-7


def test_modulate_is_the_formula() -> None:
    x, gamma_beta = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 6, 4, 5, 6)
    mean = x.mean((2, 3, 4), keepdim=True)
    variance = x.var((2, 3, 4), keepdim=True, unbiased=False)
    normal = (x - mean) / torch.sqrt(variance + 1e-5)
    y = normal * (1 + gamma_beta[:, :3]) + gamma_beta[:, 3:]
    expected = torch.where(y > 0, y, 0.2 * y)
    assert torch.allclose(modulate(x, gamma_beta), expected, atol=1e-5)


def test_psap_block_equals_two_separate_prompt_branches() -> None:
    torch.manual_seed(1)
    block, x, prompt = PSAPBlock(6, 3), torch.randn(1, 6, 8, 8, 8), torch.rand(1, 3, 8, 8, 8)
    weight, bias = block.prompt.weight, block.prompt.bias
    assert bias is not None
    hidden = [
        functional.relu(functional.conv3d(prompt, weight[s], bias[s], padding=1))
        for s in (slice(3), slice(3, 6))
    ]
    y = block.conv0(modulate(x, block.modulate0(hidden[0])))
    expected = x + block.conv1(modulate(y, block.modulate1(hidden[1])))
    assert torch.allclose(block(x, prompt), expected, atol=1e-5)


def test_residual_block_keeps_its_input_where_the_convolutions_are_silent() -> None:
    block = ResidualBlock(3, 3)
    assert block.norm1.weight is not None
    torch.nn.init.zeros_(block.norm1.weight)
    torch.nn.init.zeros_(block.norm1.bias)
    x = torch.rand(1, 3, 8, 8, 8)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("mode", "seen"), [("max", 1.0), ("area", 1 / 4096), ("trilinear", 0.0)])
def test_a_click_at_the_coarsest_scale(mode: str, seen: float) -> None:
    prompt = torch.zeros(1, 3, 64, 64, 64)
    prompt[0, 1, 20, 20, 20] = 1.0
    pyramid = prompt_pyramid(prompt, 4, mode)
    assert [p.shape[-1] for p in pyramid] == [64, 32, 16, 8, 4]
    assert float(pyramid[4][0, 1].max()) == pytest.approx(seen)
