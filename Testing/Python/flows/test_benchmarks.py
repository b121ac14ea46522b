"""Each benchmark runs from end to end on small volumes, so that none of them rots; no times."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
FOLDER = Path(__file__).resolve().parents[2] / "Benchmarks"
RESULTS = {
    "bench_session.py": "session.md",
    "bench_segment_write.py": "segment-write.md",
    "bench_device.py": "device-cpu.md",
}
OPTIONS = {"bench_device.py": ("--device", "cpu")}


def run(name: str, *arguments: str) -> str:
    """Run a benchmark as `make bench` does and return what it prints."""
    root = FOLDER.parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, str(FOLDER / name), *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("bench_*.py")))
def test_it_runs(name: str, tmp_path: Path) -> None:
    if name not in RESULTS:
        assert run(name, "--quick").strip()
        return
    before = {path: path.stat().st_mtime_ns for path in (FOLDER / "results").iterdir()}
    printed = run(name, "--quick", "--results", str(tmp_path), *OPTIONS.get(name, ()))
    if printed.startswith("left out: "):
        pytest.skip(printed)
    text = (tmp_path / RESULTS[name]).read_text(encoding="utf-8")
    assert text.strip() == printed.strip()
    assert text.startswith("# ")
    assert max(map(len, text.partition("\n| ")[0].splitlines())) <= 160
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 6
    numbers = [cell for row in rows for cell in re.findall(r"\| (-?[\d.]+) (?=\|)", row)]
    assert len(numbers) > 20
    assert all(float(number) >= 0 for number in numbers)
    assert all(path.stat().st_size < 100_000 for path in tmp_path.iterdir())
    after = {path: path.stat().st_mtime_ns for path in (FOLDER / "results").iterdir()}
    assert after == before, "a quick run must not replace results"


def test_no_patient_is_both_learnt_and_scored(monkeypatch):
    pytest.importorskip("SimpleITK")
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("measure_learning")
    parts = [f"acrin_flt_breast__{part}" for part in ("001_a", "001_b", "013_a", "013_b")]
    cases = [SimpleNamespace(name=name) for name in (*parts, "sts__003", "sts__012")]
    for seed in range(8):
        learnt, held_out = module.divided(cases, 3, seed)
        assert len(learnt) == 3
        patients = {module.patient_of(case.name) for case in learnt}
        assert len(patients) >= 2
        assert not patients & {module.patient_of(case.name) for case in held_out}


def test_cts_are_drawn_where_their_labels_say(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    labels = np.zeros((80, 140, 140), np.uint8)
    labels[40:60, 60:80, 60:80], labels[20:70, 90:130, 20:50] = 1, 2
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((1.5, 1.5, 1.5))
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    image.SetOrigin((30.0, -20.0, 7.0))
    named = {"1": "iliac_artery_left", "2": "gluteus_maximus_left"}
    for case, known in {"vessel": named, "none": {}, "other": named}.items():
        folder = tmp_path / "data" / "labels_only" / case
        folder.mkdir(parents=True)
        sitk.WriteImage(image, str(folder / "labels.nii.gz"))
        (folder / "labels.json").write_text(json.dumps(known))
        (folder / "meta.json").write_text('{"split": "train"}')
    options = ("--structures", "iliac_artery_left", "--each", "2", "--maps", "vess|none")
    run("draw_cts.py", str(tmp_path / "data"), str(tmp_path / "drawn"), *options)
    cases = sorted((tmp_path / "drawn" / "ct").iterdir())
    assert [case.name for case in cases] == ["vessel_0", "vessel_1"]
    for case in cases:
        hu, drawn = (sitk.ReadImage(str(case / f"{n}.nii.gz")) for n in ("ct", "labels"))
        assert hu.GetSize() == drawn.GetSize()
        there = sitk.Resample(image, hu, sitk.Transform(), sitk.sitkNearestNeighbor)
        parts = sitk.GetArrayFromImage(there)
        np.testing.assert_array_equal(parts, sitk.GetArrayFromImage(drawn))
        assert np.count_nonzero(parts == 1) == np.count_nonzero(labels == 1)
        values = sitk.GetArrayFromImage(hu)
        assert values[parts == 1].mean() > values[parts == 2].mean() + 40
