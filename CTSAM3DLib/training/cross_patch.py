"""Train the cross-patch predictor: from one patch and its mask, the click in a neighbour.

Pairs of overlapping patches of one CT; the target is a Gaussian at the deepest voxel of the same
structure in the neighbour, and nothing where the structure ends (paper figure, part C). The
segmenter takes no part: its mask is stood in for by the truth, eroded, grown or cut.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.network.click_maps import render_clicks
from CTSAM3DLib.network.cross_patch import SMALL_WIDTHS, CrossPatchPredictor
from CTSAM3DLib.training.augmentation import vary_intensity, window
from CTSAM3DLib.training.clicks import interior_score
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.precision import mixed_precision
from CTSAM3DLib.training.sampling import AIR_HU, cut, random_placement

SMALLEST_IN_PATCH = 20
# The neighbour's shift along an axis, as a share of the patch: half overlap to a quarter.
SHIFT_RANGE = (0.5, 0.75)
# A Gaussian covers less than 1 % of a patch. Weighted 30 to 1, an all-zero output was still such a
# good answer that no peak had formed after 500 iterations.
PEAK_WEIGHT = 1000.0


def draw_pair(
    data: PackedData, config: TrainConfig, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one pair of neighbouring patches.

    Returns
    -------
    Tensor
        (3, D, H, W): image of the patch, its mask, image of the neighbour.
    Tensor
        (D, H, W) heat map in the neighbour.
    Tensor
        (D, H, W) bool, the structure in the neighbour.
    """
    weights = {k: v for k, v in config.source_weights.items() if k != "synthetic"}
    while True:
        drawn = data.draw(rng, weights)
        case = data.cases[drawn.case]
        volume = case.pseudo if drawn.volume == "pseudo" else case.labels
        if case.hu is None or volume is None:
            continue
        voxel = drawn.points[int(rng.integers(len(drawn.points)))].cpu().numpy().astype(np.float64)
        own, _ = random_placement(
            rng, voxel, case.spacing_kji_mm, config.patch_size, config.spacing_range_mm
        )
        mask = cut(volume, own, nearest=True, fill=0.0) == drawn.value
        if int(mask.sum()) < SMALLEST_IN_PATCH:
            continue
        shift = _shift(mask, config.patch_size, rng)
        other = replace(own, centre=own.centre + own.matrix @ shift)
        truth = cut(volume, other, nearest=True, fill=0.0) == drawn.value
        seed = int(rng.integers(2**31))
        images = [
            vary_intensity(
                cut(case.hu, placement, nearest=False, fill=AIR_HU),
                np.random.default_rng(seed),
                generator.manual_seed(seed),
            )
            for placement in (own, other)
        ]
        image = window(torch.stack(images), config.windows_hu[:1])[:, 0]
        known = _disturb(mask, rng).float()
        return torch.stack([image[0], known, image[1]]), _heat(truth), truth


