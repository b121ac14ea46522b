"""Neighbouring patches for cross-patch training: what is known in one, and what comes beyond."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.network.prompt_maps import render_clicks
from CTSAM3DLib.network.segmenters import Segmenter
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.episodes import Episode, click_through
from CTSAM3DLib.training.intensity import vary_intensity, window
from CTSAM3DLib.training.sampling import AIR_HU, PatchPlacement, cut, random_placement
from CTSAM3DLib.training.simulated_clicks import first_clicks, interior_scores, render_each

SMALLEST_IN_PATCH = 20
"""Fewer voxels of a structure in a patch than this count as none."""

# The neighbour's shift along an axis, as a share of the patch; a session shifts by 0.5 to 0.75.
SHIFT_RANGE = (0.45, 0.75)
PREDICTED_SHARE = 0.6


@dataclass(frozen=True)
class Pair:
    """A neighbour with what a patch before it has told, and the truth."""

    # (C + 2, D, H, W), see `ContinuationPredictor.scores`: image of the neighbour, the structure
    # where it is known, where it is known
    seen: Tensor
    beyond: Tensor  # (D, H, W) bool: the structure where it is not known
    # (D, H, W): Gaussian at the deepest voxel of `beyond`; 0 where it is too small to count
    heat: Tensor

    @property
    def known(self) -> Tensor:
        """(D, H, W) in {0, 1}: where the structure is known."""
        return self.seen[-1]

    @property
    def goes_on(self) -> bool:
        """Whether the structure is there beyond what is known."""
        return int(self.beyond.sum()) >= SMALLEST_IN_PATCH


def draw_pair(
    data: PackedData,
    config: TrainConfig,
    rng: np.random.Generator,
    generator: torch.Generator,
    segmenter: Segmenter | None = None,
) -> Pair:
    """Draw a pair of neighbouring patches of one CT, seen from the neighbour.

    Label maps without CT are left out. `rng` and `generator` alone decide the result. A `segmenter`
    gives most masks, mistakes included, as in use; otherwise they are the truth, disturbed.
    """
    weights = {k: v for k, v in config.source_weights.items() if k != "synthetic"}
    while True:
        drawn = data.draw(rng, weights)
        case = data.cases[drawn.case]
        volume = case.pseudo if drawn.volume == "pseudo" else case.labels
        if case.hu is None or volume is None:
            continue
        voxel = drawn.points[int(rng.integers(len(drawn.points)))].astype(np.float64)
        own, _ = random_placement(
            rng, voxel, case.spacing_kji_mm, config.patch_size, config.spacing_range_mm
        )
        truth = cut(volume, own, nearest=True, fill=0.0) == drawn.value
        if int(truth.sum()) < SMALLEST_IN_PATCH:
            continue
        seed = int(rng.integers(2**31))
        image = _image(case.hu, own, config, seed, generator)
        mask = _known_mask(segmenter, image, truth, rng, generator)
        shift = _shift(mask, config.patch_size, rng)
        other = replace(own, centre=own.centre + own.matrix @ shift)
        known, overlap = _in_neighbour(mask, shift)
        if int(overlap.sum()) < SMALLEST_IN_PATCH:
            continue
        everywhere = cut(volume, other, nearest=True, fill=0.0) == drawn.value
        beyond = everywhere & (known < 0.5)
        other_image = _image(case.hu, other, config, seed, generator)
        seen = torch.cat([other_image, overlap[None], known[None]])
        return Pair(seen, beyond, _heat(beyond))


def _image(
    hu: Tensor,
    placement: PatchPlacement,
    config: TrainConfig,
    seed: int,
    generator: torch.Generator,
) -> Tensor:
    """Cut a patch; the same seed changes the intensities of all patches in the same way."""
    patch = cut(hu, placement, nearest=False, fill=AIR_HU)
    rng = np.random.default_rng(seed)
    varied = vary_intensity(patch[None], rng, generator.manual_seed(seed))
    return window(varied, config.windows_hu)[0]


def _known_mask(
    segmenter: Segmenter | None,
    image: Tensor,
    truth: Tensor,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    """Return what a patch says of its structure, (D, H, W) in {0, 1}."""
    if segmenter is None or rng.random() >= PREDICTED_SHARE:
        return disturbed(truth, rng).float()
    target = truth[None]
    positive = torch.ones(1, dtype=torch.int64, device=image.device)
    clicks = render_each(first_clicks(target, generator), positive, truth.shape)
    prior = torch.zeros(target.shape, device=image.device)
    episode = Episode(image[None], target[:, None].float(), prior, clicks)
    answers = click_through(segmenter, episode, generator, int(rng.integers(1, 4)))
    return (answers[-1][0, 0] > 0).float()


def disturbed(mask: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a mask with mistakes as a model makes them."""
    choice = rng.random()
    values = mask.float()[None, None]
    if choice < 0.2:
        return F.max_pool3d(values, 3, 1, 1)[0, 0] > 0
    if choice < 0.4:
        eroded = -F.max_pool3d(-values, 3, 1, 1)[0, 0] > 0
        return eroded if bool(eroded.any()) else mask
    return mask


def _shift(mask: Tensor, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Shift to a neighbour, voxels: mostly through a face that the mask touches, else any of 26."""
    faces = [
        (axis, sign)
        for axis in range(3)
        for sign in (-1, 1)
        if bool(mask.select(axis, 0 if sign < 0 else size - 1).any())
    ]
    length = round(size * rng.uniform(*SHIFT_RANGE))
    shift = np.zeros(3, np.int64)
    if faces and rng.random() < 0.8:
        axis, sign = faces[int(rng.integers(len(faces)))]
        shift[axis] = sign * length
        return shift
    while not shift.any():
        shift = rng.integers(-1, 2, 3) * length
    return np.asarray(shift, np.int64)


def _in_neighbour(mask: Tensor, shift: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return where the neighbour overlaps the patch, and the patch's mask there."""
    known, moved = torch.zeros_like(mask), torch.zeros_like(mask)
    ours, theirs = [], []
    for length, step in zip(mask.shape, (int(s) for s in shift), strict=True):
        ours.append(slice(max(step, 0), length + min(step, 0)))
        theirs.append(slice(max(-step, 0), length + min(-step, 0)))
    known[tuple(theirs)] = 1.0
    moved[tuple(theirs)] = mask[tuple(ours)]
    return known, moved


def _heat(beyond: Tensor) -> Tensor:
    if int(beyond.sum()) < SMALLEST_IN_PATCH:
        return torch.zeros(beyond.shape, device=beyond.device)
    index = int(interior_scores(beyond[None]).argmax())
    d, h, w = beyond.shape
    points = torch.tensor(np.array([np.unravel_index(index, (d, h, w))]), device=beyond.device)
    points = points.float()
    return render_clicks(points, torch.ones(1, dtype=torch.int64), d, h, w, False)[0]
