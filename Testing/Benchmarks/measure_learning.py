"""What `learn` gains: structures of a few cases, scored by first clicks on cases held out.

    python Testing/Benchmarks/measure_learning.py DATA WORK --annotations Testing/Annotations \
        --structures femur_left femur_right --cases 5 --minutes 20

With ``--annotations`` the cases are annotated bodies, drawn by patient with ``--seed``; the others
that have a structure are held out. Without, they are the first OpenKBP training cases, and those of
validation are held out. The time of learning is processor time of one thread, so that other work on
the computer does not count. First clicks are those of `evaluate`: simulated user largest_error,
seed 0.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.cli.process import keep_freed_memory, use_threads
from CTSAM3DLib.evaluation.cases import LabelledCase, find_cases, load_case, structures_of
from CTSAM3DLib.evaluation.methods import ModelMethod
from CTSAM3DLib.evaluation.protocol import ClickProtocol, simulate
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.training.learning import LearningRequest, learn

LEAST_VOXELS = 300
HEAD_AND_NECK_CASES = 4


def patient_of(name: str) -> str:
    """Return the patient of a case: several parts of one body may be cases.

    Examples
    --------
    >>> patient_of("acrin_flt_breast__013_part"), patient_of("sts__003")
    ('acrin_flt_breast__013', 'sts__003')
    """
    match = re.match(r"acrin_flt_breast__\d+", name)
    return match.group() if match else name


def divided(
    cases: Sequence[LabelledCase], count: int, seed: int
) -> tuple[list[LabelledCase], list[LabelledCase]]:
    """Draw `count` cases, patient by patient; return them, and those of all other patients."""
    patients = sorted({patient_of(case.name) for case in cases})
    order = np.random.default_rng(seed).permutation(len(patients))
    drawn = [c for n in order for c in cases if patient_of(c.name) == patients[n]][:count]
    taken = {patient_of(case.name) for case in drawn}
    return drawn, [case for case in cases if patient_of(case.name) not in taken]


def having(cases: Sequence[LabelledCase], structures: Sequence[str]) -> list[LabelledCase]:
    """Return the cases in which one of the structures is large enough to be scored."""
    found = []
    for case in cases:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(case.labels_folder / "labels.nii.gz")))
        values = [v for v, name in case.anatomies.items() if name in structures]
        if any(np.count_nonzero(labels == value) >= LEAST_VOXELS for value in values):
            found.append(case)
    return found


def write_cases(cases: Sequence[LabelledCase], folder: Path, structures: Sequence[str]) -> Path:
    """Write cases with these structures alone; return their table."""
    rows = []
    for case in cases:
        place = folder / case.name
        place.mkdir(parents=True, exist_ok=True)
        image = sitk.ReadImage(str(case.labels_folder / "labels.nii.gz"))
        array = sitk.GetArrayFromImage(image)
        names = {v: name for v, name in case.anatomies.items() if name in structures}
        labels = sitk.GetImageFromArray(np.where(np.isin(array, list(names)), array, 0))
        labels.CopyInformation(image)
        sitk.WriteImage(labels, str(place / "labels.nii.gz"))
        (place / "labels.json").write_text(json.dumps(names))
        ct = (case.folder / "ct.nii.gz").resolve()
        rows.append([ct, f"{case.name}/labels.nii.gz", patient_of(case.name), case.name])
    table = folder / "cases.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["ct", "segmentation", "patient", "name"], *rows])
    return table


def first_clicks(
    groups: Sequence[tuple[str, LabelledCase]],
    structures: Sequence[str],
    models: dict[str, Path],
    out: Path,
) -> None:
    """Print mean Dice after one click of each model, after each case; write that of each one.

    `groups` are the cases, with what the other structures in them are called.
    """
    methods = {name: ModelMethod(TorchPredictor(path, "cpu")) for name, path in models.items()}
    scores: dict[str, list[list[float]]] = defaultdict(list)
    rows = []
    protocol = ClickProtocol(max_clicks=1, checkpoints=())
    for other, case in groups:
        volume, labels = load_case(case)
        for item in structures_of(case, volume, labels, LEAST_VOXELS):
            dice = [
                simulate(m.start(volume, item.anatomy), item, volume, protocol).dice_after(1)
                for m in methods.values()
            ]
            learnt = item.anatomy in structures
            for group in ("learnt", item.anatomy) if learnt else ("all others", other):
                scores[group].append(dice)
            rows.append([case.name, item.anatomy, *(round(value, 4) for value in dice)])
        for group, found in scores.items():
            means = zip(methods, np.mean(found, 0).round(4).tolist(), strict=True)
            print(group, len(found), dict(means), flush=True)
    out.write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def main() -> None:
    """Learn, then score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--structures", nargs="+", default=["larynx"])
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=LearningRequest.rate)
    parser.add_argument("--held-out", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of annotated bodies")
    options = parser.parse_args()
    use_threads(1)
    keep_freed_memory()
    data, names, most = options.data, options.structures, options.held_out
    validation = find_cases(data, "validation")
    slab = [("abdomen slab", case) for case in validation if "abdomen_slab" in case.name]
    neck = [case for case in validation if "openkbp" in case.name]
    if options.annotations:
        found = having(find_cases(data, "all", annotations=options.annotations), names)
        drawn, held_out = divided(found, options.cases, options.seed)
        others = [*slab, *(("head and neck", case) for case in neck[:HEAD_AND_NECK_CASES])]
    else:
        drawn = having(find_cases(data, "train", "openkbp"), names)[: options.cases]
        held_out, others = having(neck, names), slab
    print("learnt:", *(case.name for case in drawn))
    request = LearningRequest(
        write_cases(drawn, options.work / "cases", names),
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
    groups = [("others there", case) for case in held_out[:most]]
    first_clicks([*groups, *others], names, models, options.work / "scores.jsonl")


if __name__ == "__main__":
    main()
