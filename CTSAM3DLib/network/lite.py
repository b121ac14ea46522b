"""The lite segmenter: convolutional encoder once a patch, PSAP decoder once a click.

Image and prompt meet only in sums, never in concatenations, so that everything that depends on the
image alone (the lateral maps) belongs to the embedding and is not computed at a click.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from CTSAM3DLib.network.blocks import PSAPBlock, ResidualBlock, prompt_pyramid
from CTSAM3DLib.network.fast.mask_fold import head_rows, upscale_rows
from CTSAM3DLib.network.fast.prompt_plan import prompt_box
from CTSAM3DLib.network.fast.rows import (
    bias_of,
    convolve_rows,
    normalise_rows,
    rows_apply,
    to_maps,
    to_rows,
)


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the lite segmenter.

    Examples
    --------
    >>> LiteConfig().widths
    (16, 32, 64, 128, 192)
    """

    # Channels at the scales 1, 1/2, 1/4, 1/8, 1/16
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    hidden: int = 24  # Hidden channels of the PSAP prompt convolutions
    image_channels: int = 2  # HU windows of the image input
    prompt_resize: str = "max"  # ``max``, ``area`` or ``trilinear``, see `prompt_pyramid`


class LiteSegmenter(nn.Module):
    """Promptable segmenter with PSAP at every decoder scale."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        w = config.widths
        self.prompt_resize = config.prompt_resize
        self.levels = len(w) - 1
        self.stem = nn.Conv3d(config.image_channels, w[0], 3, 1, 1)
        self.stem_norm = nn.InstanceNorm3d(w[0], affine=True)
        self.stages = nn.ModuleList(ResidualBlock(w[n], w[n + 1], 2) for n in range(self.levels))
        # Coarsest first, as the decoder consumes them; the finest map feeds the refinement.
        self.laterals = nn.ModuleList(
            nn.Conv3d(w[n], w[n], 1) for n in range(self.levels - 1, 0, -1)
        )
        self.fine_lateral = nn.Conv3d(w[0], w[0], 3, 1, 1)
        self.psap = nn.ModuleList(PSAPBlock(w[n], config.hidden) for n in range(self.levels, 0, -1))
        self.upscale = nn.ModuleList(
            nn.ConvTranspose3d(w[n], w[n - 1], 2, 2) for n in range(self.levels, 0, -1)
        )
        self.refine_features = nn.Conv3d(w[0], w[0], 3, 1, 1)
        self.refine_prompt = nn.Conv3d(3, w[0], 3, 1, 1)
        self.refine_norm = nn.InstanceNorm3d(w[0], affine=True)
        self.head = nn.Conv3d(w[0], 1, 3, 1, 1)

    @torch.jit.export
    def encode(self, image: Tensor) -> list[Tensor]:
        """Embed (B, image_channels, D, H, W) patches, windowed to [0, 1]; of multiples of 16."""
        if rows_apply(image, self.training):
            return self._encode_rows(image)
        x = F.leaky_relu(self.stem_norm(self.stem(image)), 0.1)
        features = [x]
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self._embedding(features)

    @torch.jit.export
    def decode(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """Decode a (B, 3, D, H, W) prompt against an embedded patch: (B, 1, D, H, W) logits.

        The prompt is mask probability, positive map and negative map, all in [0, 1].
        """
        if rows_apply(prompt, self.training):
            return self._decode_rows(embedding, prompt)
        pyramid = prompt_pyramid(prompt, self.levels, self.prompt_resize)
        x = embedding[0]
        level = self.levels
        for psap, upscale in zip(self.psap, self.upscale):  # noqa: B905 (not scriptable)
            x = upscale(psap(x, pyramid[level]))
            level -= 1
            if level > 0:
                x = x + embedding[self.levels - level]
        x = self.refine_features(x) + embedding[self.levels] + self.refine_prompt(prompt)
        logits: Tensor = self.head(F.leaky_relu(self.refine_norm(x), 0.1))
        return logits

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        """Encode and decode in one call, for training; shapes as in `encode` and `decode`."""
        return self.decode(self.encode(image), prompt)

    def _encode_rows(self, image: Tensor) -> list[Tensor]:
        """`encode` for one item without gradients, on rows."""
        rows = convolve_rows(to_rows(image), self.stem.weight, self.stem.bias, False)
        rows = normalise_rows(rows, self.stem_norm.weight, self.stem_norm.bias)[0]
        rows = F.leaky_relu(rows, 0.1, inplace=True)
        features = [to_maps(rows)]
        for stage in self.stages:
            rows = stage.forward_rows(rows)  # type: ignore[operator]
            features.append(to_maps(rows))
        return self._embedding(features)

    def _embedding(self, features: list[Tensor]) -> list[Tensor]:
        """Return the coarsest features, then the lateral maps from coarse to fine."""
        embedding = [features[self.levels]]
        level = self.levels - 1
        for lateral in self.laterals:
            embedding.append(lateral(features[level]))
            level -= 1
        embedding.append(self.fine_lateral(features[0]))
        return embedding

    def _decode_rows(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """`decode` for one item without gradients, on rows."""
        pyramid = prompt_pyramid(prompt, self.levels, self.prompt_resize)
        rows = to_rows(embedding[0])
        level = self.levels
        for psap, upscale in zip(self.psap, self.upscale):  # noqa: B905 (not scriptable)
            rows = psap.forward_rows(rows, pyramid[level])  # type: ignore[operator]
            bias = bias_of(upscale.bias)  # type: ignore[arg-type]
            rows = upscale_rows(rows, [upscale.weight, bias], None)  # type: ignore[list-item]
            level -= 1
            if level > 0:
                rows.add_(embedding[self.levels - level][0].permute(1, 2, 3, 0))
        rows = convolve_rows(rows, self.refine_features.weight, self.refine_features.bias, False)
        rows.add_(embedding[self.levels][0].permute(1, 2, 3, 0)).add_(
            bias_of(self.refine_prompt.bias)
        )
        self._add_prompt(rows, prompt)
        rows = normalise_rows(rows, self.refine_norm.weight, self.refine_norm.bias)[0]
        rows = F.leaky_relu(rows, 0.1, inplace=True)
        return head_rows(rows, self.head.weight[0], bias_of(self.head.bias))

    def _add_prompt(self, rows: Tensor, prompt: Tensor) -> None:
        """Add the convolved prompt at full resolution, inside the box where it is not zero."""
        padded, box = prompt_box(prompt)
        if box[1] > 0:
            d0, d1, h0, h1, w0, w1 = box[0], box[1], box[2], box[3], box[4], box[5]
            part = padded[d0 : d1 + 2, h0 : h1 + 2, w0 : w1 + 2]
            rows[d0:d1, h0:h1, w0:w1] += convolve_rows(part, self.refine_prompt.weight, None, True)
