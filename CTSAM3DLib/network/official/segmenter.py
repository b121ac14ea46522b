"""The official CT-SAM3D network: encoder, PSAP decoder and cross-patch predictor in one module.

Its state dict has the keys, shapes and order of the published checkpoints, so that official weights
load with nothing missing and nothing left over.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.network.cross_patch import CrossPatchPredictor
from CTSAM3DLib.network.official.decoder import MaskDecoder
from CTSAM3DLib.network.official.encoder import ResTV2Encoder
from CTSAM3DLib.network.official.sizes import OfficialConfig


class _PositionBuffer(nn.Module):
    """Random projection of official checkpoints; nothing reads it."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.zeros(3, features))


class _PromptEncoderBuffers(nn.Module):
    """What official checkpoints hold under ``prompt_encoder``: one unused buffer, no weights."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.pe_layer = _PositionBuffer(features)


class OfficialSegmenter(nn.Module):
    """Promptable segmenter of the official type; scriptable as written.

    Encode a patch once, then decode as many prompts as needed.

    Examples
    --------
    >>> from CTSAM3DLib.network.official.sizes import L1
    >>> segmenter = OfficialSegmenter(L1).eval()
    >>> with torch.inference_mode():
    ...     embedding = segmenter.encode(torch.rand(1, 1, 64, 64, 64))
    ...     logits = segmenter.decode(embedding, torch.zeros(1, 3, 64, 64, 64))
    >>> logits.shape
    torch.Size([1, 1, 64, 64, 64])
    """

    def __init__(self, config: OfficialConfig) -> None:
        super().__init__()
        self.image_encoder = ResTV2Encoder(
            config.encoder_widths,
            config.encoder_depths,
            config.attention_heads,
            config.decoder_width,
        )
        if config.position_features > 0:
            self.prompt_encoder = _PromptEncoderBuffers(config.position_features)
        self.mask_decoder = MaskDecoder(
            config.decoder_width,
            config.prompt_hidden,
            config.mask_channels,
            config.quality_hidden,
            config.prompt_resize,
        )
        if config.cross_patch_widths:
            self.cpp_predictor = CrossPatchPredictor(config.cross_patch_widths)

    @torch.jit.export
    def encode(self, patch: Tensor) -> list[Tensor]:
        """Encode an image patch (B, 1, D, H, W), its HU window scaled to [0, 1].

        Sizes are multiples of 32, at least 64; the official network is trained for 64³ only.
        Returns feature maps at scales 1/4, 1/8, 1/16 and 1/32. Raises GeometryError: another shape
        (``torch.jit.Error`` when scripted).
        """
        valid = patch.dim() == 5 and patch.size(1) == 1
        if valid:
            for axis in range(2, 5):
                valid = valid and patch.size(axis) >= 64 and patch.size(axis) % 32 == 0
        if not valid:
            rule = "(B, 1, D, H, W) with sizes that are multiples of 32, at least 64"
            raise GeometryError(f"patch: expected {rule}, got {list(patch.shape)}")
        embedding: list[Tensor] = self.image_encoder(patch)
        return embedding

    @torch.jit.export
    def decode(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """Decode one prompt (B, 3, D, H, W) per batch item into (B, 1, D, H, W) logits.

        The prompt is on the patch grid: previous mask probability (after the sigmoid), positive
        click map, negative click map. The official network's output is the sigmoid of the logits.
        Raises GeometryError: the prompt does not fit the embedding (``torch.jit.Error`` when
        scripted).
        """
        fine = embedding[0]
        expected = [fine.size(0), 3, 4 * fine.size(2), 4 * fine.size(3), 4 * fine.size(4)]
        if list(prompt.shape) != expected:
            raise GeometryError(f"prompt: expected shape {expected}, got {list(prompt.shape)}")
        logits: Tensor = self.mask_decoder(embedding, prompt)
        return logits

    def forward(self, patch: Tensor, prompt: Tensor) -> Tensor:
        """Encode and decode in one go; see :meth:`encode` and :meth:`decode`."""
        return self.decode(self.encode(patch), prompt)
