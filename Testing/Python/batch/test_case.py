"""One case with every kind of output."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk_cases import (
    ball_model,
    folder_for_commands,
    geometry,
    run_command,
    write_clicks_file,
    write_ct,
    write_dicom,
)

from CTSAM3DLib.batch.case import Case, run_case
from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.io.content_mark import is_replaceable, mark_of
from CTSAM3DLib.io.segmentation import read_segmentation

pytest.importorskip("SimpleITK")
pytest.importorskip("matplotlib")

NEAR = geometry().ras_from_ijk((14, 10, 8)).tolist()
TWO = {
    "liver": {"positive": [geometry().ras_from_ijk((12, 10, 8)).tolist()]},
    "tumour": {"positive": [NEAR]},
}


def test_every_output_says_the_same(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    case = Case(
        write_ct(tmp_path / "ct.nrrd"),
        (write_clicks_file(tmp_path / "c.json", TWO),),
        tmp_path / "o.seg.nrrd",
        report=tmp_path / "o.json",
        label_map=tmp_path / "o.nii.gz",
        table=tmp_path / "o.csv",
    )
    told: list[str] = []
    _, report = run_case(case, ball_model(), warn=told.append)
    assert {mark_of(path) is None for path in case.files.values()} == {False}
    segmentation = read_segmentation(case.output)
    labels = np.asarray(nibabel.load(tmp_path / "o.nii.gz").dataobj).transpose()
    names = json.loads((tmp_path / "o.labels.json").read_text())["labels"]
    with (tmp_path / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    hidden = 0
    for number, (segment, row) in enumerate(zip(segmentation.segments, rows, strict=True), 1):
        count = segment.mask.voxel_count
        about = names[str(number)]
        assert (about["name"], row["structure"]) == (segment.name, segment.name)
        assert count == about["voxels"] == int(row["voxels"])
        assert int((labels == number).sum()) == count - about["hidden_voxels"]
        assert float(row["volume_cm3"]) == pytest.approx(count * 10 / 1000, abs=1e-4)
        voxels_ijk = np.argwhere(segment.mask.full(segmentation.geometry.shape_kji))[:, ::-1]
        centre = geometry().ras_from_ijk(voxels_ijk).mean(axis=0)
        assert [float(row[f"centre_{axis}_mm"]) for axis in "ras"] == pytest.approx(
            centre.tolist(), abs=1e-3
        )
        hidden += about["hidden_voxels"]
    assert hidden > 0
    assert told[-1].startswith(f"{hidden} voxels lie in several structures")
    assert report["warnings"][-1] == told[-1]
    assert report["files"]["label map"] == str(tmp_path / "o.nii.gz")


def test_a_table_that_somebody_changed_is_not_replaceable(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    case = Case(
        write_ct(tmp_path / "ct.nrrd"),
        (write_clicks_file(tmp_path / "c.json"),),
        tmp_path / "o.seg.nrrd",
        table=path,
    )
    run_case(case, ball_model())
    assert is_replaceable(path)
    path.write_text(path.read_text().replace("liver", "spleen"))
    assert not is_replaceable(path)


def test_commands_write_label_map_and_dicom_seg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hd = pytest.importorskip("highdicom")
    folder_for_commands(tmp_path, monkeypatch)
    ct = write_dicom(tmp_path / "dicom", "1.2.3")
    monkeypatch.chdir(tmp_path)
    clicks = ("--clicks", "clicks.json", "--output", "x.seg.nrrd")
    assert run_command("segment", ct, *clicks, "--nifti", "x.nii.gz", "--dicom-seg", "x.dcm") == 0
    (tmp_path / "t.csv").write_text("ct,clicks\ndicom,clicks.json\n")
    written = ("t.csv", "--output-dir", "out", "--nifti", "--dicom-seg", "--no-pictures")
    assert run_command("batch", *written) == 0
    voxels = read_segmentation(tmp_path / "x.seg.nrrd")["liver"].mask.voxel_count
    for name in ("x.dcm", "out/dicom.dcm"):
        assert int(hd.seg.segread(tmp_path / name).pixel_array.sum()) == voxels
    assert (tmp_path / "out" / "dicom.nii.gz").read_bytes() == (tmp_path / "x.nii.gz").read_bytes()
    assert (tmp_path / "out" / "batch_report.html").is_file()


def test_a_dicom_seg_of_another_ct_is_refused_before_any_work(tmp_path: Path) -> None:
    case = Case(
        write_ct(tmp_path / "ct.nrrd"),
        (write_clicks_file(tmp_path / "c.json"),),
        tmp_path / "o.seg.nrrd",
        dicom_seg=tmp_path / "o.dcm",
    )
    with pytest.raises(SegmentationFileError, match="DICOM SEG needs"):
        run_case(case, None)  # type: ignore[arg-type]


def told_of(clicks: dict[str, Any], folder: Path) -> list[str]:
    """Return what is told while clicks are answered."""
    case = Case(
        write_ct(folder / "ct.nrrd"),
        (write_clicks_file(folder / "c.json", clicks),),
        folder / "o.seg.nrrd",
    )
    told: list[str] = []
    run_case(case, ball_model(), warn=told.append)
    return told


def test_a_name_that_is_nearly_an_anatomy_is_told(tmp_path: Path) -> None:
    clicks = {"splen": TWO["liver"], "my lesion": TWO["liver"]}
    told = told_of(clicks, tmp_path)
    assert [text for text in told if "spleen" in text and "'splen'" in text]
    assert not [text for text in told if "lesion" in text]


def test_two_names_of_one_anatomy_are_told(tmp_path: Path) -> None:
    clicks = dict.fromkeys(("Kidney left", "my lesion", "kidney_left"), TWO["liver"])
    told = told_of(clicks, tmp_path)
    (text,) = [text for text in told if "one anatomy" in text]
    assert text.startswith("structures 'Kidney left' and 'kidney_left'")
