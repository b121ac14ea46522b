"""The demo from end to end: files, their content, and how good the bundled model is on it."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from file_faults import full_disk

from CTSAM3DLib.cli import demo
from CTSAM3DLib.cli.demo import write_image
from CTSAM3DLib.cli.main import main
from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.image import read_volume
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DLib.resources import resource_path


@pytest.fixture(params=["part", pytest.param("whole", marks=pytest.mark.slow)])
def clicks(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, ClickHistory]:
    """The stored clicks of the demo; its part has fewer of them, on larger voxels."""
    stored = resource_path("SampleData/torso_phantom_clicks.json")
    if request.param == "part":
        content = json.loads(stored.read_text())
        structures = content["structures"]
        content["structures"] = {name: structures[name] for name in ("spleen",)}
        stored = tmp_path / "clicks.json"
        stored.write_text(json.dumps(content))
        monkeypatch.setattr(demo, "resource_path", lambda _: stored)
        monkeypatch.setattr(demo, "torso_phantom", partial(torso_phantom, spacing_mm=4.0))
    return read_clicks([stored])


def test_demo_writes_what_it_names(
    clicks: dict[str, ClickHistory], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert main(["demo", "--output-dir", str(tmp_path / "out"), "--device", "cpu"]) == 0
    printed, told = capsys.readouterr()
    assert "warning" not in told
    wrote = [Path(line.removeprefix("wrote ")) for line in printed.splitlines() if "wrote" in line]
    assert len(wrote) == 4
    assert all(path.stat().st_size > 1000 for path in wrote)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {s["name"] for s in report["structures"]} == set(clicks)
    stored = read_segmentation(tmp_path / "out" / "segmentation.seg.nrrd")
    assert {s.name for s in stored.segments} == set(clicks)
    # A weak model would still write files: half of the structures must be recognisable.
    rows = [line.split() for line in printed.splitlines() if line.split()[:1][0:1] != []]
    scores = [float(row[-1]) for row in rows if row[0] in clicks and row[-1] != "-"]
    assert len(scores) == len(clicks)
    assert float(np.median(scores)) > 0.5


def test_image_file_keeps_voxels_and_geometry(tmp_path: Path) -> None:
    volume, _ = torso_phantom(spacing_mm=8.0)
    write_image(tmp_path / "ct.nii.gz", volume)
    again = read_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(again.array_kji, volume.array_kji)
    np.testing.assert_allclose(again.geometry.ijk_to_ras, volume.geometry.ijk_to_ras, atol=1e-4)


@pytest.mark.skipif(os.name == "nt", reason="no limit of that kind there")
def test_a_full_disk_is_told_and_leaves_the_image_of_before(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(b"before")
    volume, _ = torso_phantom(spacing_mm=8.0)
    with full_disk(2000), pytest.raises(OutputFileError, match="Free some space"):
        write_image(path, volume)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
