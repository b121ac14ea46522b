"""The picture: slices against SimpleITK, the 3D view against closed forms, and what is drawn."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from picture_case import DIRECTIONS, SHAPE, ball, body_volume, drawn

from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.picture.parts import LUNG_WINDOW_HU, body_box, draw_clicks, picture_colours
from CTSAM3DLib.picture.picture import write_picture
from CTSAM3DLib.picture.planes import PLANES, AnatomicalGrid
from CTSAM3DLib.picture.surface import render_surfaces, view_rotation
from CTSAM3DLib.prompts import Box, Click, ClickHistory

sitk = pytest.importorskip("SimpleITK")
matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(params=sorted(DIRECTIONS))
def geometry(request: pytest.FixtureRequest) -> Geometry:
    """Return a grid whose axes run any way."""
    matrix = np.eye(4)
    matrix[:3, :3] = DIRECTIONS[request.param] * (0.8, 1.1, 2.3)
    matrix[:3, 3] = (5, -6, 7)
    return Geometry(matrix, SHAPE)


def test_planes_are_those_of_simpleitk(geometry: Geometry, rng: np.random.Generator) -> None:
    array = rng.integers(-1000, 1000, SHAPE).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    origin, spacing, direction = geometry.lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    oriented = sitk.DICOMOrient(image, "LPS")
    spl = sitk.GetArrayFromImage(oriented)  # S, P, L rise
    left, back, up = spl.shape[::-1]
    grid = AnatomicalGrid(geometry)
    assert grid.size == (left, back, up)
    np.testing.assert_allclose(grid.spacing_mm, oriented.GetSpacing())
    axial, coronal, sagittal = PLANES
    # Right and front of the patient: at the left edge; front of an axial slice: at the top.
    np.testing.assert_array_equal(grid.cut(array, axial, 3), spl[3, ::-1])
    np.testing.assert_array_equal(grid.cut(array, coronal, 4), spl[:, back - 1 - 4])
    np.testing.assert_array_equal(grid.cut(array, sagittal, 5), spl[:, :, left - 1 - 5])


def test_points_and_boxes_land_on_their_voxels(geometry: Geometry) -> None:
    grid = AnatomicalGrid(geometry)
    voxel = (7, 5, 3)
    array = np.zeros(SHAPE, np.uint8)
    array[3, 5, 7] = 1
    indices = grid.indices(np.array(voxel))
    np.testing.assert_array_equal(np.argwhere(grid.view(array))[0], indices)
    box = grid.box(BoundingBox(voxel, (10, 9, 4)))
    np.testing.assert_array_equal(np.sort(np.stack([indices, grid.indices((9, 8, 3))]), 0), box)
    for plane in PLANES:
        picture = grid.cut(array, plane, int(indices[plane.normal]))
        row, column = np.argwhere(picture)[0]
        left, right, bottom, top = grid.extent_mm(plane)
        step_x, step_y = (right - left) / picture.shape[1], (top - bottom) / picture.shape[0]
        place = grid.positions_mm(plane, indices)
        expected = (left + (column + 0.5) * step_x, bottom + (row + 0.5) * step_y)
        np.testing.assert_allclose(place, expected)


def test_the_view_looks_from_the_front() -> None:
    right, up, away = view_rotation(0, 0)
    np.testing.assert_allclose(right, (-1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(up, (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(away, (0, -1, 0), atol=1e-12)
    for angles in ((18, 12), (-40, 60)):
        rotation = view_rotation(*angles)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        # Right, up, away is left-handed for a viewer, as in a picture.
        assert np.linalg.det(rotation) == pytest.approx(np.linalg.det([right, up, away]))


def test_a_ball_is_a_disc_of_its_size_at_its_place() -> None:
    geometry = Geometry(np.diag([-1.0, 1.5, 2.0, 1.0]), (40, 50, 70))
    mask = RegionMask.from_full(ball(geometry, (30, 25, 20), 18))
    view = render_surfaces([mask], [(1, 0, 0)], geometry, (0, 0, 1), pixels=120)
    left, right, bottom, top = view.extent_mm
    rows, columns = view.rgb.shape[:2]
    shown = view.rgb[..., 0] > view.rgb[..., 2]
    area = shown.sum() * (right - left) * (top - bottom) / (rows * columns)
    assert area == pytest.approx(np.pi * 18**2, rel=0.06)
    y, x = np.argwhere(shown).mean(axis=0)
    centre = (
        left + (x + 0.5) * (right - left) / columns,
        bottom + (y + 0.5) * (top - bottom) / rows,
    )
    expected = view.project(geometry.ras_from_ijk((30, 25, 20)))
    np.testing.assert_allclose(centre, expected, atol=0.7)
    red = view.rgb[..., 0]
    middle = round(float(y)), round(float(x))
    assert (
        red[middle[0] + 12, middle[1] - 12] > red[middle[0] - 20, middle[1] + 20]
    )  # lit from above


def test_what_lies_in_front_hides_what_lies_behind() -> None:
    geometry = Geometry(np.eye(4), (40, 60, 40))
    front = RegionMask.from_full(ball(geometry, (20, 45, 20), 8))
    back = RegionMask.from_full(ball(geometry, (20, 15, 20), 8))
    colours = [(1, 0, 0), (0, 1, 0)]
    for masks in ([front, back], [back, front]):
        view = render_surfaces(masks, colours, geometry, pixels=80)
        left, right, bottom, top = view.extent_mm
        x, y = view.project((20, 45, 20))
        row = int((y - bottom) / (top - bottom) * view.rgb.shape[0])
        column = int((x - left) / (right - left) * view.rgb.shape[1])
        pixel = view.rgb[row, column]
        nearest, other = (0, 1) if masks[0] is front else (1, 0)
        assert pixel[nearest] > 3 * pixel[other]


def test_empty_masks_give_an_empty_view() -> None:
    geometry = Geometry(np.eye(4), SHAPE)
    empty = RegionMask.from_full(np.zeros(SHAPE, bool))
    view = render_surfaces([empty], [(1, 1, 1)], geometry, (0.1, 0.2, 0.3))
    np.testing.assert_allclose(
        view.rgb, np.broadcast_to([0.1, 0.2, 0.3], view.rgb.shape), atol=1e-6
    )
    one_voxel = RegionMask(np.ones((1, 1, 1), bool), BoundingBox((5, 5, 5), (6, 6, 6)))
    assert render_surfaces([empty, one_voxel], [(1, 1, 1)] * 2, geometry).rgb.max() > 0.3


def test_same_colours_are_told_apart_and_dark_ones_raised() -> None:
    colours = picture_colours([(10, 10, 60), (212, 126, 151), (212, 126, 151), (212, 126, 151)])
    assert len(set(colours)) == 4
    assert min(max(colour) for colour in colours) > 0.5
    organs = picture_colours([(206, 110, 84), (224, 97, 76), (221, 130, 101), (216, 101, 79)])
    gaps = [np.linalg.norm(np.subtract(a, b)) for a, b in itertools.combinations(organs, 2)]
    assert min(gaps) > 0.25
    assert organs[0] == pytest.approx(np.array([206, 110, 84]) / 255, abs=1e-9)


def legend_texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]


def test_a_click_has_the_colour_of_its_kind_at_its_place() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 2), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 40)
    axes.set_ylim(0, 20)
    clicks = [Click((0, 0, 0)), Click((0, 0, 0), positive=False)]
    draw_clicks(axes, clicks, np.array([[10.0, 15.0], [30.0, 5.0]]))
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    assert pixels[50, 100].tolist() == [0x56, 0xB4, 0xE9]
    assert pixels[150, 300].tolist() == [0xFF, 0x9F, 0x1C]
    assert pixels[150, 100].tolist() == pixels[50, 300].tolist() == [255, 255, 255]


def test_planes_are_cropped_to_the_body() -> None:
    volume, mask = body_volume()
    figure = drawn(volume, [Segment("a", RegionMask.from_full(mask))])
    axial, coronal, sagittal = figure.axes[:3]
    # The ball is 29 voxels wide, and there are 8 mm of air at each side, where there is room.
    for axes in (axial, coronal):
        assert np.ptp(axes.get_xlim()) == pytest.approx(45, abs=1.5)
    assert np.ptp(sagittal.get_xlim()) == pytest.approx(43, abs=1.5)
    assert np.ptp(axial.get_ylim()) == pytest.approx(43, abs=1.5)
    assert np.ptp(coronal.get_ylim()) == pytest.approx(40, abs=1.5)


def test_the_body_is_found_without_cables_but_with_arms() -> None:
    ct = np.full((60, 50, 40), -1000.0)
    assert body_box(ct).tolist() == [[0, 0, 0], [59, 49, 39]]
    ct[20:40, 10:40] = 0
    ct[50:55, 20:30] = 0
    ct[2:4, 2:4, 2:4] = 0
    assert body_box(ct).tolist() == [[20, 10, 0], [54, 39, 39]]


def test_what_is_drawn_outside_the_body_stays_in_view(tmp_path: Path) -> None:
    volume, mask = body_volume()
    clicks = ClickHistory([Click(tuple(volume.geometry.ras_from_ijk((75, 50, 20))))])
    figure = drawn(volume, [Segment("a", RegionMask.from_full(mask), clicks)])
    assert np.ptp(figure.axes[0].get_xlim()) == pytest.approx(72, abs=1.5)


def test_a_tile_of_lung_has_its_own_window() -> None:
    volume, mask = body_volume()
    air = np.zeros_like(mask)
    air[5:10, 40:50, 60:70] = True
    segments = [
        Segment("lung", RegionMask.from_full(air)),
        Segment("organ", RegionMask.from_full(mask)),
    ]
    figure = drawn(volume, segments)
    limits = {
        axes.get_title().split()[0]: axes.images[0].get_clim()
        for axes in figure.axes
        if axes.get_title()
    }
    assert limits["lung"] == LUNG_WINDOW_HU
    assert limits["organ"] == (-160, 240)


def test_the_legend_explains_only_marks_that_are_there() -> None:
    volume, mask = body_volume()
    region = RegionMask.from_full(mask)
    inside, outside = Click((-30, -20, 20)), Click((-30, -50, 20), False)
    box = Box((-30, -20, 20), ((9, 0, 0), (0, 9, 0), (0, 0, 9)))
    for clicks, expected in (
        ([box], []),
        ([inside, outside], ["click inside", "click outside"]),
    ):
        figure = drawn(volume, [Segment("a", region, ClickHistory(clicks))])
        assert legend_texts(figure)[1:] == expected
        assert legend_texts(figure)[0].endswith(ClickHistory(clicks).counts())


@pytest.mark.slow
@pytest.mark.parametrize(("count", "said"), [(12, []), (13, ["+ 1 more without a tile"])])
def test_structures_without_a_tile_are_counted(count: int, said: list[str]) -> None:
    volume, mask = body_volume((20, 40, 60))
    segments = [Segment(f"s{n}", RegionMask.from_full(mask)) for n in range(count)]
    assert legend_texts(drawn(volume, segments))[count:] == said


def test_names_in_chinese_are_drawn_without_a_warning(tmp_path: Path) -> None:
    volume, mask = body_volume()
    segments = [
        Segment(name, RegionMask.from_full(mask)) for name in ("\u809d\u810f", "\u0643\u0628\u062f")
    ]
    write_picture(tmp_path / "a.png", volume, segments, title="\u809d")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def magenta(path: Path) -> NDArray[np.bool_]:
    """Return the pixels of a PNG in which red and blue clearly exceed green."""
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    found: NDArray[np.bool_] = (np.minimum(pixels[..., 0], pixels[..., 2]) - pixels[..., 1]) > 0.4
    return found


def case(geometry: Geometry, mask: NDArray[np.bool_], name: str = "thing") -> Any:
    volume = Volume(np.zeros(geometry.shape_kji, np.int16), geometry, "case 1")
    centre = geometry.ras_from_ijk(np.array(geometry.size_ijk) / 2)
    clicks = ClickHistory([Click(tuple(centre)), Click(tuple(centre + np.array([3, 0, 0])), False)])
    return volume, [Segment(name, RegionMask.from_full(mask), clicks, rgb=(255, 0, 255))]


def test_the_picture_shows_the_structure_and_is_the_same_each_time(tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = DIRECTIONS["oblique"] * (0.8, 1.1, 2.3)
    geometry = Geometry(matrix, SHAPE)
    volume, segments = case(geometry, ball(geometry, (15, 12, 10), 6))
    write_picture(tmp_path / "a.png", volume, segments)
    write_picture(tmp_path / "b.png", volume, segments)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert magenta(tmp_path / "a.png").sum() > 2000


def test_right_is_left_in_the_picture(tmp_path: Path) -> None:
    geometry = Geometry(np.diag([1.0, 1, 1, 1]), (40, 40, 40))
    volume, segments = case(geometry, ball(geometry, (33, 20, 20), 5))
    write_picture(tmp_path / "a.png", volume, segments)
    shown = magenta(tmp_path / "a.png")
    axial = shown[: shown.shape[0] // 2, : shown.shape[1] // 2]
    columns = np.argwhere(axial)[:, 1]
    assert columns.size > 100
    assert columns.mean() < 0.4 * axial.shape[1]


def test_many_empty_and_flat_structures_can_be_drawn(tmp_path: Path) -> None:
    geometry = Geometry(np.diag([1.0, 1, 5, 1]), (1, 30, 30))
    mask = np.zeros((1, 30, 30), bool)
    mask[0, 10:20, 10:20] = True
    volume, [segment] = case(geometry, mask)
    empty = RegionMask.from_full(np.zeros_like(mask))
    segments = [Segment(f"s{n}", segment.mask if n % 2 else empty) for n in range(14)]
    write_picture(tmp_path / "a.png", volume, segments, title="many")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_mask_of_another_volume_is_refused(tmp_path: Path) -> None:
    geometry = Geometry(np.eye(4), (4, 4, 4))
    volume = Volume(np.zeros((2, 2, 2), np.int16), Geometry(np.eye(4), (2, 2, 2)))
    segment = Segment("x", RegionMask.from_full(ball(geometry, (2, 2, 2), 1)))
    with pytest.raises(SegmentationFileError, match="inside a volume"):
        write_picture(tmp_path / "a.png", volume, [segment])
    assert list(tmp_path.iterdir()) == []
