"""Averages over structures, by hand."""

from __future__ import annotations

import math

import pytest
from evaluation_case import trace_of

from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.summary import Result, mean_row, steadiness_of


def test_means_by_hand():
    protocol = ClickProtocol(max_clicks=3, checkpoints=(1, 3, 5))
    traces = [
        trace_of(0.2, 0.82, 0.9, seconds=1.0),
        trace_of(0.4, 0.5, 0.6, seconds=3.0),
        trace_of(0.9, error="click 2: gone"),
    ]
    row = mean_row("m", traces, protocol)
    assert (row.n_structures, row.n_errors) == (3, 1)
    assert row.dice == {1: pytest.approx(0.5), 3: pytest.approx(0.5)}
    assert row.nsd[3] == pytest.approx(0.25)
    assert row.dice_curve == pytest.approx([0.5, 0.44, 0.5])
    assert row.noc == {
        0.80: pytest.approx(2.0),
        0.85: pytest.approx(7 / 3),
        0.90: pytest.approx(7 / 3),
    }
    assert row.reached[0.80] == pytest.approx(2 / 3)
    assert row.first_click_s == pytest.approx(5 / 3)
    assert row.next_click_s == pytest.approx(2.0)
    assert math.isnan(mean_row("m", [trace_of(1.0)], protocol).next_click_s)


def test_harm_of_further_clicks_by_hand():
    protocol = ClickProtocol(max_clicks=4)
    traces = {
        "steady": trace_of(0.5, 0.6, 0.6, 0.7),
        "falling": trace_of(0.5, 0.8, 0.7, 0.74),  # ends 0.06 below its best
        "almost": trace_of(0.5, 0.74, 0.7, 0.7),  # ends 0.04 below its best
        "collapsed": trace_of(0.5, 0.0, 0.7, 0.7),
        "never": trace_of(0.0, 0.0, 0.7, 0.7),
    }
    results = [Result("c", "f", name, "medium", "m", 1.0, t) for name, t in traces.items()]
    (row,) = steadiness_of(results, protocol)
    # Means 0.4, 0.428, 0.68, 0.708 do not fall.
    assert (row.n_worse, row.n_collapsed, row.n_disobeyed) == (1, 1, 0)
    assert row.largest_fall == 0.0
    (alone,) = steadiness_of(results[1:2], protocol)
    assert alone.largest_fall == pytest.approx(0.1)
