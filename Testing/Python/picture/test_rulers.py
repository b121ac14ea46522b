"""Letters and millimetres in a picture: where they stand, and that they are those of SimpleITK."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from picture_case import DIRECTIONS, ball, body_volume, drawn
from slow_values import slow

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.prompts import Click, ClickHistory

sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")

VOXEL = (30, 22, 15)
# Anatomical axes of each plane: across, up, normal.
AXES = ((0, 1, 2), (0, 2, 1), (1, 2, 0))


def geometry_of(name: str) -> Geometry:
    matrix = np.eye(4)
    matrix[:3, :3] = DIRECTIONS[name] * (1.6, 2.1, 3.3)
    matrix[:3, 3] = (35, -66, 107)
    return Geometry(matrix, (30, 40, 50))


def place_of_simpleitk(geometry: Geometry) -> np.ndarray:
    """Return where the voxel is, RAS mm."""
    image = sitk.Image(*geometry.size_ijk, sitk.sitkInt16)
    origin, spacing, direction = geometry.lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    return np.array(image.TransformIndexToPhysicalPoint(VOXEL)) * (-1, -1, 1)


def picture_of(geometry: Geometry):
    """Return the figure of a ball that is clicked in a voxel."""
    mask = ball(geometry, VOXEL, 20)
    volume = Volume(np.where(mask, 40, -1000).astype(np.int16), geometry, "ball")
    click = Click(tuple(place_of_simpleitk(geometry)))
    clicked = Segment("a", RegionMask.from_full(mask), ClickHistory([click]))
    return drawn(volume, [clicked, Segment("b", RegionMask.from_full(mask))])


@pytest.mark.parametrize("name", [name for name in DIRECTIONS if name != "oblique"])
def test_a_click_stands_at_its_millimetres(name: str) -> None:
    geometry = geometry_of(name)
    place = place_of_simpleitk(geometry)
    figure = picture_of(geometry)
    for view, (across, up, normal) in zip(figure.axes[:3], AXES, strict=True):
        (x,), (y,) = view.lines[0].get_data()
        for axis, at, ruler, sign in ((across, x, view.xaxis, -1), (up, y, view.yaxis, 1)):
            values = [float(text.get_text()) for text in ruler.get_ticklabels()]
            assert values
            told = np.array(values) + sign * (at - ruler.get_ticklocs())
            np.testing.assert_allclose(told, place[axis], atol=1e-6)
        found = re.fullmatch(r"\w+ ([RAS]) (-?\d+) mm", view.texts[0].get_text())
        assert found is not None
        assert found[1] == "RAS"[normal]
        assert abs(float(found[2]) - place[normal]) <= geometry.spacing_mm[0] * 2 + 0.5
    tile = next(axes for axes in figure.axes if axes.get_title().startswith("a "))
    assert tile.get_title() == f"a S {place[2]:.0f} mm"


def test_an_oblique_slice_has_no_one_place() -> None:
    figure = picture_of(geometry_of("oblique"))
    for view, name in zip(figure.axes[:3], ("axial", "coronal", "sagittal"), strict=True):
        assert view.texts[0].get_text() == name
        assert not [*view.get_xticks(), *view.get_yticks()]


@pytest.mark.parametrize(
    "shape",
    [
        (1, 60, 80), (6, 60, 80), (200, 60, 80), (90, 80, 4), (60, 4, 80),
        *slow((2, 60, 80), (20, 60, 80), (200, 5, 80), (200, 80, 20), (200, 1, 1)),
    ],
)  # fmt: skip
def test_letters_do_not_overlap_and_are_outlined(shape: tuple[int, int, int]) -> None:
    volume = body_volume(shape)[0]
    figure = drawn(volume, [Segment("a", RegionMask.from_full(np.ones(shape, bool)))])
    texts = [one for axes in figure.axes[:4] for one in axes.texts]
    texts = [one for one in texts if not re.fullmatch(r"\d+ mm", one.get_text())]
    assert len(texts) == 4 * 5
    for axes in figure.axes[:3]:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    for one, other in itertools.combinations(texts, 2):
        boxes = [text.get_window_extent() for text in (one, other)]
        assert not boxes[0].overlaps(boxes[1]), (one, other)
    assert all(text.get_path_effects() for text in texts)
