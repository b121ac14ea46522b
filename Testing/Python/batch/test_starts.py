"""Our own segmentations as prompts: made anew with another model, corrections by hand kept."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk_cases import folder_for_commands, geometry, run_command, write_clicks_file, write_ct
from fake_predictor import BallPredictor

from CTSAM3DLib.batch.case import Case, LoadedModel, run_case
from CTSAM3DLib.batch.starts import read_starts
from CTSAM3DLib.errors import ClicksFileError, SegmentationFileError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.io.segmentation import read_segmentation, write_segmentation
from CTSAM3DLib.prompts import Click, ClickHistory

pytest.importorskip("SimpleITK")

SMALL, LARGE = LoadedModel(BallPredictor(radius=3)), LoadedModel(BallPredictor(radius=4))


def at(*ijk: int) -> list[float]:
    found: list[float] = geometry().ras_from_ijk(ijk).tolist()
    return found


CLICKS = {
    "liver": {"positive": [at(12, 10, 8)], "negative": [at(4, 4, 4)]},
    "aorta": {"scribbles": [{"line": [at(6, 6, 6), at(6, 6, 9)], "positive": True}]},
}


def segmented(folder: Path, clicks: Path, model: LoadedModel, name: str, **options: Any) -> Path:
    case = Case(folder / "ct.nrrd", (clicks,), folder / f"{name}.seg.nrrd", **options)
    run_case(case, model)
    return case.output


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a segmentation of the small model."""
    write_ct(tmp_path / "ct.nrrd")
    clicks = write_clicks_file(tmp_path / "c.json", CLICKS)
    return segmented(tmp_path, clicks, SMALL, "old")


_TAGS = re.compile(rb"CTSAM3D\.Mask:[^|]*\|(?:CTSAM3D\.Place:[^|]*\|)?")


def with_changes(path: Path, name: str, **changes: Any) -> Path:
    """Save a segmentation as another program does: other bytes, all tags, one mask changed."""
    found = read_segmentation(path)
    segments = [replace(one, **changes) if one.name == name else one for one in found.segments]
    tags = iter(_TAGS.findall(path.read_bytes()))
    write_segmentation(path, segments, found.geometry)
    content = _TAGS.sub(lambda _: next(tags), path.read_bytes())  # Slicer leaves them as they were
    path.write_bytes(content.replace(b"CTSAM3D.Content:=", b"Other:="))
    return path


def edited() -> RegionMask:
    mask = np.ones((4, 5, 6), bool)
    mask[0, 0] = False
    return RegionMask(mask, BoundingBox((3, 4, 5), (9, 9, 9)))


def test_a_segmentation_gives_the_prompts_that_made_it(old: Path, tmp_path: Path) -> None:
    assert read_clicks(old) == read_clicks(tmp_path / "c.json")


def test_another_model_makes_the_same_as_from_the_clicks(old: Path, tmp_path: Path) -> None:
    again = read_segmentation(segmented(tmp_path, old, LARGE, "again"))
    direct = read_segmentation(segmented(tmp_path, tmp_path / "c.json", LARGE, "direct"))
    for one, other in zip(again.segments, direct.segments, strict=True):
        assert np.array_equal(one.mask.mask_kji, other.mask.mask_kji)
        assert one.mask.voxel_count > read_segmentation(old)[one.name].mask.voxel_count
        assert one.clicks == other.clicks


def test_what_a_person_corrected_is_kept_and_told_and_the_rest_is_made_anew(
    old: Path, tmp_path: Path
) -> None:
    before = read_segmentation(old)["aorta"].mask.voxel_count
    with_changes(old, "liver", mask=edited())
    case = Case(tmp_path / "ct.nrrd", (old,), tmp_path / "new.seg.nrrd")
    told: list[str] = []
    _, report = run_case(case, LARGE, warn=told.append)
    new = read_segmentation(case.output)
    assert np.array_equal(new["liver"].mask.full((16, 20, 24)), edited().full((16, 20, 24)))
    assert new["liver"].clicks == read_segmentation(old)["liver"].clicks
    assert new["aorta"].mask.voxel_count > before
    (note,) = [text for text in report["warnings"] if "corrected" in text]
    assert note in told
    assert note.startswith("old.seg.nrrd: the mask of liver was corrected by hand")
    assert [one["name"] for one in report["structures"] if one.get("corrected")] == ["liver"]
    third = read_segmentation(segmented(tmp_path, case.output, SMALL, "third"))
    assert np.array_equal(third["liver"].mask.mask_kji, new["liver"].mask.mask_kji)


