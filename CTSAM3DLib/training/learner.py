"""Go on training a model on a few cases, with its old self as teacher everywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.training.batches import SMALLEST_IN_PATCH
from CTSAM3DLib.training.episodes import Episode
from CTSAM3DLib.training.intensity import window
from CTSAM3DLib.training.learning_scan import LearningScan
from CTSAM3DLib.training.lessons import LearnerConfig, Lessons
from CTSAM3DLib.training.losses import segmentation_loss
from CTSAM3DLib.training.precision import mixed_precision
from CTSAM3DLib.training.simulated_clicks import render_each
from CTSAM3DLib.training.state_file import NO_STATE, write_state
from CTSAM3DLib.training.stream import random_sources

MOST_OVERLAP = 0.5
"""No lesson is an answer of the teacher that is, to more than this share, a learnt structure."""


class Learner:
    """Trains a copy of a model; goes on from ``learner.pt`` of its folder.

    `student` and `teacher` are two copies of one promptable model, as a bundle holds it, in
    float32; the decoder of the first one is changed. `scans` are learnt, on `others` too the old
    answers are kept. `clock` gives seconds. Raises LearningError: `run_dir` holds the state of
    another run, or a file that is none.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any,
        settings: ModelSettings,
        scans: Sequence[LearningScan],
        others: Sequence[LearningScan],
        config: LearnerConfig,
        run_dir: Path,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.student, self.teacher, self.settings = student, teacher, settings
        self.lessons, self.config = Lessons(scans, others, config), config
        self.run_dir, self.clock = run_dir, clock
        parameters = list(student.segmenter.parameters())
        for parameter in parameters:
            parameter.requires_grad_(True)
        self.device = parameters[0].device
        self.start = [p.detach().clone() for p in parameters]
        self.parameters = parameters
        self.optimiser = torch.optim.Adam(parameters, config.rate, betas=(0.9, 0.99))
        self.iteration = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.names = self.lessons.names
        if self.state_file.is_file():
            self._resume()

    @property
    def state_file(self) -> Path:
        """Where the state is kept."""
        return self.run_dir / "learner.pt"

    @property
    def share(self) -> float:
        """How much of the time is used, 0 to 1."""
        return min(1.0, self.seconds / self.config.seconds)

    def run(
        self,
        should_stop: Callable[[], bool] = lambda: False,
        progress: Callable[[float, float], object] = lambda _share, _seconds_left: None,
    ) -> bool:
        """Learn until the time is used; False when it was stopped before.

        `should_stop` is asked before each step. `progress` gets the used share of the time and the
        seconds that are left. The state is saved on the way and at the end. Raises OutputFileError:
        the state cannot be saved.
        """
        last = saved = self.clock()
        while self.seconds < self.config.seconds:
            if should_stop():
                self.save()
                return False
            self.step()
            now = self.clock()
            self.seconds += now - last
            last = now
            progress(self.share, max(0.0, self.config.seconds - self.seconds))
            if now - saved >= self.config.save_every_s:
                self.save()
                saved = now
        self.save()
        return True

    def step(self) -> float:
        """Take lessons of the user and of the old model; returns the loss."""
        rng, generator = random_sources(torch.device("cpu"), self.config.seed, self.iteration)
        # As it is written: compiling it anew would cost minutes.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            loss = self._loss(rng, generator)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimiser.param_groups:
            warm = min(1.0, (self.iteration + 1) / max(1, self.config.warmup))
            group["lr"] = self.config.rate * warm * 0.5 * (1.0 + math.cos(math.pi * self.share))
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
        self.iteration += 1
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    @torch.no_grad()
    def set_share(self, share: float) -> None:
        """Put the student between its start (0) and what it has learnt (1), or beyond, for good."""
        for parameter, start in zip(self.parameters, self.start, strict=True):
            parameter.copy_(torch.lerp(start, parameter, share))

    def learnt(self) -> list[Tensor]:
        """Return a copy of the student's weights."""
        return [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def put(self, weights: Sequence[Tensor]) -> None:
        """Give the student these weights."""
        for parameter, value in zip(self.parameters, weights, strict=True):
            parameter.copy_(value)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {
            "mark": self.config.mark,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "weights": self.learnt(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_state(self.state_file, state)

    def _resume(self) -> None:
        try:
            state = torch.load(self.state_file, map_location=self.device, weights_only=True)
            mark = state["mark"]
        except NO_STATE as error:
            raise LearningError(
                f"{self.state_file} is no state of learning. Remove it, or choose another folder"
            ) from error
        if mark != self.config.mark:
            raise LearningError(
                f"{self.run_dir} holds a run on other cases, with another model, for another "
                "time, or of another version of CT-SAM3D. Choose another folder or name, or start "
                "anew (--restart; in Slicer Begin anew)"
            )
        self.put(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.iteration, self.seconds = int(state["iteration"]), float(state["seconds"])

    # ---- one step

    def _loss(self, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        """Decode with clicks of the lessons, then of the teacher, on one fixed embedding."""
        own = [self.lessons.own(rng, generator) for _ in range(self.config.lessons)]
        other = [self.lessons.other(rng, generator) for _ in range(self.config.lessons)]
        lessons = [lesson for lesson in own for _ in lesson.points] + other
        numbers = [n for n, lesson in enumerate(own + other) for _ in lesson.points]
        index = torch.tensor(numbers, device=self.device)
        hu = torch.stack([lesson.hu for lesson in own + other]).to(self.device)
        known = torch.stack([lesson.target for lesson in lessons])[:, None].float().to(self.device)
        points = torch.cat([lesson.points for lesson in own + other]).to(self.device)
        labels = torch.ones(len(points), dtype=torch.int64, device=self.device)
        image = window(hu, self.settings.windows_hu)
        with torch.no_grad(), mixed_precision(image):
            embedding = [maps[index] for maps in self.teacher.segmenter.encode(image)]
        empty = torch.zeros_like(known[:, 0])
        clicks = render_each(points, labels, hu.shape[1:])
        episode = Episode(image, known.clone(), empty, clicks)
        count = len(points) - len(other)
        loss, logits = self._decode(embedding, episode, known, empty, count)
        if rng.random() >= self.config.rounds:
            return loss
        before = logits.detach()
        jitter = torch.rand(empty.shape, generator=generator).to(self.device)
        episode.correct(before, jitter)
        second, _ = self._decode(embedding, episode, known, torch.sigmoid(before[:, 0]), count)
        return 0.5 * (loss + second)

    def _decode(
        self,
        embedding: list[Tensor],
        episode: Episode,
        known: Tensor,
        probability: Tensor,
        count: int,
    ) -> tuple[Tensor, Tensor]:
        """Return loss and logits; after `count` samples the teacher's answers become the target."""
        prompt = episode.prompt(probability)
        with mixed_precision(prompt):
            logits = self.student.segmenter.decode(embedding, prompt).float()
        with torch.no_grad(), mixed_precision(prompt):
            rest = [maps[count:] for maps in embedding]
            answers = self.teacher.segmenter.decode(rest, prompt[count:]).float()
        episode.target[count:] = (answers > 0).float()
        loss = segmentation_loss(logits[:count], known[:count])
        for now, answer, learnt in zip(logits[count:], answers, known[count:], strict=True):
            # A lesson where the teacher found something else than what is to be learnt; what it
            # says there is not kept.
            mask, beside = answer > 0, learnt == 0
            size, kept = int(mask.sum()), int((mask & beside).sum())
            if kept >= SMALLEST_IN_PATCH and size - kept <= MOST_OVERLAP * size:
                apart = disagreement(now[beside][None], answer[beside][None])
                loss = loss + self.config.replay / len(answers) * apart
        return loss, logits


def disagreement(logits: Tensor, answer: Tensor) -> Tensor:
    """Return how far logits are from another model's: 0 where they are equal.

    Both are (B, ...). It is the divergence of the voxels' probabilities, mean, and their
    difference as a share of the answer.
    """
    target = torch.sigmoid(answer)
    own = F.binary_cross_entropy_with_logits(answer, target)
    entropy = F.binary_cross_entropy_with_logits(logits, target) - own
    apart = (torch.sigmoid(logits) - target).abs().flatten(1).sum(1)
    return entropy + (apart / (target.flatten(1).sum(1) + 1.0)).mean()
