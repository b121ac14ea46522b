"""Boxes: what is in them in tags and files, and how a session answers them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume
from slow_values import slow

from CTSAM3DLib.errors import ClickOutsideVolumeError, ClicksFileError, GeometryError
from CTSAM3DLib.geometry import Geometry, Volume
from CTSAM3DLib.io.clicks import read_clicks, write_clicks
from CTSAM3DLib.prompts import Box, Click, Prompts
from CTSAM3DLib.session import InteractiveSession

TURNED = Box((3, -2, 4), [(12, 16, 0), (-12, 9, 0), (0, 0, 14)])
TURN = np.array([[0.8, 0.6, 0, 0], [-0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
GRIDS = {
    "anisotropic": centred_geometry([100, 100, 40], [1, 1, 3]),
    "oblique": Geometry(TURN @ np.diag([1.2, -1, 2.5, 1]) + 0, (40, 90, 90)),
}


def inside_by_simpleitk(box: Box, geometry: Geometry) -> np.ndarray:
    """Return the voxels whose centres lie in a box, resampled from an image that is the box."""
    edges = np.array(box.edges_ras)
    lengths = np.linalg.norm(edges, axis=1)
    lps = np.diag([-1.0, -1.0, 1.0])
    unit = sitk.Image([1, 1, 1], sitk.sitkUInt8) + 1
    unit.SetSpacing(lengths.tolist())
    unit.SetDirection((lps @ (edges / lengths[:, None]).T).ravel().tolist())
    unit.SetOrigin((lps @ box.middle_ras).tolist())
    matrix = lps @ geometry.ijk_to_ras[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    grid = sitk.Image(list(geometry.size_ijk), sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection((matrix / spacing).ravel().tolist())
    grid.SetOrigin((lps @ geometry.ijk_to_ras[:3, 3]).tolist())
    found = sitk.Resample(unit, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(found) > 0


def opened(name: str = "anisotropic", grow: str = "off", model=None) -> InteractiveSession:
    geometry = GRIDS[name]
    # The middle of the volume is the middle of the world.
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(geometry.size_ijk) - 1) / 2)
    volume = empty_volume(Geometry(matrix, geometry.shape_kji))
    return InteractiveSession.for_volume(volume, model or BallPredictor(), 2.0, grow=grow)


def test_corners_and_rectangles_give_boxes() -> None:
    box = Box.of_corners((10, 0, 5), (0, 20, 8), positive=False)
    assert box == Box((5, 10, 6.5), [(10, 0, 0), (0, 20, 0), (0, 0, 3)], False)
    flat = [(0, 0, 2), (6, 8, 2), (2, 11, 2), (-4, 3, 2)]
    assert Box.of_rectangle(flat) == Box((1, 5.5, 2), [(6, 8, 0), (-4, 3, 0), (0, 0, 10)])


@pytest.mark.parametrize(
    "edges",
    [
        [(1, 0, 0), (0, 1, 0)],
        [(1, 0, 0), (0, 1, 0), (1, 1, 0)],
        [(1, 0, 0), (0, 1, 0), (0, 0, 0)],
        [(1, 0, 0), (0, 1, 0), (0, 0, np.inf)],
        7,
    ],
)
def test_a_box_without_volume_is_refused(edges: object) -> None:
    with pytest.raises(GeometryError, match="a box needs"):
        Box((0, 0, 0), edges)  # type: ignore[arg-type]
    with pytest.raises(GeometryError, match="a box needs"):
        Box.of_rectangle([(0, 0, 0), (1, 0, 0), (2, 0, 0)])


def test_tags_and_files_keep_boxes(tmp_path: Path) -> None:
    prompts = Prompts([Click((1, 2, 3)), TURNED, Box.of_corners((0, 0, 0), (1, 2, 3), False)])
    assert Prompts.from_json(prompts.to_json("CT")) == prompts
    write_clicks(tmp_path / "clicks.json", {"kidney": prompts})
    assert read_clicks(tmp_path / "clicks.json") == {"kidney": prompts}


def test_a_file_may_have_boxes_of_two_forms_in_lps(tmp_path: Path) -> None:
    path = tmp_path / "clicks.json"
    edges = [[-12, -16, 0], [12, -9, 0], [0, 0, 14]]
    rows = [
        {"corners": [[-1, -2, 3], [-4, -8, 9]], "positive": False},
        {"middle": [-3, 2, 4], "edges": edges, "positive": True},
    ]
    file = {"coordinate_system": "LPS", "structures": {"kidney": {"boxes": rows}}}
    path.write_text(json.dumps(file))
    aligned, turned = read_clicks(path)["kidney"]
    assert turned == TURNED
    assert (aligned.middle_ras, aligned.positive) == ((2.5, 5, 6), False)
    np.testing.assert_array_equal(np.abs(aligned.edges_ras), np.diag([3, 6, 6]))
    rows[0] = {"corners": [[1, 2, 3]], "positive": True}
    path.write_text(json.dumps(file))
    with pytest.raises(ClicksFileError, match="box 1: a box needs 2 opposite corners, got 1"):
        read_clicks(path)


@pytest.mark.parametrize("grow", ["auto", *slow("off", "frontier", "coarse")])
@pytest.mark.parametrize("name", GRIDS)
def test_a_box_keeps_what_is_found_in_it(name: str, grow: str) -> None:
    class Everything(BallPredictor):
        """A model to which all is structure."""

        def logits(self, call):  # noqa: ARG002
            return np.full((self.patch_size,) * 3, 5.0)

    session = opened(name, grow, Everything())
    session.add(TURNED)
    inside = inside_by_simpleitk(TURNED, session.volume.geometry)
    assert inside.sum() > 500
    # The model's voxels of 2 mm end within one of theirs from the face.
    assert not (session.mask & ~grown_by(inside, 3)).any()
    assert session.mask[shrunk_by(inside, 3)].all()


def grown_by(mask: np.ndarray, voxels: int) -> np.ndarray:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(sitk.BinaryDilate(image, [voxels] * 3)) > 0


def shrunk_by(mask: np.ndarray, voxels: int) -> np.ndarray:
    return ~grown_by(~mask, voxels)


def test_a_box_forces_none_of_its_voxels() -> None:
    class Deaf(BallPredictor):
        def logits(self, call):  # noqa: ARG002
            return np.full((self.patch_size,) * 3, -6.0)

    session = opened(model=Deaf())
    assert session.add(TURNED).bbox.is_empty
    assert not session.mask.any()


def test_a_box_finds_a_structure_that_is_not_in_its_middle() -> None:
    class Aside(BallPredictor):
        """A plate at one side of the box, found from a point in it; a small ball elsewhere."""

        def logits(self, call):
            at = np.stack(np.indices((self.patch_size,) * 3), axis=-1)
            seed = call.points_kji[call.labels == 1][-1]
            middle = np.array([self.patch_size // 2] * 3)
            plate = np.array([6.0, 6.0, 2.0]) - np.abs(at - middle - (0, 0, -4)).astype(float)
            ball = 1.5 - np.linalg.norm(at - seed, axis=-1)
            on_plate = plate.min(axis=-1)[tuple(seed.astype(int))] > 0
            return plate.min(axis=-1) if on_plate else ball

    session = opened(model=Aside(), name="anisotropic")
    session.add(Box.of_corners((-14, -14, -14), (14, 14, 14)))
    boxed = session.mask.sum()
    session.reset()
    session.add(Click((0, 0, 0)))
    assert boxed > 10 * session.mask.sum()


@pytest.mark.parametrize(("share", "asked"), [("middle", 1), ("face", 7), ("nowhere", 15)])
def test_a_box_asks_no_more_than_it_must(share: str, asked: int) -> None:
    class Filling(BallPredictor):
        """All of the box for a point in its middle, or for one beside it; else a small ball."""

        def logits(self, call):
            seed = call.points_kji[call.labels == 1][-1]
            first = self.decoded[0].points_kji[-1]
            at = np.stack(np.indices((self.patch_size,) * 3), axis=-1)
            beside = bool(np.any(seed != first))
            if share == "middle" or (share == "face" and beside):
                return 7.0 - np.abs(at - first).max(axis=-1)
            return 0.5 - np.linalg.norm(at - seed, axis=-1)

    model = Filling()
    opened(model=model).add(Box.of_corners((-14, -14, -14), (14, 14, 14)))
    assert len(model.decoded) == asked


@pytest.mark.parametrize("grow", ["auto", *slow("off", "coarse")])
@pytest.mark.parametrize("name", GRIDS)
def test_a_negative_box_takes_away_its_inside_and_nothing_else(name: str, grow: str) -> None:
    session = opened(name, grow)
    session.add_click((0, 0, 0))
    before = session.mask
    box = Box((8, 0, 0), TURNED.edges_ras, positive=False)
    inside = inside_by_simpleitk(box, session.volume.geometry)
    assert (before & inside).any()
    session.add(box)
    assert not (session.mask & inside).any()
    far = before & ~grown_by(inside, 3)
    assert far.any()
    assert session.mask[far].all()
    session.add_click((-14, 0, 0))
    assert not (session.mask & inside).any()
    replayed = session.for_another_structure(Prompts.from_json(session.prompts.to_json()))
    np.testing.assert_array_equal(replayed.mask, session.mask)
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.mask, before)


def test_boxes_may_reach_beyond_the_volume_but_not_with_their_middle() -> None:
    volume = Volume(np.zeros((30, 40, 40), np.int16), Geometry(np.eye(4), (30, 40, 40)))
    session = InteractiveSession.for_volume(volume, BallPredictor(), 2.0)
    session.add(Box.of_corners((-10, -10, -10), (30, 30, 30)))
    assert session.mask.any()
    session.add(Box.of_corners((-90, -90, -90), (95, 95, 95), positive=False))
    assert not session.mask.any()
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        session.add(Box.of_corners((30, 30, 10), (60, 60, 20)))
    assert len(session.prompts) == 2


@pytest.mark.parametrize("prompt", [Click((1, 2, 3)), Box.of_corners((0, 0, 0), (2, 4, 6))])
@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_corners_is_refused(prompt, change):
    count = len(prompt.corners_ras) + change
    with pytest.raises(ValueError, match=r"."):
        prompt.with_corners(np.zeros((count, 3)))
