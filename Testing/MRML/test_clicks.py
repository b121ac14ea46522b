"""Points of the world and of markups as clicks, through all kinds of transforms."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")
import vtk  # noqa: E402
from vtk.util.numpy_support import numpy_to_vtk  # noqa: E402

from CTSAM3DLib.errors import (  # noqa: E402
    ClickOutsideVolumeError,
    GeometryError,
    NodeError,
    VolumeError,
)
from CTSAM3DLib.mrml.clicks import (  # noqa: E402
    click_from_control_point,
    click_from_world_ras,
    clicks_from_markups_node,
    world_from_click,
)
from CTSAM3DLib.mrml.volumes import volume_from_node  # noqa: E402
from Testing.MRML.mrml_scene import rigid  # noqa: E402

OBLIQUE_LEFT_HANDED = rigid((1, 2, 3), 25, (10, -20, 30)) @ np.diag([-0.8, 0.9, 2.5, 1])
MOVED = rigid((3, 1, -2), 70, (120, 30, -80))
TILTED = rigid((0, 1, 0), -35, (-15, 5, 60))
VOXEL = (21, 5, 13)


def ct(mrml, matrix=OBLIQUE_LEFT_HANDED):
    """Add a volume of size (24, 22, 20)."""
    return mrml.volume(np.zeros((20, 22, 24), dtype=np.int16), matrix)


def through(matrix, point):
    return (matrix @ [*point, 1.0])[:3]


def hit_voxel(volume_node, click):
    """Return the voxel of a click by the node's own matrix, without the library."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetRASToIJKMatrix(matrix)
    ijk = np.array(matrix.MultiplyPoint((*click.position_ras, 1.0))[:3])
    return tuple(np.floor(ijk + 0.5).astype(int).tolist())


def sine_grid():
    """Return a displacement grid (mm) over (-100, 100) and its transform to parent."""
    nodes = np.linspace(-100, 100, 41)
    s, a, r = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    shift = np.stack([4 * np.sin(a / 15), 3 * np.cos(s / 12), 5 * np.sin(r / 18)], axis=-1)
    image = vtk.vtkImageData()
    image.SetDimensions(41, 41, 41)
    image.SetOrigin(-100, -100, -100)
    image.SetSpacing(5, 5, 5)
    image.GetPointData().SetScalars(numpy_to_vtk(shift.reshape(-1, 3), deep=True))
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetInterpolationModeToCubic()
    return transform


