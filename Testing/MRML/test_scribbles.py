"""Curves of Markups as scribbles: against Slicer's own points, under transforms of both."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")

from CTSAM3DLib.errors import ClickOutsideVolumeError, NodeError  # noqa: E402
from CTSAM3DLib.mrml import (  # noqa: E402
    get_clicks,
    scribble_from_curve,
    set_clicks,
    world_line,
)
from CTSAM3DLib.prompts import Click, Prompts  # noqa: E402
from Testing.MRML.cases import MOVED, OBLIQUE_LEFT_HANDED, SHAPE, TILTED  # noqa: E402

CORNERS_IJK = np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [4.0, 4.0, 2.0]])


@pytest.fixture
def volume(mrml):
    node = mrml.volume(np.zeros(SHAPE, np.int16), OBLIQUE_LEFT_HANDED)
    mrml.linear(MOVED, node)
    return node


def curve(mrml, corners_world, name="curve", above=None):
    node = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode", name)
    node.SetCurveTypeToLinear()
    if above is not None:
        mrml.linear(above, node)
    for corner in corners_world:
        node.AddControlPointWorld(corner)
    return node


def moved(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("above", [None, TILTED])
def test_a_curve_becomes_a_line_in_the_frame_of_the_volume(mrml, volume, above) -> None:
    corners_ras = moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK)
    node = curve(mrml, moved(MOVED, corners_ras), above=above)

    scribble = scribble_from_curve(node, volume)

    line = np.array(scribble.line_ras)
    np.testing.assert_allclose(line[[0, -1]], corners_ras[[0, -1]], atol=1e-4)
    for corner in corners_ras:
        assert np.linalg.norm(line - corner, axis=1).min() < 1e-4
    shown = world_line(scribble, volume)
    for number in range(3):
        corner = np.zeros(3)
        node.GetNthControlPointPositionWorld(number, corner)
        assert np.linalg.norm(shown - corner, axis=1).min() < 1e-4


@pytest.mark.parametrize(("name", "positive"), [("liver", True), ("liver negative", False)])
def test_the_name_says_the_sign(mrml, volume, name, positive) -> None:
    world = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK))
    assert scribble_from_curve(curve(mrml, world, name), volume).positive is positive


def test_curves_that_cannot_be_used(mrml, volume) -> None:
    world = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK))
    with pytest.raises(NodeError, match="expected a line in"):
        scribble_from_curve(curve(mrml, []), volume)
    with pytest.raises(ClickOutsideVolumeError, match="expected a position inside"):
        scribble_from_curve(curve(mrml, [*world, world[0] + 1000]), volume)


def test_a_tag_keeps_scribbles_and_clicks_in_their_order(mrml, volume) -> None:
    world = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK))
    segmentation = mrml.segmentation()
    segment_id = segmentation.GetSegmentation().AddEmptySegment("organ")
    inside = moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK[:1])[0]
    prompts = Prompts([Click(inside), scribble_from_curve(curve(mrml, world), volume)])
    set_clicks(segmentation, segment_id, prompts.added(Click(inside, False)), volume)
    assert get_clicks(segmentation, segment_id) == prompts.added(Click(inside, False))
