"""Curves of Markups as scribbles: against Slicer's own points, under transforms of both."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")
import vtk  # noqa: E402

from CTSAM3DLib.errors import ClickOutsideVolumeError, NodeError  # noqa: E402
from CTSAM3DLib.mrml import (  # noqa: E402
    MARKUPS_CLASSES,
    get_prompts,
    set_markup_points,
    set_prompts,
    shape_from_markup,
    world_points,
)
from CTSAM3DLib.prompts import Box, Click, Lasso, Prompts, Scribble  # noqa: E402
from Testing.MRML.cases import MOVED, OBLIQUE_LEFT_HANDED, SHAPE, TILTED  # noqa: E402

SCALED = TILTED @ np.diag([1.2, 0.9, 1, 1])
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

    scribble = shape_from_markup(node, volume)

    line = np.array(scribble.line_ras)
    np.testing.assert_allclose(line[[0, -1]], corners_ras[[0, -1]], atol=1e-4)
    for corner in corners_ras:
        assert np.linalg.norm(line - corner, axis=1).min() < 1e-4
    shown = world_points(scribble, volume)
    for number in range(3):
        corner = np.zeros(3)
        node.GetNthControlPointPositionWorld(number, corner)
        assert np.linalg.norm(shown - corner, axis=1).min() < 1e-4


@pytest.mark.parametrize(("name", "positive"), [("liver", True), ("liver negative", False)])
def test_the_name_says_the_sign(mrml, volume, name, positive) -> None:
    world = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK))
    assert shape_from_markup(curve(mrml, world, name), volume).positive is positive


def test_curves_that_cannot_be_used(mrml, volume) -> None:
    world = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK))
    with pytest.raises(NodeError, match="expected a line in"):
        shape_from_markup(curve(mrml, []), volume)
    with pytest.raises(ClickOutsideVolumeError, match="expected a position inside"):
        shape_from_markup(curve(mrml, [*world, world[0] + 1000]), volume)


def test_a_tag_keeps_scribbles_and_clicks_in_their_order(mrml, volume) -> None:
    world = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK))
    segmentation = mrml.segmentation()
    segment_id = segmentation.GetSegmentation().AddEmptySegment("organ")
    inside = moved(OBLIQUE_LEFT_HANDED, CORNERS_IJK[:1])[0]
    prompts = Prompts([Click(inside), shape_from_markup(curve(mrml, world), volume)])
    set_prompts(segmentation, segment_id, prompts.added(Click(inside, False)), volume)
    assert get_prompts(segmentation, segment_id) == prompts.added(Click(inside, False))


def voxels():
    """Return the voxel centres of a volume in the world, and in its own frame."""
    k, j, i = np.indices(SHAPE)
    ijk = np.stack([i, j, k], axis=-1).reshape(-1, 3).astype(float)
    return moved(MOVED, moved(OBLIQUE_LEFT_HANDED, ijk)), moved(OBLIQUE_LEFT_HANDED, ijk)


@pytest.mark.parametrize("above", [None, TILTED, SCALED])
@pytest.mark.parametrize(("name", "positive"), [("ROI", True), ("organ negative", False)])
def test_a_roi_becomes_the_box_that_slicer_shows(mrml, volume, above, name, positive) -> None:
    middle = moved(MOVED, moved(OBLIQUE_LEFT_HANDED, (np.array([SHAPE[::-1]]) - 1) / 2))[0]
    roi = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    roi.SetSize(4.0, 5.0, 6.0)
    if above is not None:
        mrml.linear(above, roi)
    roi.SetCenterWorld(middle)

    box = shape_from_markup(roi, volume)

    assert box.positive is positive
    size = np.zeros(3)
    roi.GetSizeWorld(size)
    np.testing.assert_allclose(np.linalg.norm(box.edges_ras, axis=1), size)
    if above is SCALED:  # the planes of Slicer leave the scale out, its size and views do not
        return
    world, own = voxels()
    planes = vtk.vtkPlanes()
    roi.GetPlanesWorld(planes)
    inside = np.array([planes.EvaluateFunction(at) for at in world])
    clear = np.abs(inside) > 1e-3
    assert 0 < (inside < 0).sum() < len(inside)
    np.testing.assert_array_equal(box.contains_ras(own)[clear], (inside < 0)[clear])


def test_a_closed_curve_becomes_a_lasso(mrml, volume) -> None:
    flat = np.array([[1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [3.0, 4.0, 1.0]])
    corners = moved(OBLIQUE_LEFT_HANDED, flat)
    node = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsClosedCurveNode", "organ negative")
    node.SetCurveTypeToLinear()
    for corner in moved(MOVED, corners):
        node.AddControlPointWorld(corner)

    lasso = shape_from_markup(node, volume)

    assert not lasso.positive
    line = np.array(lasso.line_ras)
    for corner in corners:
        assert np.linalg.norm(line - corner, axis=1).min() < 1e-4
    points = lasso.points_ras(0.5)
    # Inside a triangle no barycentric coordinate is negative.
    columns = np.vstack([points.T, np.ones(len(points))])
    shares = np.linalg.lstsq(np.vstack([corners.T, np.ones(3)]), columns, rcond=None)[0]
    assert shares.min() > -1e-4


@pytest.mark.parametrize("kind", list(MARKUPS_CLASSES))
def test_a_prompt_shown_in_markups_reads_back_as_itself(mrml, volume, kind) -> None:
    flat = np.array([[1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [3.0, 4.0, 1.0]])
    corners = moved(OBLIQUE_LEFT_HANDED, flat)
    prompt = {
        "scribble": lambda: Scribble(corners, False),
        "lasso": lambda: Lasso(corners, False),
        "box": lambda: Box.of_rectangle(corners, False),
    }[kind]()
    node = mrml.scene.AddNewNodeByClass(MARKUPS_CLASSES[kind], "organ negative")
    if kind != "box":
        node.SetCurveTypeToLinear()

    set_markup_points(node, world_points(prompt, volume))

    found = shape_from_markup(node, volume)
    assert type(found) is type(prompt)
    assert not found.positive
    if kind == "box":
        np.testing.assert_allclose(found.middle_ras, prompt.middle_ras, atol=1e-6)
        np.testing.assert_allclose(found.edges_ras, prompt.edges_ras, atol=1e-6)
    else:
        line = np.array(found.line_ras)
        for corner in corners:
            assert np.linalg.norm(line - corner, axis=1).min() < 1e-4
