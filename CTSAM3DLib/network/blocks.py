"""Building blocks of the lite network: residual block, PSAP block, prompt pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from CTSAM3DLib.network.fast.prompt_norm import NormWeights, modulate_rows
from CTSAM3DLib.network.fast.prompt_plan import plan_prompt
from CTSAM3DLib.network.fast.rows import bias_of, convolve_rows, normalise_rows, to_maps
from CTSAM3DLib.network.prompt_maps import resize_prompt


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with instance norm and a shortcut; the first and it stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv0 = nn.Conv3d(in_channels, out_channels, 3, stride, 1)
        self.norm0 = nn.InstanceNorm3d(out_channels, affine=True)
        self.conv1 = nn.Conv3d(out_channels, out_channels, 3, 1, 1)
        self.norm1 = nn.InstanceNorm3d(out_channels, affine=True)
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels or stride > 1:
            self.shortcut = nn.Conv3d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, D, H, W) to (B, out, D/stride, H/stride, W/stride)."""
        y = F.leaky_relu(self.norm0(self.conv0(x)), 0.1)
        y = self.norm1(self.conv1(y))
        return F.leaky_relu(y + self.shortcut(x), 0.1)

    def forward_rows(self, rows: Tensor) -> Tensor:
        """`forward` on rows (D, H, W, in), see `CTSAM3DLib.network.fast.rows`."""
        y = convolve_rows(rows, self.conv0.weight, self.conv0.bias, False, self.stride)
        y = normalise_rows(y, self.norm0.weight, self.norm0.bias)[0]
        y = F.leaky_relu(y, 0.1, inplace=True)
        y = convolve_rows(y, self.conv1.weight, self.conv1.bias, False)
        y = normalise_rows(y, self.norm1.weight, self.norm1.bias)[0]
        maps: Tensor = self.shortcut(to_maps(rows))
        return F.leaky_relu(y.add_(maps[0].permute(1, 2, 3, 0)), 0.1, inplace=True)


class PSAPBlock(nn.Module):
    """Progressively and spatially aligned prompt block (paper figure, part B).

    ``IN(x) * (1 + gamma) + beta``, twice, with a residual connection. `hidden` channels of
    convolutions give gamma and beta from the prompt at the same scale.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.prompt = nn.Conv3d(3, 2 * hidden, 3, 1, 1)
        self.modulate0 = nn.Conv3d(hidden, 2 * channels, 3, 1, 1)
        self.modulate1 = nn.Conv3d(hidden, 2 * channels, 3, 1, 1)
        self.conv0 = nn.Conv3d(channels, channels, 3, 1, 1)
        self.conv1 = nn.Conv3d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        """Modulate (B, C, D, H, W) features by the (B, 3, D, H, W) prompt of the same scale."""
        hidden = F.relu(self.prompt(prompt))
        y = modulate(x, self.modulate0(hidden[:, : self.hidden]))
        y = modulate(self.conv0(y), self.modulate1(hidden[:, self.hidden :]))
        out: Tensor = x + self.conv1(y)
        return out

    def forward_rows(self, rows: Tensor, prompt: Tensor) -> Tensor:
        """`forward` on rows (D, H, W, C), see `CTSAM3DLib.network.fast.rows`."""
        plan = plan_prompt(prompt)
        weight, bias = self.prompt.weight, bias_of(self.prompt.bias)
        first = norm_weights(
            weight[: self.hidden],
            bias[: self.hidden],
            self.modulate0.weight,
            bias_of(self.modulate0.bias),
        )
        second = norm_weights(
            weight[self.hidden :],
            bias[self.hidden :],
            self.modulate1.weight,
            bias_of(self.modulate1.bias),
        )
        y = modulate_rows(rows, plan, first, 0.2)
        y = convolve_rows(y, self.conv0.weight, self.conv0.bias, False)
        y = modulate_rows(y, plan, second, 0.2, in_place=True)
        return convolve_rows(y, self.conv1.weight, self.conv1.bias, False).add_(rows)


def norm_weights(hidden: Tensor, hidden_bias: Tensor, both: Tensor, bias: Tensor) -> NormWeights:
    """Split the weights of one convolution for scale and shift, and add the 1 of the scale.

    `hidden` is (h, 3, 3, 3, 3) with bias (h,); `both` is (2C, h, 3, 3, 3) with bias (2C,), scale in
    the first C channels, shift in the last C.
    """
    width = both.size(0) // 2
    return NormWeights(
        hidden, hidden_bias, both[:width], bias[:width] + 1.0, both[width:], bias[width:]
    )


def modulate(x: Tensor, gamma_beta: Tensor) -> Tensor:
    """Instance-normalise, scale by ``1 + gamma``, shift by ``beta``, leaky ReLU (slope 0.2).

    `x` and the result are (B, C, D, H, W); `gamma_beta` is (B, 2C, D, H, W), gamma first.
    """
    gamma, beta = torch.chunk(gamma_beta, 2, 1)
    return F.leaky_relu(F.instance_norm(x) * (1.0 + gamma) + beta, 0.2)


def prompt_pyramid(prompt: Tensor, levels: int, mode: str) -> list[Tensor]:
    """Resize a (B, 3, D, H, W) prompt to each of ``levels + 1`` decoder scales, itself first.

    With ``max`` a click is seen at every scale; ``area`` averages; ``trilinear`` has no
    anti-aliasing, as the official network, so that below 1/8 most clicks fall between the samples.
    """
    pyramid = [prompt]
    for level in range(levels):
        if mode == "max":
            pyramid.append(F.max_pool3d(pyramid[-1], 2))
        elif mode == "area":
            pyramid.append(F.avg_pool3d(pyramid[-1], 2))
        else:
            size = [side >> (level + 1) for side in prompt.shape[2:]]
            pyramid.append(resize_prompt(prompt, size, mode))
    return pyramid
