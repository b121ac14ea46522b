"""Train an adapter: what the decoder of a model changes for a few anatomies alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.bundles.adapters import CHANGE_FILE, Adapter, adapted
from CTSAM3DLib.errors import CTSAM3DError, LearningError
from CTSAM3DLib.evaluation.cases import LabelledCase, find_cases, load_case, structures_of
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.training.episodes import Episode
from CTSAM3DLib.training.intensity import window
from CTSAM3DLib.training.learner import Learner
from CTSAM3DLib.training.learning_cases import LearningCase
from CTSAM3DLib.training.learning_scan import LearningScan
from CTSAM3DLib.training.lessons import LearnerConfig
from CTSAM3DLib.training.losses import segmentation_loss
from CTSAM3DLib.training.precision import mixed_precision
from CTSAM3DLib.training.simulated_clicks import partial_masks, render_each
from CTSAM3DLib.training.state_file import write_state

MOST_CORRECTIONS = 3


class AdapterLearner(Learner):
    """A learner that keeps nothing of the old model: others are decoded without the adapter.

    Each lesson is a first click and, with the probability `LearnerConfig.rounds` each, up to
    `MOST_CORRECTIONS` further ones at its errors. See `Learner`; there is no teacher.
    """

    def __init__(
        self,
        network: Any,
        settings: ModelSettings,
        scans: Sequence[LearningScan],
        config: LearnerConfig,
        run_dir: Path,
        **options: Any,
    ) -> None:
        super().__init__(network, network, settings, scans, [], config, run_dir, **options)

    def begin_with(self, adapter: Adapter) -> bool:
        """Begin with an adapter in place of no change; False: a run that goes on keeps its weights.

        It may be called again where a state was saved before the first step.
        """
        if self.iteration:
            return False
        self.put(self.start)
        self.put(list(adapted(self.student, adapter).segmenter.parameters()))
        return True

    def write_change(self, parent_sha256: str) -> Path:
        """Write `CHANGE_FILE`: structures, change of each parameter, checksum of the bundle.

        Raises OutputFileError: it cannot be written.
        """
        names = [name for name, _ in self.student.segmenter.named_parameters()]
        pairs = zip(self.start, self.parameters, strict=True)
        change = {n: (p.detach() - s).cpu() for n, (s, p) in zip(names, pairs, strict=True)}
        state = {"anatomies": list(self.names), "parent": parent_sha256, "change": change}
        write_state(self.run_dir / CHANGE_FILE, state)
        return self.run_dir / CHANGE_FILE

    def _loss(self, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        lessons = [self.lessons.own(rng, generator) for _ in range(self.config.lessons)]
        numbers = [n for n, lesson in enumerate(lessons) for _ in lesson.points]
        index = torch.tensor(numbers, device=self.device)
        image = window(
            torch.stack([lesson.hu for lesson in lessons]).to(self.device),
            self.settings.windows_hu,
        )
        targets = torch.stack([lessons[n].target for n in numbers])
        probability = torch.zeros(targets.shape)
        if rng.random() < self.config.priors:
            probability = partial_masks(targets, generator)
        probability = probability.to(self.device)
        known = targets[:, None].float().to(self.device)
        points = torch.cat([lesson.points for lesson in lessons]).to(self.device)
        labels = torch.ones(len(points), dtype=torch.int64, device=self.device)
        segmenter = self.student.segmenter
        with torch.no_grad(), mixed_precision(image):
            embedding = [maps[index] for maps in segmenter.encode(image)]
        clicks = render_each(points, labels, image.shape[2:])
        episode = Episode(image, known.clone(), probability, clicks)
        losses: list[Tensor] = []
        while True:
            prompt = episode.prompt(probability)
            with mixed_precision(prompt):
                logits = segmenter.decode(embedding, prompt).float()
            losses.append(segmentation_loss(logits, known))
            if len(losses) > MOST_CORRECTIONS or rng.random() >= self.config.rounds:
                return torch.stack(losses).mean()
            before = logits.detach()
            jitter = torch.rand(probability.shape, generator=generator).to(self.device)
            episode.correct(before, jitter, anywhere=self.lessons.hasty(rng))
            probability = torch.sigmoid(before[:, 0])


def adapter_scans(
    data: Path,
    structures: Sequence[str],
    settings: ModelSettings,
    annotations: Path | None = None,
    leave_out: Sequence[str] = (),
) -> list[LearningScan]:
    """Return the CTs of the training split that have some of the structures labelled.

    `data` and `annotations` are as in `find_cases`; where both have a structure of a CT, that of
    `annotations` counts. Raises LearningError: no CT has one of the structures, or there is no CT
    of a name in `leave_out`.
    """
    root = data / "ct" if (data / "ct").is_dir() else data
    unknown = sorted(name for name in set(leave_out) if not (root / name).is_dir())
    if unknown:
        raise LearningError(
            f"no case {', '.join(unknown)} in {root}: expected names of its folders"
        )
    labelled = [] if annotations is None else find_cases(data, "train", annotations=annotations)
    with suppress(CTSAM3DError) if labelled else nullcontext():
        labelled = [*find_cases(data, "train"), *labelled]
    by_name: dict[str, list[LabelledCase]] = {}
    for case in labelled:
        if case.name not in leave_out and set(structures) & set(case.anatomies.values()):
            by_name.setdefault(case.name, []).append(case)
    scans = [_scan(cases, structures, settings) for _, cases in sorted(by_name.items())]
    found = [scan for scan in scans if scan.masks]
    missing = set(structures) - {name for scan in found for name in scan.names}
    if missing:
        raise LearningError(
            f"no CT of the training split in {data} has {', '.join(sorted(missing))}; leave out "
            "these names, or give a folder of --annotations that has them"
        )
    return found


def mark_of(parent_sha256: str, scans: Sequence[LearningScan], config: LearnerConfig) -> str:
    """Return a checksum of bundle, CTs, masks and settings but the time: `LearnerConfig.mark`."""
    digest = hashlib.sha256(parent_sha256.encode())
    digest.update(repr(replace(config, seconds=0.0, mark="")).encode())
    for scan in scans:
        digest.update(repr((scan.names, scan.spacing_kji_mm, tuple(scan.hu.shape))).encode())
        for array in (scan.hu, *scan.masks):
            digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def _scan(
    cases: Sequence[LabelledCase], structures: Sequence[str], settings: ModelSettings
) -> LearningScan:
    """Prepare a CT with the label maps that it has; the later one counts."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for case in cases:
        volume, labels = load_case(case)
        found = structures_of(case, volume, labels)
        masks |= {item.anatomy: item.truth_kji for item in found if item.anatomy in structures}
    return LearningScan.of(LearningCase(case.name, case.name, volume, masks), settings)