def thin_plate():
    """Return a thin plate spline that moves the corners of a box."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    offsets = np.random.default_rng(5).normal(scale=4, size=(8, 3))
    for number, corner in enumerate(np.ndindex(2, 2, 2)):
        point = np.array(corner) * 120.0 - 60
        source.InsertNextPoint(*point)
        target.InsertNextPoint(*(point + offsets[number]))
    transform = vtk.vtkThinPlateSplineTransform()
    transform.SetSourceLandmarks(source)
    transform.SetTargetLandmarks(target)
    transform.SetBasisToR()
    return transform


def test_a_world_point_hits_its_voxel_through_a_chain_of_linear_transforms(mrml):
    volume = ct(mrml)
    mrml.linear(TILTED, volume, parent=mrml.linear(MOVED))
    world = through(MOVED @ TILTED @ OBLIQUE_LEFT_HANDED, VOXEL)

    click = click_from_world_ras(world, volume, positive=False)

    assert not click.positive
    np.testing.assert_allclose(click.position_ras, through(OBLIQUE_LEFT_HANDED, VOXEL), atol=1e-6)
    assert hit_voxel(volume, click) == VOXEL
    np.testing.assert_allclose(world_from_click(click, volume), world, atol=1e-6)


@pytest.mark.parametrize("make", [sine_grid, thin_plate])
def test_a_world_point_hits_its_voxel_through_a_warp_in_a_chain(mrml, make):
    volume = ct(mrml)
    warp = mrml.non_linear(make(), volume)
    warp.SetAndObserveTransformNodeID(mrml.linear(MOVED).GetID())
    for voxel in [(0, 0, 0), (23, 21, 19), VOXEL]:
        local = through(OBLIQUE_LEFT_HANDED, voxel)
        bent = np.array(make().TransformPoint(local))
        assert np.linalg.norm(bent - local) > 1.0  # the warp does something here

        click = click_from_world_ras(through(MOVED, bent), volume)

        np.testing.assert_allclose(click.position_ras, local, atol=0.02)
        assert hit_voxel(volume, click) == voxel
        np.testing.assert_allclose(world_from_click(click, volume), through(MOVED, bent), atol=0.02)


def test_a_warp_that_folds_is_reported(mrml, silent_vtk):
    volume = ct(mrml, np.diag([1.0, 1, 1, 1]))
    image = vtk.vtkImageData()
    image.SetDimensions(5, 5, 5)
    image.SetSpacing(8, 8, 8)
    shift = np.random.default_rng(1).normal(scale=60, size=(125, 3))
    image.GetPointData().SetScalars(numpy_to_vtk(shift, deep=True))
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    mrml.non_linear(transform, volume)

    with pytest.raises(NodeError, match='expected transform "Warp" to be invertible at world RAS'):
        click_from_world_ras((5.85, 30.8, 25.6), volume)


def test_markups_count_in_the_world_not_in_their_own_frame(mrml):
    volume, points = ct(mrml), mrml.points()
    mrml.linear(MOVED, volume)
    mrml.linear(TILTED, points)
    world = through(MOVED @ OBLIQUE_LEFT_HANDED, VOXEL)
    local = through(np.linalg.inv(TILTED), world)
    index = points.AddControlPoint(*local)

    click = click_from_control_point(points, index, volume)

    np.testing.assert_allclose(click.position_ras, through(OBLIQUE_LEFT_HANDED, VOXEL), atol=1e-6)
    assert hit_voxel(volume, click) == VOXEL
    assert volume_from_node(volume).geometry.voxel_from_ras(click.position_ras) == VOXEL


def test_a_click_stays_on_its_voxel_when_the_volume_is_moved(mrml):
    volume = ct(mrml)
    click = click_from_world_ras(through(OBLIQUE_LEFT_HANDED, VOXEL), volume)

    mrml.linear(MOVED, volume)

    expected = through(MOVED @ OBLIQUE_LEFT_HANDED, VOXEL)
    np.testing.assert_allclose(world_from_click(click, volume), expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", ["low", "high"])
def test_the_outer_half_voxel_belongs_to_the_volume_and_no_more(mrml, axis, side):
    volume = ct(mrml)
    mrml.linear(MOVED, volume)
    to_world = MOVED @ OBLIQUE_LEFT_HANDED
    edge = -0.5 if side == "low" else (24, 22, 20)[axis] - 0.5
    inwards = 1e-3 if side == "low" else -1e-3
    ijk = np.array([3.0, 4.0, 5.0])

    ijk[axis] = edge + inwards
    click = click_from_world_ras(through(to_world, ijk), volume)
    assert hit_voxel(volume, click)[axis] == (0 if side == "low" else (24, 22, 20)[axis] - 1)

    ijk[axis] = edge - inwards
    with pytest.raises(ClickOutsideVolumeError, match="expected a position inside the volume"):
        click_from_world_ras(through(to_world, ijk), volume)


def test_only_placed_points_become_clicks(mrml):
    volume, points = ct(mrml, np.eye(4)), mrml.points()
    for number in range(4):
        points.AddControlPoint(number, 1, 1)
    points.UnsetNthControlPointPosition(1)
    points.SetNthControlPointPositionMissing(2)
    points.SetNthControlPointPosition(3, 9, 9, 9, slicer.vtkMRMLMarkupsNode.PositionPreview)

    assert [click.position_ras for click in clicks_from_markups_node(points, volume)] == [(0, 1, 1)]
    for index, status in [(1, "undefined"), (2, "missing"), (3, "preview")]:
        with pytest.raises(NodeError, match=f'control point {index} of "F" .* got {status}'):
            click_from_control_point(points, index, volume)
    with pytest.raises(NodeError, match='expected one of 4 control points of "F", got 4'):
        click_from_control_point(points, 4, volume)


def test_names_say_which_points_are_negative(mrml):
    volume, points = ct(mrml, np.eye(4)), mrml.points("liver")
    for number in range(4):
        points.AddControlPoint(number, 1, 1)
    points.SetNthControlPointLabel(1, "liver negative-2")
    points.SetNthControlPointDescription(2, "negative")
    points.SetNthControlPointLabel(3, "negative-4")
    points.SetNthControlPointDescription(3, "positive")

    history = clicks_from_markups_node(points, volume)

    assert [click.positive for click in history] == [True, False, False, True]
    assert [click.position_ras[0] for click in history] == [0, 1, 2, 3]
    points.SetName("liver_negative")
    assert not click_from_control_point(points, 0, volume).positive
    assert click_from_control_point(points, 0, volume, positive=True).positive


def test_a_point_outside_names_itself(mrml):
    volume, points = ct(mrml, np.eye(4)), mrml.points()
    points.AddControlPoint(1, 1, 1)
    points.AddControlPoint(1, 1, 99)
    with pytest.raises(
        ClickOutsideVolumeError, match='control point 1 of "F": expected a position'
    ):
        clicks_from_markups_node(points, volume)


def test_wrong_input_is_named(mrml):
    volume = ct(mrml)
    with pytest.raises(GeometryError, match="a position of finite numbers"):
        click_from_world_ras((0, 0, float("nan")), volume)
    with pytest.raises(GeometryError, match=r"a position of shape \(3,\)"):
        click_from_world_ras((0, 0), volume)
    empty = mrml.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(VolumeError, match="without an image"):
        click_from_world_ras((0, 0, 0), empty)