def test_recompute_makes_corrected_structures_anew(old: Path, tmp_path: Path) -> None:
    direct = read_segmentation(segmented(tmp_path, tmp_path / "c.json", LARGE, "direct"))
    with_changes(old, "liver", mask=edited())
    again = read_segmentation(segmented(tmp_path, old, LARGE, "again", recompute=True))
    assert np.array_equal(again["liver"].mask.mask_kji, direct["liver"].mask.mask_kji)


def test_further_clicks_change_a_corrected_mask(old: Path, tmp_path: Path) -> None:
    with_changes(old, "liver", mask=edited())
    further = write_clicks_file(tmp_path / "more.json", {"liver": {"positive": [at(18, 14, 10)]}})
    case = Case(tmp_path / "ct.nrrd", (old, further), tmp_path / "new.seg.nrrd")
    run_case(case, LARGE)
    new = read_segmentation(case.output)["liver"]
    whole = new.mask.full((16, 20, 24))
    kept = whole[edited().full((16, 20, 24))]  # but for rounding to the voxels of the model
    assert kept.mean() > 0.9
    assert whole[10, 14, 18]
    assert len(new.clicks) == 3


def test_a_mask_that_a_person_emptied_is_told(old: Path) -> None:
    assert read_starts([old])[1] == []
    with_changes(old, "liver", mask=RegionMask.from_full(np.zeros((16, 20, 24), bool)))
    starts, notes = read_starts([old])
    assert set(starts) == {"liver", "aorta"}
    assert notes == [
        "old.seg.nrrd: the mask of liver is empty, and is made from its prompts. Delete the "
        "segment to leave it out"
    ]


def moved(mask: RegionMask) -> RegionMask:
    return RegionMask(mask.mask_kji, mask.bbox.shifted((2, -1, 1)))


def test_a_mask_that_a_person_moved_as_a_whole_is_kept(old: Path) -> None:
    with_changes(old, "aorta", mask=moved(read_segmentation(old)["aorta"].mask))
    starts, (note,) = read_starts([old], geometry())
    assert note.startswith("old.seg.nrrd: the mask of aorta was corrected by hand")
    assert isinstance(starts["liver"], ClickHistory)


def test_masks_whose_grid_was_moved_are_no_results_any_more(old: Path) -> None:
    content = old.read_bytes()
    line = re.search(rb"space origin: \(([^,]*),", content)
    assert line is not None
    there = b"space origin: (" + str(float(line[1]) + 5 * geometry().spacing_mm[0]).encode() + b","
    old.write_bytes(content.replace(line[0], there))
    assert len(read_starts([old])[1]) == 2


def test_results_that_tell_no_place_are_known_by_their_form(old: Path) -> None:
    old.write_bytes(re.sub(rb"CTSAM3D\.Place:[^|]*\|", b"", old.read_bytes()))
    assert read_starts([old], geometry())[1] == []


@pytest.mark.parametrize("kind", ["sitkUInt8", "sitkInt64", "sitkUInt64", "sitkFloat32"])
@pytest.mark.parametrize("layers", [1, 2])
def test_what_simpleitk_saves_is_read_or_says_what_to_do(
    tmp_path: Path, kind: str, layers: int
) -> None:
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path / "x.seg.nrrd"
    segments = [Segment(name, edited(), corrected=True) for name in ("a", "b")[:layers]]
    write_segmentation(path, segments, geometry())
    image = sitk.ReadImage(str(path))
    vector = "" if layers == 1 else kind.replace("sitk", "sitkVector")
    saved = sitk.Cast(image, getattr(sitk, vector or kind))
    for key in image.GetMetaDataKeys():
        saved.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(saved, str(path), True)
    if kind == "sitkFloat32":
        with pytest.raises(SegmentationFileError, match=r"whole numbers .* got type 'float'; save"):
            read_starts([path], geometry())
        return
    starts, _ = read_starts([path], geometry())
    assert len(starts) == layers
    for start in starts.values():
        assert np.array_equal(start.mask.full((16, 20, 24)), edited().full((16, 20, 24)))


