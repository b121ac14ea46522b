"""Clicks as seeds in a box, for classical methods."""

from __future__ import annotations

import numpy as np
from evaluation_case import CENTRE, OUTSIDE

from CTSAM3DLib.evaluation.seeds import BACKGROUND, FOREGROUND, seeded_box
from CTSAM3DLib.prompts import Click


def test_box_holds_the_positive_clicks_and_a_margin(ball):
    volume, _ = ball
    box = seeded_box(volume, [CENTRE, OUTSIDE], 10.0)
    assert (box.bbox.start_ijk, box.bbox.stop_ijk) == ((29, 23, 16), (40, 34, 25))
    np.testing.assert_array_equal(box.hu_kji, volume.array_kji[16:25, 23:34, 29:40])
    assert box.clicks_kji == [((4, 5, 5), True)]
    assert box.open_faces == (True,) * 6
    assert seeded_box(volume, [OUTSIDE], 10.0) is None


def test_faces_on_the_edge_of_the_volume_are_not_background(ball):
    volume, _ = ball
    box = seeded_box(volume, [Click((4.0, 56.0, 60.0))], 12.0)
    seeds = box.seeds(0.0)
    assert box.open_faces == (True, True, True, True, False, True)
    assert (seeds[1:-1, 1:-1, 0] == 0).all()
    assert (seeds[:, :, -1] == BACKGROUND).all()
    assert (seeds[0] == BACKGROUND).all()
    whole = seeded_box(volume, [CENTRE], 1000.0)
    assert not any(whole.open_faces)
    assert (whole.seeds(0.0)[:, :, 0] == BACKGROUND).all()


def test_clicks_paint_balls_in_mm_and_later_ones_win(ball):
    volume, _ = ball
    near = Click((68.0, 60.0, 60.0), positive=False)
    box = seeded_box(volume, [CENTRE, near], 20.0)
    seeds = box.seeds(4.5)
    first, second = (place for place, _ in box.clicks_kji)
    mm = np.indices(seeds.shape) * np.array([3.0, 2.0, 2.0])[:, None, None, None]

    def ball_round(place):
        centre = np.array(place) * [3.0, 2.0, 2.0]
        return ((mm - centre[:, None, None, None]) ** 2).sum(0) <= 4.5**2

    expected = np.where(ball_round(first), FOREGROUND, 0)
    expected[ball_round(second)] = BACKGROUND
    expected[first] = FOREGROUND
    inner = (slice(1, -1),) * 3  # the faces are background
    np.testing.assert_array_equal(seeds[inner], expected[inner])
    assert ball_round(second)[first]
    assert (expected == FOREGROUND).sum() > 3
