"""One training episode: a batch of patches, clicks, corrections, losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CTSAM3DLib.network.segmenters import Segmenter
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedCase, PackedData
from CTSAM3DLib.training.intensity import vary_intensity, window
from CTSAM3DLib.training.losses import dice_of, mixed_precision, segmentation_loss
from CTSAM3DLib.training.sampling import AIR_HU, cut, random_bend, random_placement
from CTSAM3DLib.training.simulated_clicks import first_click, next_clicks, partial_mask, render_each
from CTSAM3DLib.training.synthesis import synthesise, synthesise_typical

# A patch must show enough of its target to be worth clicking.
SMALLEST_IN_PATCH = 20
TRIES = 8


@dataclass
class Episode:
    """A batch and the clicks made in it so far."""

    image: Tensor  # (B, C, D, H, W), windowed
    target: Tensor  # (B, 1, D, H, W) in {0, 1}
    prior: Tensor  # (B, D, H, W) previous mask probability
    clicks: Tensor  # (B, 2, D, H, W): positive and negative map of the clicks so far

    def prompt(self, probability: Tensor) -> Tensor:
        """Stack the previous mask and the click maps: (B, 3, D, H, W)."""
        return torch.cat([probability[:, None], self.clicks], 1)

    def correct(self, logits: Tensor, generator: torch.Generator) -> None:
        """Add to each sample the click that corrects its largest error."""
        points, labels = next_clicks(self.target[:, 0] > 0, logits[:, 0] > 0, generator)
        drawn = render_each(points, labels, self.target.shape[2:])
        self.clicks = torch.maximum(self.clicks, drawn)


@dataclass(frozen=True)
class Samples:
    """A drawn batch as it travels to the device of the network: short numbers, no copies."""

    hu: Tensor  # (B, D, H, W) float16 HU
    target: Tensor  # (B, D, H, W) bool
    prior: Tensor  # (B, D, H, W) float16 previous mask probability
    points: Tensor  # (B, 3) float32 first clicks, KJI
    labels: Tensor  # (B,) int64: 1, or -1 for a sample that begins with its previous mask alone

    def pin_memory(self) -> Samples:
        """Move into memory that a GPU reads without a copy."""
        return Samples(*(value.pin_memory() for value in self._values()))

    def episode(self, config: TrainConfig, device: torch.device) -> Episode:
        """Begin an episode on a device."""
        hu, target, prior, points, labels = (
            value.to(device, non_blocking=True) for value in self._values()
        )
        return Episode(
            window(hu.float(), config.windows_hu),
            target[:, None].float(),
            prior.float(),
            render_each(points, labels, target.shape[1:]),
        )

    def _values(self) -> tuple[Tensor, ...]:
        return self.hu, self.target, self.prior, self.points, self.labels


def draw_samples(
    data: PackedData, config: TrainConfig, rng: np.random.Generator, generator: torch.Generator
) -> Samples:
    """Draw a batch: targets, patches, first clicks, and for some a previous mask.

    `rng` and `generator` alone decide the result, which is on the device of the data.
    """
    images, targets, priors, points, labels = [], [], [], [], []
    for _ in range(config.batch_size):
        hu, target, point = _draw_sample(data, config, rng, generator)
        images.append(hu)
        targets.append(target)
        prior = torch.zeros(target.shape, device=data.device)
        if rng.random() < config.prior_probability:
            prior = partial_mask(target, generator)
        clicked = not prior.any() or rng.random() < 0.5
        priors.append(prior)
        points.append(point.to(data.device))
        labels.append(1 if clicked else -1)
    return Samples(
        torch.stack(images).half(),
        torch.stack(targets),
        torch.stack(priors).half(),
        torch.stack(points),
        torch.tensor(labels, device=data.device),
    )


def _draw_sample(
    data: PackedData, config: TrainConfig, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    for _ in range(TRIES):
        drawn = data.draw(rng, config.source_weights)
        case = data.cases[drawn.case]
        voxel = drawn.points[int(rng.integers(len(drawn.points)))].cpu().numpy().astype(np.float64)
        placement, inside = random_placement(
            rng, voxel, case.spacing_kji_mm, config.patch_size, config.spacing_range_mm
        )
        volume = case.pseudo if drawn.volume == "pseudo" else case.labels
        if volume is None:
            continue
        bend = None
        # No draw where the share is 0, so that runs from before this setting stay the same.
        if config.bend_probability > 0 and rng.random() < config.bend_probability:
            strength = float(rng.uniform(0.0, config.most_bend_voxels))
            bend = random_bend(config.patch_size, strength, generator)
        labels = cut(volume, placement, nearest=True, fill=0.0, bend=bend)
        target = labels == drawn.value
        if int(target.sum()) < SMALLEST_IN_PATCH:
            continue
        if case.hu is None:
            hu = _made_from_labels(labels, case, placement.spacing_mm, config, rng, generator)
        else:
            hu = cut(case.hu, placement, nearest=False, fill=AIR_HU, bend=bend)
        hu = vary_intensity(hu, rng, generator)
        k, j, i = (round(float(v)) for v in inside)
        if rng.random() < 0.5 and bool(target[k, j, i]):
            point = torch.tensor([k, j, i], dtype=torch.float32)
        else:
            point = first_click(target, generator)
        return hu, target, point
    message = f"no target with {SMALLEST_IN_PATCH} voxels in its patch after {TRIES} tries"
    raise RuntimeError(message)


def _made_from_labels(
    labels: Tensor,
    case: PackedCase,
    spacing_mm: float,
    config: TrainConfig,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    # No draw where the share is 0, so that runs from before this setting stay the same.
    if config.typical_synthesis > 0 and rng.random() < config.typical_synthesis:
        return synthesise_typical(labels, case.tissues, spacing_mm, rng, generator)
    return synthesise(labels, case.class_hu, rng, generator)


def run_episode(
    net: Segmenter,
    episode: Episode,
    config: TrainConfig,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[Tensor, list[Tensor]]:
    """Decode, correct, decode again; gradient on the first and the last decode.

    Returns
    -------
    Tensor
        The loss.
    list of Tensor
        Mean Dice after the first and, if there was one, the last decode; not read from a GPU.
    """
    with mixed_precision(episode.image):
        embedding = net.encode(episode.image)
        logits = net.decode(embedding, episode.prompt(episode.prior)).float()
    loss = segmentation_loss(logits, episode.target)
    scores = [dice_of(logits.detach(), episode.target).mean()]
    if rng.random() >= config.extra_round_probability:
        return loss, scores
    silent = int(rng.integers(0, config.most_silent_rounds + 1))
    for number in range(silent + 1):
        episode.correct(logits.detach(), generator)
        prompt = episode.prompt(torch.sigmoid(logits.detach()[:, 0]))
        last = number == silent
        with mixed_precision(episode.image), torch.set_grad_enabled(last):
            logits = net.decode(embedding, prompt).float()
    scores.append(dice_of(logits.detach(), episode.target).mean())
    return 0.5 * loss + 0.5 * segmentation_loss(logits, episode.target), scores
