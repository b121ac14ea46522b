"""One training episode: clicks and corrections in a batch of patches, and the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from CTSAM3DLib.network.segmenters import Segmenter
from CTSAM3DLib.training.batches import Samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.intensity import window
from CTSAM3DLib.training.losses import dice_of, segmentation_loss
from CTSAM3DLib.training.precision import mixed_precision
from CTSAM3DLib.training.simulated_clicks import next_clicks, render_each


@dataclass
class Episode:
    """A batch and the clicks made in it so far."""

    image: Tensor  # (B, C, D, H, W), windowed
    target: Tensor  # (B, 1, D, H, W) in {0, 1}
    prior: Tensor  # (B, D, H, W) previous mask probability
    clicks: Tensor  # (B, 2, D, H, W): positive and negative map of the clicks so far

    @classmethod
    def of(cls, samples: Samples, config: TrainConfig) -> Episode:
        """Begin with the first clicks, on the device of the samples."""
        return cls(
            window(samples.hu.float(), config.windows_hu),
            samples.target[:, None].float(),
            samples.prior.float(),
            render_each(samples.points, samples.labels, samples.target.shape[1:]),
        )

    def prompt(self, probability: Tensor) -> Tensor:
        """Stack the previous mask and the click maps: (B, 3, D, H, W)."""
        return torch.cat([probability[:, None], self.clicks], 1)

    def correct(self, logits: Tensor, jitter: Tensor, *, anywhere: bool = False) -> None:
        """Add to each sample the click that corrects an error, see `next_clicks`."""
        target, mask = self.target[:, 0] > 0, logits[:, 0] > 0
        points, labels = next_clicks(target, mask, jitter, anywhere=anywhere)
        drawn = render_each(points, labels, self.target.shape[2:])
        self.clicks = torch.maximum(self.clicks, drawn)


def click_through(
    net: Segmenter, episode: Episode, generator: torch.Generator, clicks: int
) -> list[Tensor]:
    """Return the logits after each of some clicks, all but the first corrections; no gradient."""
    found = []
    with torch.no_grad(), mixed_precision(episode.image):
        embedding = net.encode(episode.image)
        probability = episode.prior
        for _ in range(clicks):
            logits = net.decode(embedding, episode.prompt(probability)).float()
            found.append(logits)
            probability = torch.sigmoid(logits[:, 0])
            jitter = torch.rand(probability.shape, generator=generator, device=logits.device)
            episode.correct(logits, jitter)
    return found


def run_episode(net: Segmenter, episode: Episode, jitter: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Decode, correct, decode again; gradient on the first and the last decode.

    `jitter` (N, B, D, H, W) holds random numbers from 0 to 1 for each of N corrections; without any
    there is one decode. Returns the loss, and mean Dice after the first and, if there was one, the
    last decode; nothing is read from a GPU.
    """
    with mixed_precision(episode.image):
        embedding = net.encode(episode.image)
        logits = net.decode(embedding, episode.prompt(episode.prior)).float()
    loss = segmentation_loss(logits, episode.target)
    scores = [dice_of(logits.detach(), episode.target).mean()]
    for number, own in enumerate(jitter):
        episode.correct(logits.detach(), own)
        prompt = episode.prompt(torch.sigmoid(logits.detach()[:, 0]))
        last = number == len(jitter) - 1
        with mixed_precision(episode.image), torch.set_grad_enabled(last):
            logits = net.decode(embedding, prompt).float()
    if len(jitter) == 0:
        return loss, scores
    scores.append(dice_of(logits.detach(), episode.target).mean())
    return 0.5 * loss + 0.5 * segmentation_loss(logits, episode.target), scores
