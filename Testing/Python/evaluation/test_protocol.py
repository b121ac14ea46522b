"""Simulated clicking: who clicks where, and how the masks are scored."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_case import CENTRE, OUTSIDE, SPACING, Scripted, structure_of

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.protocol import ClickProtocol, Trace, generator_for, simulate
from CTSAM3DLib.evaluation.surface_dice import nsd
from CTSAM3DLib.geometry.overlap import dice


def test_scores_are_those_of_the_masks(ball):
    volume, truth = ball
    half = truth.copy()
    half[:20] = False
    shifted = np.roll(truth, 1, axis=2)
    trace = simulate(
        Scripted([half, shifted, shifted]), structure_of(volume, truth), volume,
        ClickProtocol(max_clicks=3, checkpoints=(1, 3)),
    )  # fmt: skip
    assert [step.dice for step in trace.steps] == [
        pytest.approx(dice(truth, mask)) for mask in (half, shifted, shifted)
    ]
    assert trace.nsd_after(1) == pytest.approx(nsd(truth, half, SPACING, 2.0))
    assert trace.steps[1].nsd is None
    assert trace.clicks_to(0.9) == 2
    with pytest.raises(CTSAM3DError, match="expected a checkpoint, got 2 clicks"):
        trace.nsd_after(2)


def test_user_corrects_the_mistakes_of_the_method(ball):
    volume, truth = ball
    leak = truth.copy()
    leak[:, :16, :16] = True
    attempt = Scripted([np.zeros_like(truth), leak, leak])
    simulate(attempt, structure_of(volume, truth), volume, ClickProtocol(max_clicks=3))
    assert [click.positive for click in attempt.seen] == [True, True, False]
    for click in attempt.seen[:2]:
        i, j, k = volume.geometry.voxel_from_ras(click.position_ras)
        assert truth[k, j, i]
    i, j, k = volume.geometry.voxel_from_ras(attempt.seen[2].position_ras)
    assert leak[k, j, i]
    assert not truth[k, j, i]


def test_first_click_is_the_same_for_every_method_and_repeats(ball):
    volume, truth = ball
    structure = structure_of(volume, truth)
    firsts = set()
    for masks in ([truth], [np.zeros_like(truth)], [~truth]):
        attempt = Scripted(masks)
        simulate(attempt, structure, volume, ClickProtocol(seed=5))
        firsts.add(attempt.seen[0])
    assert len(firsts) == 1
    other = structure_of(volume, truth, anatomy="other")
    draws = [
        generator_for(s, seed).random() for s, seed in ((structure, 5), (structure, 6), (other, 5))
    ]
    assert len(set(draws)) == 3
    assert generator_for(structure, 5).random() == draws[0]


def test_user_stops_when_the_mask_is_right(ball):
    volume, truth = ball
    trace = simulate(Scripted([truth]), structure_of(volume, truth), volume, ClickProtocol())
    assert len(trace.steps) == 1
    assert (trace.dice_after(10), trace.nsd_after(10), trace.nsd_after(3)) == (1.0, 1.0, 1.0)


def test_failure_scores_nothing_from_there_on(ball):
    volume, truth = ball
    trace = simulate(
        Scripted([truth ^ np.roll(truth, 1), None]), structure_of(volume, truth), volume,
        ClickProtocol(),
    )  # fmt: skip
    assert trace.error == "click 2: out of masks"
    assert trace.dice_after(1) > 0
    assert (trace.dice_after(2), trace.nsd_after(10)) == (0.0, 0.0)
    assert Trace((), "broken").dice_after(1) == 0.0


def test_replay_gives_the_same_clicks_and_measures_the_last(ball):
    volume, truth = ball
    clicks = [CENTRE, OUTSIDE]
    attempt = Scripted([np.roll(truth, 2)])
    trace = simulate(attempt, structure_of(volume, truth), volume, ClickProtocol(), clicks)
    assert attempt.seen == clicks
    assert trace.nsd_after(10) == trace.steps[-1].nsd
    structure = structure_of(volume, truth)
    failing = simulate(Scripted([None]), structure, volume, ClickProtocol(), clicks)
    assert failing.error == "click 1: out of masks"


def test_a_click_that_is_not_obeyed_is_counted(ball):
    volume, truth = ball
    structure = structure_of(volume, truth)
    stubborn = simulate(Scripted([truth & False, truth]), structure, volume, ClickProtocol())
    assert [step.obeyed for step in stubborn.steps] == [False, True]
