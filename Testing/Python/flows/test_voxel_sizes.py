"""Structures of one volume that are seen with voxels of different sizes.

The model answers with a ball whose radius is a number of its voxels, so the radius in mm tells
which voxels it saw. The oracle is SimpleITK: distances from the click at the positions of voxels.
"""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from fake_predictor import BallPredictor
from phantoms import ORIENTATIONS
from slow_values import slow
from waiting import HANG_S

import CTSAM3DLib
from CTSAM3DLib.engine import ClickRequest, ModelChoice, SegmentationEngine
from CTSAM3DLib.evaluation.methods import ModelMethod
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session import InteractiveSession

RADIUS_VOXELS = 6.0
OWN = {"hip_left": 3.0, "trachea": 1.5}
SIZES = {"Left hip": 3.0, "trachea": 1.5, "liver": 2.0, "my lesion": 2.0}
SHAPE_KJI = (44, 52, 60)
SPACING = (1.5, 1.2, 1.8)


@pytest.fixture
def predictor() -> BallPredictor:
    return BallPredictor(spacing_range_mm=(1.0, 4.0), voxel_sizes_mm=OWN, radius=RADIUS_VOXELS)


QUICK = ("axial", "oblique left-handed coronal")


@pytest.fixture(params=[*QUICK, *slow(*sorted(set(ORIENTATIONS) - set(QUICK)))])
def image(request) -> sitk.Image:
    """Voxels of three sizes, axes along and between those of the patient, also left-handed."""
    image = sitk.GetImageFromArray(np.zeros(SHAPE_KJI, np.int16))
    image.SetSpacing(SPACING)
    lps = np.diag([-1.0, -1.0, 1.0]) @ ORIENTATIONS[request.param]
    image.SetDirection(lps.ravel().tolist())
    image.SetOrigin((12.0, -31.0, 77.0))
    return image


@pytest.fixture
def volume(image) -> Volume:
    return volume_of(image)


def volume_of(image: sitk.Image) -> Volume:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    return Volume(sitk.GetArrayFromImage(image), Geometry(ras, SHAPE_KJI))


def middle_ras(image: sitk.Image) -> tuple[float, float, float]:
    middle = [n / 2 for n in image.GetSize()]
    x, y, z = image.TransformContinuousIndexToPhysicalPoint(middle)
    return (-x, -y, z)


def ball(image: sitk.Image, radius_mm: float) -> np.ndarray:
    """Return the voxels within a distance of the middle, by SimpleITK."""
    place = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64,
        image.GetSize(),
        image.GetOrigin(),
        image.GetSpacing(),
        image.GetDirection(),
    )
    x, y, z = middle_ras(image)
    away = sitk.GetArrayFromImage(place) - np.array([-x, -y, z])
    return np.linalg.norm(away, axis=-1) <= radius_mm


def agrees(mask: np.ndarray, image: sitk.Image, voxel_mm: float) -> bool:
    """Tell whether a mask is the ball for one size of voxels and for no other."""
    scores = {mm: dice(mask, ball(image, RADIUS_VOXELS * mm)) for mm in (1.5, 2.0, 3.0)}
    return scores[voxel_mm] > 0.9 and max(scores, key=scores.__getitem__) == voxel_mm


def test_each_structure_of_a_volume_is_seen_with_its_own_voxels(image, volume, predictor) -> None:
    click = {"positive": [middle_ras(image)]}
    found = CTSAM3DLib.segment(volume, dict.fromkeys(SIZES, click), predictor)
    for name, voxel_mm in SIZES.items():
        assert agrees(found.mask(name), image, voxel_mm), name
    assert found.grid_spacing_mm == 2.0


def test_a_wish_of_the_user_holds_for_all(image, volume, predictor) -> None:
    click = {"positive": [middle_ras(image)]}
    found = CTSAM3DLib.segment(volume, dict.fromkeys(SIZES, click), predictor, spacing_mm=3.0)
    for name in SIZES:
        assert agrees(found.mask(name), image, 3.0), name