def test_a_file_that_is_as_it_was_written_has_no_corrections_whatever_its_age(old: Path) -> None:
    starts, notes = read_starts([old])
    assert notes == []
    assert all(isinstance(start, ClickHistory) for start in starts.values())


def test_a_structure_that_was_drawn_without_prompts_is_kept(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.nrrd")
    path = tmp_path / "drawn.seg.nrrd"
    write_segmentation(path, [Segment("lesion", edited(), corrected=True)], geometry())
    new = read_segmentation(segmented(tmp_path, path, LARGE, "new"))
    assert new["lesion"].mask.voxel_count == edited().voxel_count
    with pytest.raises(ClicksFileError, match="expected prompts in the tags of its segments"):
        read_starts([path], recompute=True)


def test_masks_of_a_cropped_file_find_their_place_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.seg.nrrd"
    box = BoundingBox((2, 3, 4), (20, 18, 14))
    inside = RegionMask(edited().mask_kji, edited().bbox.shifted((-2, -3, -4)))
    one = Segment("liver", inside, ClickHistory([Click((1, 2, 3))]), corrected=True)
    write_segmentation(path, [one], geometry().cropped(box))
    starts, _ = read_starts([path], geometry())
    assert starts["liver"].mask.bbox == edited().bbox
    half = np.diag([0.5, 1, 1, 1]) @ geometry().ijk_to_ras
    with pytest.raises(SegmentationFileError, match="expected masks on the voxels of the CT"):
        read_starts([path], type(geometry())(half, (16, 20, 24)))


def test_prompts_of_another_ct_are_told(old: Path) -> None:
    assert read_starts([old], geometry())[1] == []
    away = geometry().ijk_to_ras.copy()
    away[0, 3] += 0.7
    for other in (
        type(geometry())(away, (16, 20, 24)),
        geometry().cropped(BoundingBox((1, 2, 3), (20, 18, 14))),
    ):
        starts, notes = read_starts([old], other)
        assert set(starts) == {"liver", "aorta"}
        told = other.size_ijk == geometry().size_ijk
        assert ["old.seg.nrrd was made on another CT" in note for note in notes] == [True] * told


def test_commands_take_a_segmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_for_commands(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    clicks = ("--clicks", "clicks.json", "--output", "one.seg.nrrd")
    assert run_command("segment", "ct.nrrd", *clicks) == 0
    clicks = ("--clicks", "one.seg.nrrd", "--output", "two.seg.nrrd")
    assert run_command("segment", "ct.nrrd", *clicks) == 0
    (tmp_path / "t.csv").write_text("ct,clicks\nct.nrrd,one.seg.nrrd\n")
    assert run_command("batch", "t.csv", "--output-dir", "out", "--no-pictures") == 0
    contents = {(tmp_path / name).read_bytes() for name in ("one.seg.nrrd", "two.seg.nrrd")}
    assert contents == {(tmp_path / "out" / "ct.seg.nrrd").read_bytes()}
    with_changes(tmp_path / "one.seg.nrrd", "liver", mask=edited())
    capsys.readouterr()
    assert run_command("segment", "ct.nrrd", "--clicks", "one.seg.nrrd", *clicks[2:]) == 0
    assert "the mask of liver was corrected by hand" in capsys.readouterr().err
    assert run_command("segment", "ct.nrrd", *clicks, "--recompute") == 0
    assert (tmp_path / "two.seg.nrrd").read_bytes() in contents
