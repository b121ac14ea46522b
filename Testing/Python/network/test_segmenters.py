"""Controls of the evaluation: sizes, contract, and that the same training serves them."""

from __future__ import annotations

import pytest
import torch

from CTSAM3DLib.network.segmenters import ARCHITECTURES, ConcatSegmenter, build_segmenter


def test_the_plain_network_has_the_size_that_was_measured() -> None:
    # U1 of the design: one image channel and three of the prompt.
    net = ConcatSegmenter(image_channels=1)
    assert sum(p.numel() for p in net.parameters()) == 5_104_993


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prompt_and_image_decide_the_logits(architecture: str) -> None:
    torch.manual_seed(0)
    size, windows = (64, 1) if architecture == "official" else (32, 2)
    net = build_segmenter(architecture, (4, 8, 8, 8, 8), 4, windows, "max").eval()
    image, prompt = torch.rand(1, windows, size, size, size), torch.zeros(1, 3, size, size, size)
    clicked = prompt.clone()
    clicked[0, 1, 12:20, 12:20, 12:20] = 1.0
    with torch.no_grad():
        embedding = net.encode(image)
        before = [part.clone() for part in embedding]
        plain, changed = net.decode(embedding, prompt), net.decode(embedding, clicked)
        other = net.decode(net.encode(image.flip(2)), clicked)
    assert plain.shape == (1, 1, size, size, size)
    assert not torch.allclose(plain, changed)
    assert not torch.allclose(changed, other)
    # The embedding serves later clicks too.
    assert all(torch.equal(a, b) for a, b in zip(before, embedding, strict=True))


@pytest.mark.parametrize("architecture", ["psap", "concat"])
def test_gradients_reach_every_weight(architecture: str) -> None:
    net = build_segmenter(architecture, (4, 8, 8, 8, 8), 4, 2, "max")
    net(torch.rand(1, 2, 32, 32, 32), torch.rand(1, 3, 32, 32, 32)).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_the_official_architecture_refuses_two_windows() -> None:
    with pytest.raises(ValueError, match="one HU window, got 2"):
        build_segmenter("official", (4,), 4, 2, "max")
