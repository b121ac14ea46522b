"""What a learner is shown: where a user clicks, and where its old self is asked."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_case import geometry, scan

from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.training import learning_scan
from CTSAM3DLib.training.learner import Learner
from CTSAM3DLib.training.learning_cases import LearningCase
from CTSAM3DLib.training.learning_scan import LearningScan
from CTSAM3DLib.training.lessons import LearnerConfig, Lessons
from CTSAM3DLib.training.sampling import cut
from CTSAM3DLib.training.stream import random_sources

CPU = torch.device("cpu")

SETTINGS = ModelSettings(
    "tiny", 32, (1.5, 4.0), 2.5, ((-125.0, 225.0),), voxel_sizes_mm={"trachea": 1.75, "heart": 4.0}
)
CONFIG = LearnerConfig(seconds=1000.0, patch_size=32, warmup=1, lessons=1, rounds=0.0)


def _scan(names=("spleen",), change=lambda hu, masks: None) -> LearningScan:
    hu, masks = scan(0)
    change(hu, masks)
    case = LearningCase("a", "a", Volume(hu, geometry()), {name: masks[name] for name in names})
    return LearningScan.of(case, SETTINGS)


def _rod(hu, masks) -> None:
    """Put something as bright as the spleen beside it."""
    hu[4:20, 4:7, 20:24] += 150


def test_places_alike_have_the_intensities_of_the_structure_and_lie_outside_it():
    made = _scan(change=_rod)
    hu = made.hu.numpy()[tuple(made.alike.numpy().T)]
    assert len(hu) > 100
    assert np.mean(np.abs(hu - 150) < 60) > 0.9
    assert not made.masks[0][tuple(made.alike.T)].any()


def test_where_nothing_looks_like_the_structure_no_place_is_alike():
    def bright(hu, masks) -> None:
        hu[masks["spleen"]] = 2000

    made = _scan(change=bright)
    assert len(made.alike) == 0
    generator = random_sources(torch.device("cpu"), 0)
    assert Lessons([made], [], CONFIG).other(*generator).points.shape == (1, 3)


def test_deeper_voxels_of_a_structure_are_drawn_more_often():
    made = _scan()
    middle = torch.stack(torch.where(made.masks[0] > 0), 1).float().mean(0)
    radius = (made.points[0].float() - middle).norm(dim=1).mean()
    even = (torch.stack(torch.where(made.masks[0] > 0), 1).float() - middle).norm(dim=1).mean()
    assert radius < even - 0.3


def test_the_old_self_is_asked_at_every_voxel_size_of_a_session(monkeypatch):
    lessons = Lessons([_scan(change=_rod)], [], CONFIG)
    asked, place = [], lessons._place

    def noted(made, points, look_mm, rng):
        asked.append((points is made.alike, look_mm))
        return place(made, points, look_mm, rng)

    monkeypatch.setattr(lessons, "_place", noted)
    rng, generator = random_sources(torch.device("cpu"), 0)
    for _ in range(40):
        lessons.other(rng, generator)
    assert {look_mm for _, look_mm in asked} == {1.875, 2.5, 4.0}  # 0.75 of the CT's 2.5 mm
    assert 10 <= sum(alike for alike, _ in asked) <= 30


def test_the_first_click_of_a_lesson_is_where_its_patch_was_placed(monkeypatch):
    lessons = Lessons([_scan()], [], CONFIG)
    places, place = [], lessons._place

    def noted(*arguments):
        places.append(place(*arguments))
        return places[-1]

    monkeypatch.setattr(lessons, "_place", noted)
    rng, generator = random_sources(torch.device("cpu"), 0)
    for _ in range(10):
        lesson = lessons.own(rng, generator)
        at = torch.tensor(np.round(places[-1][1])).float()
        inside = bool(lesson.target[tuple(at.long().tolist())])
        assert len(lesson.points) == CONFIG.clicks
        assert torch.equal(lesson.points[0], at) or not inside
        assert all(lesson.target[tuple(point.long().tolist())] for point in lesson.points)


def test_a_hasty_user_clicks_anywhere_in_the_structure(monkeypatch):
    made = _scan()
    inside = torch.stack(torch.where(made.masks[0] > 0), 1)
    middle = inside.float().mean(0)
    assert made.masks[0][tuple(made.anywhere[0].T)].all()
    radii = [(places.float() - middle).norm(dim=1).mean() for places in (made.anywhere[0], inside)]
    assert float(radii[0]) == pytest.approx(float(radii[1]), abs=0.1)
    for share, fewest, most in ((0.0, 0, 0), (0.3, 3, 20), (1.0, 40, 40)):
        lessons = Lessons([made], [], replace(CONFIG, hasty=share))
        drawn, place = [], lessons._place

        def noted(scan, points, look_mm, rng, drawn=drawn, place=place):
            drawn.append(points is made.anywhere[0])
            return place(scan, points, look_mm, rng)

        monkeypatch.setattr(lessons, "_place", noted)
        rng, generator = random_sources(CPU, 0)
        while len(drawn) < 40:
            lessons.own(rng, generator)
        assert fewest <= sum(drawn) <= most


def test_structure_and_ct_of_a_lesson_bend_together():
    def flat(hu, masks) -> None:
        hu[:] = np.where(masks["spleen"], 150.0, -50.0)

    made = _scan(change=flat)
    lessons = {share: Lessons([made], [], replace(CONFIG, bent=share)) for share in (0.0, 1.0)}
    for lesson_of in lessons.values():
        lesson_of._image = lambda scan, placement, bends, *_: cut(
            scan.hu, placement, nearest=False, fill=-50.0, bends=bends
        )
    for seed in range(5):
        straight, bent = (lessons[s].own(*random_sources(CPU, seed)) for s in (0.0, 1.0))
        assert not torch.equal(straight.target, bent.target)
        shown = bent.hu > 50
        overlap = 2 * int((shown & bent.target).sum()) / int(shown.sum() + bent.target.sum())
        assert overlap > 0.9


def test_the_old_self_is_also_asked_on_slabs_with_air_beyond():
    def bright(hu, masks) -> None:
        hu[:] = 100

    lessons = Lessons([_scan(change=bright)], [], replace(CONFIG, slabs=1.0))
    lessons._image = lambda scan, placement, bends, *_: cut(
        scan.hu, placement, nearest=False, fill=100.0, bends=bends
    )
    for seed in range(10):
        lesson = lessons.other(*random_sources(CPU, seed))
        shown = lesson.hu > -500
        extent = [int(axis.max() - axis.min()) + 1 for axis in torch.where(shown)]
        assert sorted(extent)[1:] == [32, 32]
        assert 3 <= min(extent) <= 15
        assert int(shown.sum()) == np.prod(extent)
        assert shown[tuple(lesson.points[0].long().tolist())]


class _Answering(torch.nn.Module):
    """A model whose answer is a weight beside the learnt structure and another one in it."""

    def __init__(self, beside: float, within: float) -> None:
        super().__init__()
        self.segmenter = self
        self.weights = torch.nn.Parameter(torch.tensor([beside, within]))
        self.within = torch.zeros(32, 32, 32, dtype=torch.bool)

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image[:, :1]]

    def decode(self, embedding: list[torch.Tensor], prompt: torch.Tensor) -> torch.Tensor:
        answer = torch.where(self.within, self.weights[1], self.weights[0])
        return answer.expand(len(prompt), 1, 32, 32, 32) + 0.0 * embedding[0]


@pytest.mark.parametrize(("beside", "is_kept"), [(3.0, True), (-3.0, False)])
def test_what_the_old_self_says_in_a_learnt_structure_is_not_kept(beside, is_kept, tmp_path):
    teacher = _Answering(beside, 3.0)
    student = deepcopy(teacher)
    learner = Learner(student, teacher, SETTINGS, [_scan()], [], CONFIG, tmp_path)
    lesson = learner.lessons.own(*random_sources(torch.device("cpu"), 0))
    known = lesson.target
    teacher.within = student.within = known
    # Clicks elsewhere, whose answers reach into the structure: only answers beside it count.
    learner.lessons.own = lambda *_: replace(lesson, points=lesson.points[:1])
    learner.lessons.other = lambda *_: replace(lesson, points=lesson.points[:1])
    losses = []
    for changed in ((beside, 3.0), (beside, -3.0), (beside - 1.0, 3.0)):
        student.weights.data = torch.tensor(changed)
        random = random_sources(torch.device("cpu"), 0)
        learner.config = replace(CONFIG, replay=0.0)
        without = float(learner._loss(*random).detach())
        learner.config = replace(CONFIG, replay=6.0)
        losses.append(float(learner._loss(*random).detach()) - without)
    assert losses[:2] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert (losses[2] > 0.1) is is_kept


def test_of_a_large_structure_every_other_voxel_is_looked_at(monkeypatch):
    monkeypatch.setattr(learning_scan, "MOST_VOXELS", 200)
    made = _scan()
    points = made.points[0]
    assert made.masks[0][tuple(points.T)].all()
    assert all(len(torch.unique(axis % 2)) == 1 for axis in points.T)
