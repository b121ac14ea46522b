"""What `learn` gains: a structure of a few training cases, scored on validation cases.

    python Testing/Benchmarks/measure_learning.py DATA WORK --structure larynx --cases 5

The time of learning is processor time of one thread, so that other work on the computer does not
count. First clicks are those of `evaluate`: simulated user largest_error, seed 0.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.cli.process import keep_freed_memory, use_threads
from CTSAM3DLib.evaluation.cases import find_cases, load_case, structures_of
from CTSAM3DLib.evaluation.methods import ModelMethod
from CTSAM3DLib.evaluation.protocol import ClickProtocol, simulate
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.training.learning import LearningRequest, learn

LEAST_VOXELS = 300


def write_cases(data: Path, folder: Path, structure: str, count: int) -> None:
    """Write the first training cases that have a structure, with that structure alone."""
    written = 0
    for case in find_cases(data, "train", "openkbp"):
        value = next((v for v, name in case.anatomies.items() if name == structure), None)
        image = sitk.ReadImage(str(case.folder / "labels.nii.gz"))
        mask = sitk.GetArrayFromImage(image) == value
        if value is None or np.count_nonzero(mask) < LEAST_VOXELS:
            continue
        place = folder / case.name
        place.mkdir(parents=True, exist_ok=True)
        (place / "ct.nii.gz").write_bytes((case.folder / "ct.nii.gz").read_bytes())
        labels = sitk.GetImageFromArray(mask.astype(np.uint8))
        labels.CopyInformation(image)
        sitk.WriteImage(labels, str(place / "labels.nii.gz"))
        (place / "labels.json").write_text(json.dumps({"1": structure}))
        written += 1
        if written == count:
            return


def first_clicks(data: Path, structure: str, models: dict[str, Path], most: int) -> None:
    """Print mean Dice after one click of each model, after each case."""
    methods = {name: ModelMethod(TorchPredictor(path, "cpu")) for name, path in models.items()}
    cases = find_cases(data, "validation")
    having = [c for c in cases if "openkbp" in c.name and structure in c.anatomies.values()]
    slab = [c for c in cases if "abdomen_slab" in c.name]
    scores: dict[str, list[list[float]]] = defaultdict(list)
    protocol = ClickProtocol(max_clicks=1, checkpoints=())
    for case in (*having, *slab):
        volume, labels = load_case(case)
        found = structures_of(case, volume, labels, LEAST_VOXELS)
        lacks = structure not in [item.anatomy for item in found]
        if case in having and (lacks or len(scores[structure]) == most):
            continue
        for item in found:
            row = [
                simulate(m.start(volume, item.anatomy), item, volume, protocol)
                for m in methods.values()
            ]
            group = "abdomen slab" if case in slab else "other head and neck"
            group = structure if item.anatomy == structure else group
            scores[group].append([trace.dice_after(1) for trace in row])
        for group, rows in scores.items():
            means = zip(methods, np.mean(rows, 0).round(4).tolist(), strict=True)
            print(group, len(rows), dict(means), flush=True)


def main() -> None:
    """Learn, then score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--structure", default="larynx")
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=LearningRequest.rate)
    parser.add_argument("--held-out", type=int, default=10)
    options = parser.parse_args()
    use_threads(1)
    keep_freed_memory()
    write_cases(options.data, options.work / "cases", options.structure, options.cases)
    request = LearningRequest(
        options.work / "cases",
        "learnt",
        minutes=options.minutes,
        install_anyway=True,
        work_dir=options.work / "run",
        models_dir=options.work / "models",
        rate=options.rate,
    )
    outcome = learn(request, print, clock=time.process_time)
    print(outcome.report.read_text(encoding="utf-8"))
    models = {"before": resolve_model().path, "after": options.work / "models" / "learnt.pt"}
    first_clicks(options.data, options.structure, models, options.held_out)


if __name__ == "__main__":
    main()
