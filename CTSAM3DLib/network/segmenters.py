"""Controls: networks that the PSAP segmenter has to beat at equal compute.

They answer the same questions, ``encode`` once a patch and ``decode`` once a click, so that the
same training and the same evaluation serve all.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from CTSAM3DLib.network.blocks import ResidualBlock
from CTSAM3DLib.network.lite import LiteConfig, LiteSegmenter
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import L1

ARCHITECTURES = ("psap", "concat", "official")
CONCAT_WIDTHS = (16, 32, 64, 128, 256)


class ConcatSegmenter(nn.Module):
    """Plain residual U-Net that reads image and prompt as channels of one input (control U1).

    Nothing can be computed before the click: the whole network runs at each. `widths` are channels
    at the scales 1, 1/2, 1/4, 1/8, 1/16; `image_channels` the HU windows.
    """

    def __init__(self, widths: tuple[int, ...] = CONCAT_WIDTHS, image_channels: int = 2) -> None:
        super().__init__()
        w = widths
        self.first = ResidualBlock(image_channels + 3, w[0], 1)
        self.stages = nn.ModuleList(ResidualBlock(a, b, 2) for a, b in pairwise(w))
        finer = list(zip(w[::-1], w[-2::-1], strict=False))
        self.upscale = nn.ModuleList(nn.ConvTranspose3d(a, b, 2, 2) for a, b in finer)
        self.merge = nn.ModuleList(nn.Conv3d(2 * b, b, 3, 1, 1) for _, b in finer)
        self.norms = nn.ModuleList(nn.InstanceNorm3d(b, affine=True) for _, b in finer)
        self.head = nn.Conv3d(w[0], 1, 1)

    @torch.jit.export
    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the (B, image_channels, D, H, W) image itself; sizes are multiples of 16."""
        return [image]

    @torch.jit.export
    def decode(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """Run the network on an image and a (B, 3, D, H, W) prompt: (B, 1, D, H, W) logits."""
        x = self.first(torch.cat([embedding[0], prompt], 1))
        features = [x]
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        level = len(features) - 2
        for upscale, merge, norm in zip(self.upscale, self.merge, self.norms):  # noqa: B905
            x = torch.cat([upscale(x), features[level]], 1)
            x = F.leaky_relu(norm(merge(x)), 0.1)
            level -= 1
        logits: Tensor = self.head(x)
        return logits

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        """Encode and decode in one call."""
        return self.decode(self.encode(image), prompt)


Segmenter: TypeAlias = LiteSegmenter | ConcatSegmenter | OfficialSegmenter
"""What can be trained: ``encode`` an image, ``decode`` prompts."""


def build_segmenter(
    architecture: str,
    widths: tuple[int, ...],
    hidden: int,
    image_channels: int,
    prompt_resize: str,
) -> Segmenter:
    """Build a segmenter with random weights for training.

    ``psap`` is our own; ``concat`` the plain U-Net; ``official`` the official architecture in small
    (control L1), with widths of its own, one HU window and patches of 64 voxels. The sizes are
    those of `LiteConfig`. Raises ValueError: unknown architecture, or one that cannot have these
    settings.

    Examples
    --------
    >>> build_segmenter("unet", (4, 4, 8), 4, 1, "max")
    Traceback (most recent call last):
    ...
    ValueError: architecture: expected one of psap, concat, official, got 'unet'
    """
    if architecture == "psap":
        return LiteSegmenter(LiteConfig(widths, hidden, image_channels, prompt_resize))
    if architecture == "concat":
        return ConcatSegmenter(widths, image_channels)
    if architecture == "official":
        if image_channels != 1:
            raise ValueError(f"the official architecture has one HU window, got {image_channels}")
        return OfficialSegmenter(L1)
    expected = ", ".join(ARCHITECTURES)
    raise ValueError(f"architecture: expected one of {expected}, got {architecture!r}")
