"""ResT-v2 image encoder in three dimensions: one patch in, four feature maps out.

Each stage first halves (the stem: quarters) the grid with convolutions, then mixes the whole patch
with transformer blocks. Their keys and values come from a strongly strided copy of the grid, so a
64³ patch has only eight keys at every scale; what that loses is handed back by adding the values,
stretched over the full grid, to the attention output.

Attribute names follow the official checkpoint; the layout comment ``B N C`` means token rows, with
N running over depth, height and width, width fastest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from CTSAM3DLib.network.prompt_maps import resize_trilinear

_NORM_EPSILON = 1e-6
KEY_STRIDES = (8, 4, 2, 1)
"""Stride of the key and value grid per stage: a 64³ patch gives 2³ keys at every scale."""


def tokens_from_grid(grid: Tensor) -> Tensor:
    """Turn feature maps (B, C, D, H, W) into token rows (B, D*H*W, C), width fastest."""
    return grid.flatten(2).transpose(1, 2).contiguous()


def grid_from_tokens(tokens: Tensor, size: list[int]) -> Tensor:
    """Turn token rows (B, D*H*W, C) back into feature maps (B, C, D, H, W) of that size."""
    shape = [tokens.size(0), tokens.size(2), size[0], size[1], size[2]]
    return tokens.transpose(1, 2).reshape(shape).contiguous()


class FeedForward(nn.Module):
    """Two linear layers with an exact (erf) GELU between them; hidden width is four times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token rows (B, N, C) to (B, N, C), each row on its own."""
        output: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return output


class StridedAttention(nn.Module):
    """Multi-head attention whose keys and values live on a coarser grid than its queries.

    The channels C, `width`, must be divisible by the number of heads. `stride` is that of the key
    grid; 1 takes the tokens themselves as keys, without a norm of their own.
    """

    def __init__(self, width: int, heads: int, stride: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = float((width // heads) ** -0.5)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        if stride > 1:
            self.sr: nn.Module = nn.Conv3d(
                width, width, stride + 1, stride=stride, padding=stride // 2, groups=width
            )
            self.sr_norm: nn.Module = nn.LayerNorm(width, eps=_NORM_EPSILON)
        else:
            self.sr = nn.Identity()
            self.sr_norm = nn.Identity()
        self.up_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.proj = nn.Linear(width, width)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads)."""
        batch, count, width = tokens.size(0), tokens.size(1), tokens.size(2)
        split = tokens.reshape(batch, count, self.heads, width // self.heads)
        return split.transpose(1, 2)

    def forward(self, tokens: Tensor, size: list[int]) -> Tensor:
        """Attend over the whole patch: rows (B, D*H*W, C) of a token grid of `size` [D, H, W]."""
        width = tokens.size(2)
        key_grid: Tensor = self.sr(grid_from_tokens(tokens, size))
        key_tokens: Tensor = self.sr_norm(tokens_from_grid(key_grid))
        query = self._split_heads(self.q(tokens))
        pair: Tensor = self.kv(key_tokens)
        key = self._split_heads(pair[:, :, :width])
        value = pair[:, :, width:]
        attention = torch.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
        mixed = (attention @ self._split_heads(value)).transpose(1, 2).reshape(tokens.shape)
        key_size = [key_grid.size(2), key_grid.size(3), key_grid.size(4)]
        stretched = resize_trilinear(grid_from_tokens(value, key_size), size)
        output: Tensor = self.proj(mixed + self.up_norm(tokens_from_grid(stretched)))
        return output


class TransformerBlock(nn.Module):
    """Pre-norm residual attention followed by a pre-norm residual feed-forward layer."""

    def __init__(self, width: int, heads: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.attn = StridedAttention(width, heads, stride)
        self.norm2 = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.mlp = FeedForward(width)

    def forward(self, tokens: Tensor, size: list[int]) -> Tensor:
        """Map token rows (B, D*H*W, C) to rows of the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens), size)
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class PositionGate(nn.Module):
    """Multiply each voxel by a sigmoid of its depthwise 3³ neighbourhood: tells borders apart."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pa_conv = nn.Conv3d(width, width, 3, padding=1, groups=width)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same shape."""
        return grid * torch.sigmoid(self.pa_conv(grid))


class GridEmbedding(nn.Module):
    """A projection to a coarser grid, the position gate, and a norm; gives token rows.

    `proj` maps (B, C_in, D, H, W) -> (B, width, D / s, H / s, W / s).
    """

    def __init__(self, proj: nn.Module, width: int) -> None:
        super().__init__()
        self.proj = proj
        self.pos = PositionGate(width)
        self.norm = nn.LayerNorm(width, eps=_NORM_EPSILON)

    def forward(self, grid: Tensor) -> tuple[Tensor, list[int]]:
        """Return the token rows (B, N, width) and the size [D, H, W] of their grid."""
        coarse: Tensor = self.pos(self.proj(grid))
        size = [coarse.size(2), coarse.size(3), coarse.size(4)]
        return self.norm(tokens_from_grid(coarse)), size


def _stem_projection(width: int) -> nn.Sequential:
    """Two strided 3³ convolutions with batch norm, then a 1³ one: a quarter of the grid."""
    return nn.Sequential(
        nn.Conv3d(1, width // 2, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm3d(width // 2),
        nn.ReLU(inplace=True),
        nn.Conv3d(width // 2, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        nn.Conv3d(width, width, 1),
    )


def _stage(width: int, depth: int, heads: int, stride: int) -> nn.ModuleList:
    return nn.ModuleList([TransformerBlock(width, heads, stride) for _ in range(depth)])


class ResTV2Encoder(nn.Module):
    """Image encoder of the official CT-SAM3D (ResT-v2 with 3D convolutions).

    `widths`, `depths` and `heads` are those of the four stages. The coarsest output map has
    `decoder_width` channels, the three finer ones half of them.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        decoder_width: int,
    ) -> None:
        super().__init__()
        self.stem = GridEmbedding(_stem_projection(widths[0]), widths[0])
        self.patch_2 = self._halving(widths[0], widths[1])
        self.patch_3 = self._halving(widths[1], widths[2])
        self.patch_4 = self._halving(widths[2], widths[3])
        self.stage1 = _stage(widths[0], depths[0], heads[0], KEY_STRIDES[0])
        self.stage2 = _stage(widths[1], depths[1], heads[1], KEY_STRIDES[1])
        self.stage3 = _stage(widths[2], depths[2], heads[2], KEY_STRIDES[2])
        self.stage4 = _stage(widths[3], depths[3], heads[3], KEY_STRIDES[3])
        self.channel_mapper1 = nn.Conv3d(widths[0], decoder_width // 2, 1)
        self.channel_mapper2 = nn.Conv3d(widths[1], decoder_width // 2, 1)
        self.channel_mapper3 = nn.Conv3d(widths[2], decoder_width // 2, 1)
        self.channel_mapper4 = nn.Conv3d(widths[3], decoder_width, 1)

    @staticmethod
    def _halving(width_in: int, width_out: int) -> GridEmbedding:
        return GridEmbedding(nn.Conv3d(width_in, width_out, 3, stride=2, padding=1), width_out)

    def forward(self, patch: Tensor) -> list[Tensor]:
        """Encode a normalised patch (B, 1, D, H, W); returns the maps at 1/4, 1/8, 1/16, 1/32."""
        tokens, size = self.stem(patch)
        for block in self.stage1:
            tokens = block(tokens, size)
        grid1 = grid_from_tokens(tokens, size)
        tokens, size = self.patch_2(grid1)
        for block in self.stage2:
            tokens = block(tokens, size)
        grid2 = grid_from_tokens(tokens, size)
        tokens, size = self.patch_3(grid2)
        for block in self.stage3:
            tokens = block(tokens, size)
        grid3 = grid_from_tokens(tokens, size)
        tokens, size = self.patch_4(grid3)
        for block in self.stage4:
            tokens = block(tokens, size)
        grid4 = grid_from_tokens(tokens, size)
        return [
            self.channel_mapper1(grid1),
            self.channel_mapper2(grid2),
            self.channel_mapper3(grid3),
            self.channel_mapper4(grid4),
        ]
