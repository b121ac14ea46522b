"""The promptable model: HU and clicks in, logits out, around any segmenter of the family.

This is what a bundle holds. HU windows, click rendering and the official quirks are inside, so that
whoever loads the file needs no setting from elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.network.prompt_maps import render_clicks


class PromptableModel(nn.Module):
    """Encode a patch, decode clicks, predict a click in a neighbour; scriptable as written.

    `segmenter` has ``encode(image) -> list of Tensor`` and ``decode(embedding, prompt) -> logits``.
    `cross_patch` maps (B, 3, D, H, W) - image, mask, neighbour image - to a (B, 1, D, H, W) heat
    map. `finest_map` is the tensor of the embedding with the finest grid, `finest_step` the patch
    voxels along the edge of one of its voxels.

    Examples
    --------
    >>> from CTSAM3DLib.network.build import build_lite
    >>> from CTSAM3DLib.network.lite import LiteConfig
    >>> model = build_lite(LiteConfig(widths=(4, 4, 8, 8, 8), hidden=4), patch_size=32)
    >>> embedding = model.encode(torch.zeros(32, 32, 32))
    >>> points, labels = torch.tensor([[16.0, 16.0, 16.0]]), torch.tensor([1])
    >>> model.decode(embedding, points, labels, None).shape
    torch.Size([32, 32, 32])
    """

    def __init__(
        self,
        segmenter: nn.Module,
        cross_patch: nn.Module,
        settings: ModelSettings,
        finest_map: int = -1,
        finest_step: int = 1,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.segmenter = segmenter
        self.cross_patch_net = cross_patch
        self.overwrite_clicks = settings.official
        self.cross_patch_aligned = settings.cross_patch_aligned
        self.finest_map = finest_map
        self.finest_step = finest_step
        self.windows_hu = [(float(a), float(b)) for a, b in settings.windows_hu]

    def normalise(self, patch_hu: Tensor) -> Tensor:
        """Scale the HU windows of (B, D, H, W) HU to [0, 1]: (B, windows, D, H, W)."""
        channels: list[Tensor] = []
        for low, high in self.windows_hu:
            channels.append(((patch_hu - low) / (high - low)).clamp(0.0, 1.0))
        return torch.stack(channels, 1)

    @torch.jit.export
    def encode(self, patch_hu: Tensor) -> list[Tensor]:
        """Embed a (D, H, W) patch of HU; the result serves any number of `decode` calls."""
        embedding: list[Tensor] = self.segmenter.encode(  # type: ignore[operator]
            self.normalise(patch_hu[None])
        )
        return embedding

    @torch.jit.export
    def decode(
        self,
        embedding: list[Tensor],
        points_kji: Tensor,
        labels: Tensor,
        previous_logits: Tensor | None,
    ) -> Tensor:
        """Decode clicks into (D, H, W) logits.

        `points_kji` are (N, 3) float32 patch voxels, `labels` (N,) int64, 1 positive, 0 negative.
        `previous_logits` are the (D, H, W) logits of the previous result; the sigmoid is applied
        here.
        """
        finest = embedding[self.finest_map]
        step = self.finest_step
        d, h, w = finest.shape[2] * step, finest.shape[3] * step, finest.shape[4] * step
        maps = render_clicks(points_kji, labels, d, h, w, self.overwrite_clicks)
        previous = torch.zeros((1, d, h, w), device=maps.device)
        if previous_logits is not None:
            previous = torch.sigmoid(previous_logits)[None]
        prompt = torch.cat([previous, maps])[None].to(finest.dtype)
        logits: Tensor = self.segmenter.decode(embedding, prompt)  # type: ignore[operator]
        # Beyond it a sigmoid is 0 or 1 in float32.
        return logits[0, 0].clamp(-20.0, 20.0)

    @torch.jit.export
    def cross_patch(self, patch_hu: Tensor, mask: Tensor, neighbour_hu: Tensor) -> Tensor:
        """Predict where a user would click in neighbouring patches: a (B, D, H, W) heat map.

        It is about 1 at the expected click, about 0 where the object ends. `patch_hu` and
        `neighbour_hu` are (B, D, H, W) HU of the segmented patch and of its neighbour, `mask` in
        {0, 1} is the object in the patch. For an aligned predictor the patch lies on the
        neighbour's grid and is NaN where nothing is known.
        """
        if self.cross_patch_aligned:
            known = (~torch.isnan(patch_hu)).to(neighbour_hu.dtype)
            seen = [self.normalise(neighbour_hu), (mask * known)[:, None], known[:, None]]
        else:
            # The first window is the soft-tissue one in every model of the family.
            own, other = self.normalise(patch_hu)[:, :1], self.normalise(neighbour_hu)[:, :1]
            seen = [own, mask[:, None].to(own.dtype), other]
        heat: Tensor = self.cross_patch_net(torch.cat(seen, 1))
        return heat[:, 0]

    def forward(self, patch_hu: Tensor, points_kji: Tensor, labels: Tensor) -> Tensor:
        """Encode and decode a first click; shapes as in `encode` and `decode`."""
        return self.decode(self.encode(patch_hu), points_kji, labels, None)
