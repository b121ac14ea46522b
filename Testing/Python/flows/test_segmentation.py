"""`segment()` and what the package offers without torch, against an interactive session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor
from phantoms import centred_geometry, phantom, tube

import CTSAM3DLib
from CTSAM3DLib.errors import (
    ClickOutsideVolumeError,
    ClicksFileError,
    SegmentationFileError,
    VolumeError,
)
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session.growing_rules import GrowMode


@pytest.fixture
def volume() -> Volume:
    """Return a small oblique CT with 1 x 1.5 x 2 mm voxels."""
    c, s = np.cos(0.2), np.sin(0.2)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[-c, s, 0], [-s, -c, 0], [0, 0, 1]]) * (1.0, 1.5, 2.0)
    matrix[:3, 3] = (40, 50, -60)
    return Volume(np.zeros((24, 32, 40), np.int16), Geometry(matrix, (24, 32, 40)), "CT 1")


def at(volume: Volume, i: float, j: float, k: float) -> tuple[float, float, float]:
    r, a, s = volume.geometry.ras_from_ijk((i, j, k)).tolist()
    return r, a, s


def test_structures_get_the_masks_of_interactive_sessions(volume: Volume) -> None:
    clicks = {
        "liver": ClickHistory([Click(at(volume, 12, 12, 8)), Click(at(volume, 16, 12, 8), False)]),
        "spleen": {"positive": [list(at(volume, 22, 18, 12)), list(at(volume, 26, 18, 12))]},
    }
    predictor = BallPredictor()
    result = CTSAM3DLib.segment(volume, clicks, predictor)
    assert [one.name for one in result.segments] == ["liver", "spleen"]
    assert list(result["spleen"].clicks) == [
        Click(at(volume, 22, 18, 12)),
        Click(at(volume, 26, 18, 12)),
    ]
    for one in result.segments:
        session = CTSAM3DLib.open_session(volume, BallPredictor())
        for click in one.clicks:
            session.add_click(click.position_ras, click.positive)
        np.testing.assert_array_equal(result.mask(one.name), session.mask)
        assert one.mask.voxel_count > 100
    with pytest.raises(KeyError, match="lung"):
        result["lung"]


def test_structures_share_the_embeddings_of_the_image(volume: Volume) -> None:
    predictor = BallPredictor(patch_size=64)
    position = list(at(volume, 20, 16, 12))
    clicks = {name: {"positive": [position]} for name in ("liver", "spleen", "aorta")}
    CTSAM3DLib.segment(volume, clicks, predictor)
    assert (predictor.encode_calls, predictor.decode_calls) == (1, 3)


def test_volumes_are_those_of_balls_in_cm3(volume: Volume) -> None:
    """A ball of 6 voxels of 2 mm: 4/3 pi 12^3 mm3 = 7.238 cm3."""
    predictor = BallPredictor(radius=6, spacing_mm=2.0)
    clicks = {"liver": {"positive": [list(at(volume, 20, 16, 12))]}}
    result = CTSAM3DLib.segment(volume, clicks, predictor, spacing_mm=2.0)
    voxels = int(result.mask("liver").sum())
    assert result.volumes_cm3 == {"liver": pytest.approx(voxels * 1.0 * 1.5 * 2.0 / 1000)}
    assert result.volumes_cm3["liver"] == pytest.approx(7.238, rel=0.05)
    assert result.grid_spacing_mm == pytest.approx(2.0)
    assert (result.device, result.settings.model_id) == ("cpu", "fake")


def test_structures_are_followed_beyond_their_patches_on_request() -> None:
    geometry = centred_geometry((40, 40, 200), (2, 2, 2))
    truth = phantom(geometry, tube((0, 0, -90), (0, 0, 90), 10.0))
    clicks = {"tube": {"positive": [[0.0, 0.0, 0.0]]}}
    sizes = []
    for grow in (False, "frontier"):
        result = CTSAM3DLib.segment(truth.volume, clicks, ComponentPredictor(), grow=grow)
        assert result.grow is GrowMode.of(grow)
        sizes.append(result.volumes_cm3["tube"] * 1000)
    assert sizes[0] < 0.4 * truth.size_mm3
    assert sizes[1] == pytest.approx(truth.size_mm3, rel=0.05)


def test_progress_is_told_after_each_click(volume: Volume) -> None:
    points = [list(at(volume, i, 12, 8)) for i in (12, 14, 16)]
    calls: list[tuple[str, int, int]] = []
    clicks = {"liver": {"positive": points[:1]}, "spleen": {"positive": points[1:]}}
    CTSAM3DLib.segment(
        volume, clicks, BallPredictor(), click_progress=lambda *call: calls.append(call)
    )
    assert calls == [("liver", 1, 3), ("spleen", 2, 3), ("spleen", 3, 3)]


def test_a_click_outside_says_what_may_be_wrong(volume: Volume) -> None:
    text = r"structure 'liver', click 1: .* If a viewer shows .* header of the CT file is wrong"
    with pytest.raises(ClickOutsideVolumeError, match=text):
        CTSAM3DLib.segment(volume, {"liver": {"positive": [[999, 0, 0]]}}, BallPredictor())


def test_progress_is_told_after_each_structure(volume: Volume) -> None:
    calls: list[Any] = []
    clicks = {name: {"positive": [list(at(volume, 20, 16, 12))]} for name in ("a", "b")}
    result = CTSAM3DLib.segment(
        volume, clicks, BallPredictor(), progress=lambda *call: calls.append(call)
    )
    assert calls == [("a", 1, 2), ("b", 2, 2)]
    assert set(result.seconds) == {"a", "b"}


def test_a_saved_result_holds_masks_clicks_and_geometry(volume: Volume, tmp_path: Path) -> None:
    clicks = {"liver": {"positive": [list(at(volume, 12, 12, 8))]}}
    result = CTSAM3DLib.segment(volume, clicks, BallPredictor())
    result.save(tmp_path / "out.seg.nrrd")
    found = read_segmentation(tmp_path / "out.seg.nrrd")
    np.testing.assert_array_equal(
        found["liver"].mask.full(volume.geometry.shape_kji), result.mask("liver")
    )
    assert found["liver"].clicks == result["liver"].clicks
    assert found.geometry.allclose(volume.geometry)
    with pytest.raises(SegmentationFileError, match="ending with"):
        result.save(tmp_path / "out.nii.gz")


@pytest.mark.parametrize(
    ("clicks", "error", "message"),
    [
        ({}, ClicksFileError, "at least one structure, got none"),
        ({"liver": ClickHistory()}, ClicksFileError, "'liver': expected a positive click"),
        ({"liver": {"positive": [[1, 2]]}}, ClicksFileError, "structure 'liver', positive click 1"),
        ({"liver": [[1, 2, 3]]}, ClicksFileError, "structure 'liver': expected an object"),
        (None, ClicksFileError, "a mapping of names to clicks, got NoneType"),
        ("clicks.json", ClicksFileError, "a mapping of names to clicks, got str. .*read_clicks"),
        ({3: {"positive": [[1, 2, 3]]}}, ClicksFileError, "a name for every structure, got 3"),
        ({" ": {"positive": [[1, 2, 3]]}}, ClicksFileError, "a name for every structure"),
        ({"\udce9": {"positive": [[1, 2, 3]]}}, ClicksFileError, "a name in Unicode"),
        (
            {"liver": {"positive": [[1, 2, 3], [900, 0, 0]]}},
            ClickOutsideVolumeError,
            "structure 'liver', click [12]: expected a position inside the volume",
        ),
    ],
)
def test_bad_clicks_are_refused_before_the_model_is_asked(
    volume: Volume, clicks: Any, error: type[Exception], message: str
) -> None:
    predictor = BallPredictor()
    with pytest.raises(error, match=message):
        CTSAM3DLib.segment(volume, clicks, predictor)
    assert predictor.encode_calls == 0


@pytest.mark.parametrize("given", [None, "ct.nii.gz", Path("ct.nii.gz"), np.zeros((3, 3, 3))])
def test_what_is_no_volume_is_told_as_such(given: Any) -> None:
    predictor = BallPredictor()
    with pytest.raises(VolumeError, match=r"expected a Volume, got .* read_volume"):
        CTSAM3DLib.open_session(given, predictor)
    with pytest.raises(VolumeError, match=r"expected a Volume, got .* read_volume"):
        CTSAM3DLib.segment(given, {"liver": {"positive": [[1, 2, 3]]}}, predictor)


@pytest.mark.parametrize("given", [None, (1.0, 2.0, 3.0), np.zeros(3), [Click((1, 2, 3))]])
def test_what_is_no_prompt_is_told_as_such(volume: Volume, given: Any) -> None:
    session = CTSAM3DLib.open_session(volume, BallPredictor())
    with pytest.raises(TypeError, match=r"one of click, .* add_click takes a position"):
        session.add(given)


def in_new_python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(CTSAM3DLib.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = {"torch", "slicer", "vtk", "SimpleITK", "matplotlib", "nrrd", "tqdm", "scipy", "numpy"}
    found = in_new_python(f"import sys, CTSAM3DLib; print(sorted({heavy!r} & set(sys.modules)))")
    assert found == "[]"


def test_the_public_names_need_neither_torch_nor_slicer_nor_simpleitk() -> None:
    code = (
        "import sys, CTSAM3DLib as c; [getattr(c, name) for name in c.__all__];"
        "print(sorted({'torch', 'slicer', 'vtk', 'SimpleITK', 'matplotlib'} & set(sys.modules)))"
    )
    assert in_new_python(code) == "[]"


def test_segment_is_the_function_whatever_was_imported_before() -> None:
    code = (
        "import CTSAM3DLib.api, CTSAM3DLib.io.segment, CTSAM3DLib.session.session;"
        "print(callable(CTSAM3DLib.segment), callable(CTSAM3DLib.open_session))"
    )
    assert in_new_python(code) == "True True"


def test_unknown_names_are_an_attribute_error() -> None:
    assert "segment" in dir(CTSAM3DLib)
    with pytest.raises(AttributeError, match="no attribute 'segmentt'"):
        CTSAM3DLib.segmentt  # noqa: B018