def _shift(mask: Tensor, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shift to a neighbour: mostly through a face that the structure touches, else any of 26."""
    faces = [
        (axis, sign)
        for axis in range(3)
        for sign in (-1, 1)
        if bool(mask.select(axis, 0 if sign < 0 else size - 1).any())
    ]
    length = size * rng.uniform(*SHIFT_RANGE)
    shift: NDArray[np.float64] = np.zeros(3)
    if faces and rng.random() < 0.7:
        axis, sign = faces[int(rng.integers(len(faces)))]
        shift[axis] = sign * length
        return np.round(shift)
    while not shift.any():
        shift = np.asarray(rng.integers(-1, 2, 3) * length, np.float64)
    return np.round(shift)


def _disturb(mask: Tensor, rng: np.random.Generator) -> Tensor:
    choice = rng.random()
    values = mask.float()[None, None]
    if choice < 0.2:
        return F.max_pool3d(values, 3, 1, 1)[0, 0] > 0
    if choice < 0.4:
        eroded = -F.max_pool3d(-values, 3, 1, 1)[0, 0] > 0
        return eroded if bool(eroded.any()) else mask
    return mask


def _heat(truth: Tensor) -> Tensor:
    """Gaussian at the deepest voxel; nothing where too little of the structure is seen."""
    if int(truth.sum()) < SMALLEST_IN_PATCH:
        return torch.zeros(truth.shape, device=truth.device)
    index = int(interior_score(truth).flatten().argmax())
    point = np.unravel_index(index, tuple(truth.shape))
    points = torch.tensor([[float(p) for p in point]], device=truth.device)
    d, h, w = truth.shape
    return render_clicks(points, torch.ones(1, dtype=torch.int64), d, h, w, False)[0]


class CrossPatchTrainer:
    """Trains the predictor; resumes exactly from ``last.pt`` of its folder.

    Parameters
    ----------
    config : TrainConfig
        Patch size, batch size, rates, windows and seed are used.
    data : PackedData
        Training cases.
    run_dir : Path
        Folder of checkpoint and log.
    """

    def __init__(self, config: TrainConfig, data: PackedData, run_dir: Path) -> None:
        self.config, self.data, self.run_dir = config, data, run_dir
        torch.manual_seed(config.seed)
        self.net = CrossPatchPredictor(SMALL_WIDTHS).to(data.device)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), config.learning_rate, weight_decay=0.01
        )
        self.iteration = 0
        run_dir.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            state = torch.load(self.checkpoint, map_location=data.device, weights_only=True)
            self.net.load_state_dict(state["cross_patch"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.iteration = int(state["iteration"])

    @property
    def checkpoint(self) -> Path:
        """Where the newest state is kept."""
        return self.run_dir / "last.pt"

    def batch(self, data: PackedData, number: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Draw the batch of an iteration; it depends on the seed and the number alone."""
        rng = np.random.default_rng((self.config.seed, 7, number))
        generator = torch.Generator(data.device)
        generator.manual_seed(int(rng.integers(2**62)))
        pairs = [
            draw_pair(data, self.config, rng, generator) for _ in range(2 * self.config.batch_size)
        ]
        return (
            torch.stack([p[0] for p in pairs]),
            torch.stack([p[1] for p in pairs])[:, None],
            [p[2] for p in pairs],
        )

    def run(self, iterations: int, validation: PackedData | None = None, every: int = 250) -> None:
        """Train up to a total number of iterations; the rate falls linearly to 0 at the end."""
        start, losses = time.perf_counter(), []
        self.net.train()
        while self.iteration < iterations:
            pairs, heat, _ = self.batch(self.data, self.iteration)
            with mixed_precision(pairs):
                output = self.net(pairs)
            loss = ((output.float() - heat).square() * (1.0 + PEAK_WEIGHT * heat)).mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
            left = 1.0 - self.iteration / iterations
            warm = min(1.0, (self.iteration + 1) / max(self.config.warmup, 1))
            self.optimiser.param_groups[0]["lr"] = self.config.learning_rate * left * warm
            self.optimiser.step()
            self.iteration += 1
            losses.append(float(loss.detach()))
            if self.iteration % every == 0 or self.iteration == iterations:
                scores = self.validate(validation) if validation is not None else {}
                self._save(
                    {
                        "loss": float(np.mean(losses)),
                        "seconds": time.perf_counter() - start,
                        **scores,
                    }
                )
                losses = []

    def validate(self, data: PackedData, batches: int = 8) -> dict[str, float]:
        """Share of peaks inside the structure, and how well peaks tell presence from absence."""
        self.net.eval()
        hits, present, absent = [], [], []
        with torch.no_grad():
            for number in range(batches):
                pairs, _, truths = self.batch(data, 10**9 + number)
                for heat, truth in zip(self.net(pairs)[:, 0], truths, strict=True):
                    if int(truth.sum()) >= SMALLEST_IN_PATCH:
                        hits.append(float(truth.flatten()[int(heat.flatten().argmax())]))
                        present.append(float(heat.max()))
                    else:
                        absent.append(float(heat.max()))
        self.net.train()
        pairs_of_peaks = np.subtract.outer(np.asarray(present), np.asarray(absent))
        area = float((pairs_of_peaks > 0).mean()) if pairs_of_peaks.size else float("nan")
        return {"hit_rate": float(np.mean(hits)), "presence_auc": area}

    def _save(self, values: dict[str, float]) -> None:
        part = self.checkpoint.with_suffix(".part")
        torch.save(
            {
                "config": self.config.to_dict(),
                "iteration": self.iteration,
                "cross_patch": self.net.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            part,
        )
        part.replace(self.checkpoint)
        with (self.run_dir / "log.jsonl").open("a") as log:
            log.write(json.dumps({"iteration": self.iteration, **values}) + "\n")
