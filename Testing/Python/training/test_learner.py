"""A tiny model goes on learning: it gets nearer to new cases and stays near its old self."""

from __future__ import annotations

import errno
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from learning_case import geometry, scan, ticking, write_model

from CTSAM3DLib.errors import LearningError, OutputFileError
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.manifest import entry_beside
from CTSAM3DLib.training.intensity import window
from CTSAM3DLib.training.learner import Learner
from CTSAM3DLib.training.learning_cases import LearningCase
from CTSAM3DLib.training.learning_scan import LearningScan, ras_array
from CTSAM3DLib.training.lessons import LearnerConfig
from CTSAM3DLib.training.stream import random_sources

CONFIG = LearnerConfig(seconds=1000.0, patch_size=32, warmup=1, lessons=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models"))


@lru_cache(maxsize=1)
def _network(bundle: Path):
    """Return what the bundle holds; not to change."""
    module = torch.jit.load(str(bundle)).to(torch.float32).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _learner(
    bundle: Path, folder: Path, config: LearnerConfig = CONFIG, networks=None, **changes
) -> Learner:
    hu, masks = scan(0)
    settings = entry_beside(bundle).settings
    case = LearningCase("a", "a", Volume(hu, geometry()), {"spleen": masks["spleen"]})
    scans = [LearningScan.of(case, settings)]
    folder.mkdir(exist_ok=True)
    networks = networks or (deepcopy(_network(bundle)), deepcopy(_network(bundle)))
    return Learner(*networks, settings, scans, [], config, folder, **changes)


def test_a_scan_lies_along_r_a_s():
    hu, masks = scan(0)
    case = LearningCase("a", "a", Volume(hu, geometry()), masks)
    made = LearningScan.of(case, _settings())
    assert made.spacing_kji_mm == (2.5, 2.5, 2.5)
    assert np.array_equal(made.hu.numpy(), np.maximum(hu, -1024)[:, ::-1, ::-1])
    for name, mask, points in zip(made.names, made.masks, made.points, strict=True):
        assert np.array_equal(mask.numpy(), masks[name][:, ::-1, ::-1])
        assert all(mask[tuple(point)] for point in points[:20])
    flat = ras_array(hu, geometry())[0]
    assert all(flat[tuple(point)] > -500 for point in made.elsewhere[:20])
    assert not any(mask[tuple(point)] for mask in made.masks for point in made.elsewhere)


def _settings():
    from CTSAM3DLib.network.build import build_lite
    from CTSAM3DLib.network.lite import LiteConfig

    return build_lite(LiteConfig((4, 8, 8, 8, 8), hidden=4), patch_size=32).settings


def test_steps_bring_the_answers_nearer_to_a_lesson(bundle, tmp_path):
    config = LearnerConfig(patch_size=32, rate=1e-2, warmup=1, lessons=1, replay=0.0)
    learner = _learner(bundle, tmp_path, config)
    losses = []
    for _ in range(5):
        learner.iteration = 0  # the same lesson again
        losses.append(learner.step())
    assert losses[-1] < losses[0] - 0.05


def test_the_teacher_keeps_its_weights(bundle, tmp_path):
    learner = _learner(bundle, tmp_path)
    before = [p.clone() for p in learner.teacher.parameters()]
    learner.step()
    pairs = zip(before, learner.teacher.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


class _Recorded(torch.nn.Module):
    """A model whose embedding is its image; it keeps what it is asked to decode."""

    def __init__(self) -> None:
        super().__init__()
        self.segmenter = self
        self.decoder = torch.nn.Conv3d(4, 1, 1)
        self.encoder = torch.nn.Parameter(torch.zeros(1))
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image[:, :1] + self.encoder]

    def decode(self, embedding: list[torch.Tensor], prompt: torch.Tensor) -> torch.Tensor:
        self.asked.append((embedding[0].detach(), prompt.detach()))
        return self.decoder(torch.cat([embedding[0], prompt], 1))


def test_each_click_has_its_lesson_and_the_teacher_is_asked_for_its_own(bundle, tmp_path):
    config = LearnerConfig(patch_size=32, rounds=0.0, lessons=2, clicks=2)
    learner = _learner(bundle, tmp_path, config, networks=(_Recorded(), _Recorded()))
    learner.step()
    rng, generator = random_sources(torch.device("cpu"), config.seed, 0)
    own = [learner.lessons.own(rng, generator) for _ in range(2)]
    other = [learner.lessons.other(rng, generator) for _ in range(2)]
    samples = [(lesson.hu, point) for lesson in own + other for point in lesson.points]
    assert len(samples) == 6
    for model, expected in ((learner.student, samples), (learner.teacher, samples[4:])):
        [(embeddings, prompts)] = model.asked
        for (hu, point), embedding, prompt in zip(expected, embeddings, prompts, strict=True):
            image = window(hu[None], learner.settings.windows_hu)[0, :1]
            assert torch.equal(embedding, image)
            k, j, i = point.long().tolist()
            assert prompt[1].max() == prompt[1, k, j, i]
    assert float(learner.student.encoder.detach()) == 0.0
    assert not torch.equal(learner.student.decoder.weight, learner.start[-2])


def test_what_the_old_model_answers_is_replayed(bundle, tmp_path):
    steps = []
    for replay in (0.0, 9.0):
        config = replace(CONFIG, rounds=0.0, replay=replay)
        learner = _learner(bundle, tmp_path / str(replay), config)
        learner.step()
        learner.iteration = 2  # other lessons, now that the two models differ
        learner.step()
        steps.append(learner.learnt())
    assert not all(torch.equal(one, other) for one, other in zip(*steps, strict=True))


def test_shares_lie_between_the_old_and_the_new_weights(bundle, tmp_path):
    learner = _learner(bundle, tmp_path)
    learner.step()
    learnt = learner.learnt()
    learner.set_share(0.5)
    for middle, start, end in zip(learner.parameters, learner.start, learnt, strict=True):
        torch.testing.assert_close(middle.detach(), 0.5 * (start + end))
    learner.put(learnt)
    learner.set_share(0.0)
    assert all(torch.equal(a, b) for a, b in zip(learner.parameters, learner.start, strict=True))


def test_a_stopped_run_goes_on_exactly(bundle, tmp_path):
    whole = _learner(bundle, tmp_path / "whole")
    for _ in range(2):
        whole.step()
    first = _learner(bundle, tmp_path / "parts")
    first.step()
    first.save()
    second = _learner(bundle, tmp_path / "parts")
    assert second.iteration == 1
    second.step()
    pairs = zip(whole.parameters, second.parameters, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_clock_ends_it_and_a_stop_keeps_the_state(bundle, tmp_path):
    told: list[tuple[float, float]] = []
    config = replace(CONFIG, seconds=3.0)
    learner = _learner(bundle, tmp_path, config, clock=ticking())
    assert not learner.run(lambda: learner.iteration == 1)
    learner = _learner(bundle, tmp_path, config, clock=ticking())
    assert (learner.iteration, learner.seconds) == (1, 1.0)
    assert learner.run(progress=lambda share, left: told.append((share, left)))
    assert learner.iteration == 3
    assert told[-1] == (1.0, 0.0)


def test_a_state_of_other_cases_or_a_damaged_one_is_refused(bundle, tmp_path):
    _learner(bundle, tmp_path).save()
    with pytest.raises(LearningError, match="holds a run on other cases"):
        _learner(bundle, tmp_path, LearnerConfig(patch_size=32, mark="other"))
    (tmp_path / "learner.pt").write_bytes(b"no state")
    with pytest.raises(LearningError, match="is no state of learning"):
        _learner(bundle, tmp_path)
    for other in ([1], torch.zeros(()), {}):
        torch.save(other, tmp_path / "learner.pt")
        with pytest.raises(LearningError, match="is no state of learning"):
            _learner(bundle, tmp_path)


def test_a_full_disk_leaves_the_last_state(bundle, tmp_path, monkeypatch):
    learner = _learner(bundle, tmp_path)
    learner.save()
    before = learner.state_file.read_bytes()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputFileError, match="Free some space"):
        learner.save()
    assert [path.name for path in tmp_path.iterdir()] == ["learner.pt"]
    assert learner.state_file.read_bytes() == before


def test_structures_that_no_patch_shows_are_an_error(bundle, tmp_path):
    learner = _learner(bundle, tmp_path)
    for mask in learner.lessons.scans[0].masks:
        mask.zero_()
    with pytest.raises(LearningError, match="too small for this model"):
        learner.step()
