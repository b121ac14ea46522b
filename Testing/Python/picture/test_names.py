"""Names in a picture: they stay inside it and apart, and are drawn as they are written."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.picture.picture import draw_picture

pytest.importorskip("matplotlib")

VOLUME = Volume(np.zeros((12, 30, 40), np.int16), Geometry(np.eye(4), (12, 30, 40)))
BALL = RegionMask.from_full(np.pad(np.ones((4, 10, 10), bool), ((4, 4), (10, 10), (15, 15))))


@pytest.mark.slow
@pytest.mark.parametrize("letters", ["a_lesion_", "肝脏"])
def test_long_names_stay_inside_the_picture_and_apart(letters: str) -> None:
    names = [f"{n}{letters * 30}{n}" for n in range(12)]
    segments = [Segment(name, BALL) for name in names]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|Matplotlib currently", UserWarning)
        figure = draw_picture(VOLUME, segments, letters * 60)
        figure.draw_without_rendering()
        legend = figure.axes[-1].get_legend().get_window_extent()
        (title,) = (text.get_window_extent() for text in figure.texts)
        tiles = [axes.title.get_window_extent() for axes in figure.axes[4:-1]]
    assert max(legend.x1, title.x1) < figure.bbox.x1
    assert len(tiles) == 12
    assert not any(one.overlaps(other) for one, other in itertools.combinations(tiles, 2))


def test_names_are_drawn_as_they_are_written() -> None:
    names = [r"a$\frac$b", "_hidden", "x$y$"]
    segments = [Segment(name, BALL) for name in names]
    figure = draw_picture(VOLUME, segments, "$\\nothing$ M\udcfcller")
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    for name, text in zip(names, texts, strict=True):
        assert text.strip().startswith(name)
    assert figure.texts[0].get_text() == "$\\nothing$ M?ller"
