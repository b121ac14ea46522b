"""Before and after: which model is better, and what the table says."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from learning_case import geometry, scan

from CTSAM3DLib.evaluation.protocol import Step, Trace
from CTSAM3DLib.evaluation.summary import Result
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.training.learning_cases import LearningCase
from CTSAM3DLib.training.learning_score import (
    LEARNT,
    OTHER,
    asked_again,
    chosen_share,
    furthest_better,
    mean_dice,
    questions_of,
    score,
    table,
    verdict,
)


def _results(*curves: tuple[str, str, tuple[float, ...]]) -> list[Result]:
    def trace(curve: tuple[float, ...]) -> Trace:
        return Trace(tuple(Step(Click((0, 0, 0)), 0.0, dice, None) for dice in curve))

    return [Result("a", family, name, "", "", 1.0, trace(curve)) for family, name, curve in curves]


BEFORE = _results((LEARNT, "cyst", (0.5,) * 5), (OTHER, "liver", (0.8,) * 5))


@pytest.mark.parametrize(
    ("learnt", "other", "better"),
    [
        ((0.6,) * 5, (0.8,) * 5, True),
        ((0.6,) * 5, (0.795,) * 5, True),
        ((0.6,) * 5, (0.8, 0.8, 0.78, 0.8, 0.8), False),  # other anatomy loses after 3 clicks
        ((0.501,) * 5, (0.8,) * 5, False),  # chance
        ((0.6, 0.6, 0.6, 0.6, 0.4), (0.8,) * 5, False),  # worse after 5 clicks
        ((0.4,) * 5, (0.9,) * 5, False),
    ],
)
def test_better_is_a_gain_without_a_loss(learnt, other, better):
    found = verdict(BEFORE, _results((LEARNT, "cyst", learnt), (OTHER, "liver", other)))
    assert found.is_better is better
    assert ("not better" in found.text) is not better


def _first(dice: tuple[float, ...], other: float) -> list[Result]:
    learnt = [(LEARNT, f"cyst {number}", (one,)) for number, one in enumerate(dice)]
    return _results(*learnt, (OTHER, "liver", (other,)))


@pytest.mark.parametrize(
    ("whole", "half", "share"),
    [
        (_first((0.5, 0.8), 0.8), _first((0.75, 0.65), 0.8), 1.0),  # scores too few to tell
        (_first((0.6, 0.61), 0.8), _first((0.7, 0.7), 0.8), 0.5),  # each is clearly better
        (_first((0.7, 0.7), 0.78), _first((0.6, 0.6), 0.799), 0.5),  # other anatomy is lost
        (_first((0.7, 0.7), 0.791), _first((0.6, 0.6), 0.799), 1.0),  # as much may be lost
        (_first((0.5, 0.5), 0.8), _first((0.502, 0.5), 0.8), 0.0),  # chance
    ],
)
def test_how_far_a_model_goes(whole, half, share):
    before = _first((0.5, 0.5), 0.8)
    assert chosen_share(before, {1.0: whole, 0.5: half}) == share


def test_clicks_in_one_structure_are_one_observation():
    before, whole, half = (
        _results(*[(LEARNT, "cyst", (one,)) for one in dice])
        for dice in ((0.5, 0.5), (0.6, 0.61), (0.7, 0.7))
    )
    assert chosen_share(before, {1.0: whole, 0.5: half}) == 1.0  # two would tell them apart
    assert chosen_share(before, {1.5: whole, 1.0: _results((LEARNT, "cyst", (0.8,)))}) == 1.0


def _after_five(first: float, fifth: float) -> list[Result]:
    return _results((LEARNT, "cyst", (first,) * 4 + (fifth,)), (OTHER, "liver", (0.8,) * 5))


@pytest.mark.parametrize(
    ("curves", "share", "asked"),
    [
        ({1.5: (0.7, 0.7), 1.0: (0.7, 0.7)}, 1.5, [1.5]),
        ({1.5: (0.7, 0.4), 1.0: (0.7, 0.7), 0.5: (0.7, 0.7)}, 1.0, [1.5, 1.0]),  # worse later
        ({1.5: (0.7, 0.4), 1.0: (0.7, 0.4)}, 1.0, [1.5, 1.0]),  # the last one is told of
        ({1.5: (0.4, 0.7), 1.0: (0.4, 0.7)}, 0.0, []),  # no better after the first click
    ],
)
def test_a_model_goes_less_far_where_more_clicks_are_worse(curves, share, asked):
    told = []

    def all_clicks(at: float) -> list[Result]:
        told.append(at)
        return _after_five(*curves[at])

    found, after = furthest_better(BEFORE, curves, lambda at: _after_five(*curves[at]), all_clicks)
    assert (found, told) == (share, asked)
    assert after == (_after_five(*curves[share]) if share else BEFORE)


def test_without_other_anatomy_nothing_is_lost():
    found = verdict(BEFORE[:1], _results((LEARNT, "cyst", (0.6,) * 5)))
    assert found.is_better
    assert found.loss == 0.0
    assert np.isnan(mean_dice(BEFORE[:1], OTHER, 1))


def test_a_structure_that_is_asked_often_counts_once():
    found = _results(*[(OTHER, "liver", (0.9,))] * 3, (OTHER, "spleen", (0.5,)))
    assert mean_dice(found, OTHER, 1) == pytest.approx(0.7)


def test_table_has_means_and_each_anatomy():
    lines = table(BEFORE, _results((LEARNT, "cyst", (0.6,) * 5), (OTHER, "liver", (0.7,) * 5)))
    assert lines[2] == "| learnt structures | 1 | 0.500 | 0.600 | 0.500 | 0.600 | 0.500 | 0.600 |"
    assert [line.split(" | ")[0] for line in lines[4:]] == [
        "| learnt structures: cyst",
        "| other anatomy: liver",
    ]


def test_every_case_is_asked_before_a_second_structure():
    hu, masks = scan(0)
    cases = [LearningCase(name, name, Volume(hu, geometry()), masks) for name in ("a", "b")]
    found = [(q.structure.case_name, q.structure.anatomy) for q in questions_of(cases, LEARNT, 3)]
    assert found == [("a", "cyst"), ("b", "cyst"), ("a", "spleen")]


def test_few_structures_are_asked_from_several_places():
    hu, masks = scan(0)
    case = LearningCase("a", "a", Volume(hu, geometry()), {"spleen": masks["spleen"]})
    once = questions_of([case], LEARNT, 9)
    results = score(BallPredictor(), asked_again(once, 9), "x", 1)
    assert len({result.trace.steps[0].click for result in results}) == 3
    assert len(asked_again(once * 5, 9)) == 5


def test_scores_are_those_of_clicks_at_the_largest_error():
    hu, masks = scan(0)
    case = LearningCase("a", "a", Volume(hu, geometry()), masks)
    asked: list[int] = []
    results = score(
        BallPredictor(), questions_of([case], LEARNT, 9), "x", 2, on_each=lambda: asked.append(1)
    )
    assert len(asked) == len(results) == 2
    assert all(len(result.trace.steps) == 2 for result in results)
    assert mean_dice(results, LEARNT, 2) > 0.1
