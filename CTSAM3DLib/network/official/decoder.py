"""PSAP mask decoder: the prompt shapes the features at every scale, then one mask comes out.

Progressive, spatially aligned prompting (PSAP): before each convolution the features are instance
normalised and then scaled and shifted, voxel by voxel, by what small convolutions read from the
prompt resized to that scale (SPADE, Park et al. 2019). Attribute names follow the official
checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from CTSAM3DLib.network.fast.mask_fold import fused_tail, upscale_rows
from CTSAM3DLib.network.fast.prompt_norm import NormWeights, box_cost, modulate_rows
from CTSAM3DLib.network.fast.prompt_plan import plan_prompt
from CTSAM3DLib.network.fast.rows import bias_of, convolve_rows, rows_apply, to_rows
from CTSAM3DLib.network.prompt_maps import resize_prompt

PROMPT_CHANNELS = 3
"""Previous mask probability, positive click map, negative click map, in this order."""


class PromptNorm(nn.Module):
    """Instance norm whose scale and shift are convolved from the prompt, voxel by voxel.

    Of `width` feature channels C, with `prompt_hidden` channels between the prompt and both.
    """

    def __init__(self, width: int, prompt_hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(
            nn.Conv3d(PROMPT_CHANNELS, prompt_hidden, 3, padding=1), nn.ReLU()
        )
        self.mlp_gamma = nn.Conv3d(prompt_hidden, width, 3, padding=1)
        self.mlp_beta = nn.Conv3d(prompt_hidden, width, 3, padding=1)

    def forward(self, features: Tensor, prompt: Tensor) -> Tensor:
        """Normalise (B, C, d, h, w) features under a prompt (B, 3, d, h, w) of the same grid."""
        normalised = functional.instance_norm(features, eps=1e-5)
        hidden: Tensor = self.mlp_shared(prompt)
        modulated: Tensor = normalised * (1.0 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
        return modulated

    def weights(self) -> NormWeights:
        """Hand out the weights for `modulate_rows`."""
        hidden, gamma, beta = self.mlp_shared[0], self.mlp_gamma, self.mlp_beta
        return NormWeights(
            hidden.weight,  # type: ignore[arg-type]
            bias_of(hidden.bias),  # type: ignore[arg-type]
            gamma.weight,
            bias_of(gamma.bias) + 1.0,
            beta.weight,
            bias_of(beta.bias),
        )


class OfficialPSAPBlock(nn.Module):
    """Residual block of two prompt-conditioned norms, each followed by a 3³ convolution."""

    def __init__(self, width: int, prompt_hidden: int, prompt_resize: str = "trilinear") -> None:
        super().__init__()
        self.prompt_resize = prompt_resize
        self.conv_0 = nn.Conv3d(width, width, 3, padding=1)
        self.conv_1 = nn.Conv3d(width, width, 3, padding=1)
        self.norm_0 = PromptNorm(width, prompt_hidden)
        self.norm_1 = PromptNorm(width, prompt_hidden)

    def forward(self, features: Tensor, prompt: Tensor) -> Tensor:
        """Return (B, C, d, h, w) from features of that shape and a prompt of any larger size."""
        size = [features.size(2), features.size(3), features.size(4)]
        prompt = resize_prompt(prompt, size, self.prompt_resize)
        change: Tensor = self.norm_0(features, prompt)
        change = self.conv_0(functional.leaky_relu(change, 0.2))
        change = self.norm_1(change, prompt)
        change = self.conv_1(functional.leaky_relu(change, 0.2))
        return features + change

    def forward_rows(self, rows: Tensor, prompt: Tensor) -> Tensor:
        """`forward` on rows (D, H, W, C), see `CTSAM3DLib.network.fast.rows`."""
        size = [rows.size(0), rows.size(1), rows.size(2)]
        first = self.norm_0.weights()
        plan = plan_prompt(resize_prompt(prompt, size, self.prompt_resize), box_cost(first))
        change = modulate_rows(rows, plan, first, 0.2)
        weight, bias = self.conv_0.weight, self.conv_0.bias
        change = convolve_rows(change, weight, bias, False, in_place=True)
        change = modulate_rows(change, plan, self.norm_1.weights(), 0.2, in_place=True)
        weight, bias = self.conv_1.weight, self.conv_1.bias
        change = convolve_rows(change, weight, bias, False, in_place=True)
        return change.add_(rows)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each voxel of (B, C, D, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each voxel's channel vector; same shape out."""
        rows = features.permute(0, 2, 3, 4, 1)  # B D H W C
        rows = functional.layer_norm(rows, [rows.size(4)], self.weight, self.bias, 1e-6)
        return rows.permute(0, 4, 1, 2, 3)