def test_the_engine_answers_as_sessions_of_these_voxels_do(image, volume, predictor) -> None:
    engine = SegmentationEngine(lambda model, device: predictor)
    prompts = ClickHistory([Click(middle_ras(image))])
    nothing = ClickHistory()
    try:
        for name, voxel_mm in SIZES.items():
            choice = ModelChoice(anatomy=name)
            request = ClickRequest(volume, "ct", name, nothing, prompts, choice)
            update = engine.request(request).result(HANG_S).update
            session = InteractiveSession.for_volume(volume, predictor, voxel_mm)
            expected = session.add_click(middle_ras(image))
            assert update.bbox == expected.bbox
            np.testing.assert_array_equal(update.mask_kji, expected.mask_kji)
    finally:
        engine.close()


def test_a_structure_of_another_name_goes_on_from_the_mask_that_is_shown(
    image, volume, predictor
) -> None:
    engine = SegmentationEngine(lambda model, device: predictor)
    first = ClickHistory([Click(middle_ras(image))])
    beside = tuple(np.add(middle_ras(image), (4.0, 0.0, 0.0)))
    both = first.added(Click(beside))
    try:
        request = ClickRequest(volume, "ct", 1, ClickHistory(), first, ModelChoice(anatomy="liver"))
        shown = engine.request(request).result(HANG_S).update
        renamed = ModelChoice(anatomy="hip_left")
        request = ClickRequest(volume, "ct", 1, first, both, renamed, present=shown)
        update = engine.request(request).result(HANG_S).update
    finally:
        engine.close()
    mask = np.zeros(SHAPE_KJI, bool)
    mask[shown.bbox.slices_kji] = shown.mask_kji
    before = mask.copy()
    mask[update.bbox.slices_kji] = update.mask_kji
    assert mask[before].all()
    assert mask.sum() > 2 * before.sum()  # the new ball has 1.5 times the radius


def test_embeddings_are_shared_by_structures_of_one_size(image, volume, predictor) -> None:
    session = InteractiveSession.for_volume(volume, predictor)
    click = (Click(middle_ras(image)),)
    for name in ("hip_left", "Left hip", "liver", "my lesion"):
        session.for_another_structure(click, anatomy=name)
    assert predictor.encode_calls == 2


def test_a_session_of_one_anatomy_opens_others_with_their_own_voxels(
    image, volume, predictor
) -> None:
    hip = CTSAM3DLib.open_session(volume, predictor, anatomy="Left hip")
    hip.add_click(middle_ras(image))
    assert agrees(hip.mask, image, 3.0)
    for name, voxel_mm in SIZES.items():
        other = hip.for_another_structure(hip.prompts, anatomy=name)
        assert agrees(other.mask, image, voxel_mm), name
    assert hip.for_another_structure().grid.spacing_mm[0] == 2.0
    fixed = CTSAM3DLib.open_session(volume, predictor, spacing_mm=1.5, anatomy="Left hip")
    assert fixed.grid.spacing_mm[0] == 1.5


def test_an_evaluation_names_the_structure(image, volume, predictor) -> None:
    method = ModelMethod(predictor)
    for name, voxel_mm in SIZES.items():
        mask = method.start(volume, name)(Click(middle_ras(image)))
        assert agrees(mask, image, voxel_mm), name


def test_coarse_volumes_are_not_interpolated_to_fine_voxels(predictor) -> None:
    coarse = Volume(np.zeros((20, 20, 20), np.int16), Geometry(np.diag([4, 4, 4, 1.0]), (20,) * 3))
    session = InteractiveSession.for_volume(coarse, predictor)
    grids = [session.for_another_structure(anatomy=name).grid for name in ("trachea", "hip_left")]
    assert [grid.spacing_mm[0] for grid in grids] == [3.0, 3.0]  # 0.75 of the volume's own