class Upscale(nn.Module):
    """Double the grid: transposed 2³ convolution of stride 2, channel norm, exact GELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.cna = nn.Sequential(
            nn.ConvTranspose3d(width_in, width_out, 2, stride=2),
            ChannelNorm(width_out),
            nn.GELU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C_in, d, h, w) -> (B, C_out, 2d, 2h, 2w)."""
        output: Tensor = self.cna(features)
        return output

    def weights(self) -> list[Tensor]:
        """Hand out the weights for `upscale_rows` and `fused_tail`."""
        transposed, norm = self.cna[0], self.cna[1]
        bias = bias_of(transposed.bias)  # type: ignore[arg-type]
        return [transposed.weight, bias, norm.weight, norm.bias]  # type: ignore[list-item]


class FirstChannelConv(nn.Conv3d):
    """A biased 3³ convolution of which only output channel 0 is ever computed.

    Official checkpoints hold two mask channels; the second is never used.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__(width, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, 1, D, H, W)."""
        bias = self.bias
        if bias is not None:
            bias = bias[:1]
        return functional.conv3d(features, self.weight[:1], bias, padding=1)


class QualityHead(nn.Module):
    """Weights of the official mask quality head, held so that checkpoints load whole.

    No training loss of the official model reaches this head, so it has nothing to say and no
    ``forward``.
    """

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)]
        )


class MaskDecoder(nn.Module):
    """Five PSAP blocks from 1/32 to 1/2 of the patch, with skips up to 1/4, and the mask head.

    The sizes are those of `OfficialConfig`: `width` channels at scales 1/32 to 1/4, half of them at
    1/2, a quarter at full resolution.
    """

    def __init__(
        self,
        width: int,
        prompt_hidden: int,
        mask_channels: int = 2,
        quality_hidden: int = 256,
        prompt_resize: str = "trilinear",
    ) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.upscale1 = Upscale(width, half)
        self.upscale2 = Upscale(width, half)
        self.upscale3 = Upscale(width, half)
        self.upscale4 = Upscale(width, half)
        self.upscale5 = Upscale(half, quarter)
        self.spade1 = OfficialPSAPBlock(width, prompt_hidden, prompt_resize)
        self.spade2 = OfficialPSAPBlock(width, prompt_hidden, prompt_resize)
        self.spade3 = OfficialPSAPBlock(width, prompt_hidden, prompt_resize)
        self.spade4 = OfficialPSAPBlock(width, prompt_hidden, prompt_resize)
        self.spade5 = OfficialPSAPBlock(half, prompt_hidden, prompt_resize)
        self.mask_prediction_head = nn.Sequential(FirstChannelConv(quarter, mask_channels))
        if quality_hidden > 0:
            self.iou_prediction_head = QualityHead(quarter, quality_hidden, mask_channels)

    def features(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """Full-resolution features (B, width / 4, D, H, W) before the mask head."""
        features: Tensor = self.upscale1(self.spade1(embedding[3], prompt))
        features = torch.cat([features, embedding[2]], dim=1)
        features = self.upscale2(self.spade2(features, prompt))
        features = torch.cat([features, embedding[1]], dim=1)
        features = self.upscale3(self.spade3(features, prompt))
        features = torch.cat([features, embedding[0]], dim=1)
        features = self.upscale4(self.spade4(features, prompt))
        full: Tensor = self.upscale5(self.spade5(features, prompt))
        return full

    def forward(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """Decode a prompt (B, 3, D, H, W) into (B, 1, D, H, W) logits of the mask channel.

        The prompt is previous mask probability, positive clicks, negative clicks; the embedding has
        maps at scales 1/4, 1/8, 1/16, 1/32.
        """
        if rows_apply(prompt, self.training):
            return self._forward_rows(embedding, prompt)
        logits: Tensor = self.mask_prediction_head(self.features(embedding, prompt))
        return logits

    def _forward_rows(self, embedding: list[Tensor], prompt: Tensor) -> Tensor:
        """`forward` for one item without gradients, on rows: several times faster."""
        rows = self.spade1.forward_rows(to_rows(embedding[3]), prompt)
        rows = upscale_rows(rows, self.upscale1.weights(), embedding[2])
        rows = self.spade2.forward_rows(rows, prompt)
        rows = upscale_rows(rows, self.upscale2.weights(), embedding[1])
        rows = self.spade3.forward_rows(rows, prompt)
        rows = upscale_rows(rows, self.upscale3.weights(), embedding[0])
        rows = self.spade4.forward_rows(rows, prompt)
        rows = upscale_rows(rows, self.upscale4.weights(), None)
        rows = self.spade5.forward_rows(rows, prompt)
        head = self.mask_prediction_head[0]
        bias = bias_of(head.bias)[:1]  # type: ignore[arg-type]
        kernel = head.weight[0]  # type: ignore[index]
        return fused_tail(rows, self.upscale5.weights(), kernel, bias)
