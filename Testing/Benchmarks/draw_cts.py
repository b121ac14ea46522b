"""Draw CTs from label maps, where no CT has labels of an anatomy: cases for ``train adapter``.

    PYTHONPATH=. python Testing/Benchmarks/draw_cts.py DATA OUT --structures iliac_artery_left
        iliac_artery_right [--each 7] [--maps totalsegdataset]

DATA holds ``labels_only``; each label map there that has one of the structures is drawn some times
round them, as `synthesise_typical` draws, with more contrast in the vessels than in the tissue
round them, and with noise. OUT gets a folder a drawing, of the training split; folders of real CTs
can be put beside them, so that an adapter learns from both.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from CTSAM3DLib.training.synthesis import TissueTable, synthesise_typical, tissue_table

AROUND_VOXELS = np.array([30, 45, 45])
BLOOD_HU = 42.0
ARTERY_HU, LEAST_VEIN_HU, NOISE_HU = (60.0, 200.0), 20.0, (5.0, 20.0)


def with_contrast(
    table: TissueTable, names: dict[str, str], artery: float, vein: float
) -> TissueTable:
    """Return the table of one case with so many HU of contrast in arteries and in veins."""
    hu = table.hu.clone()
    for value, name in names.items():
        if "artery" in name or name == "aorta":
            hu[:, int(value)] = torch.tensor([BLOOD_HU + artery, 0.0, 0.0])
        elif "vena" in name or "vein" in name:
            hu[:, int(value)] = torch.tensor([BLOOD_HU + vein, 0.0, 0.0])
    return TissueTable.of([TissueTable(hu, table.structure)], torch.device("cpu"))


def main() -> int:
    """Draw what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--structures", nargs="+", required=True)
    parser.add_argument("--each", type=int, default=7)
    parser.add_argument("--maps", default="", help="regular expression that occurs in their names")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    for number, folder in enumerate(sorted((args.data / "labels_only").glob("*"))):
        names = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        values = [int(v) for v, name in names.items() if name in args.structures]
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        is_wanted = re.search(args.maps, folder.name) and meta.get("split") == "train"
        if not values or not is_wanted:
            continue
        image = sitk.ReadImage(str(folder / "labels.nii.gz"))
        labels = sitk.GetArrayFromImage(image)
        found = np.argwhere(np.isin(labels, values))
        low = np.maximum(found.min(0) - AROUND_VOXELS, 0)
        high = np.minimum(found.max(0) + 1 + AROUND_VOXELS, labels.shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        part = image[tuple(reversed(box))]
        patch = torch.from_numpy(np.ascontiguousarray(labels[box]))[None]
        spacing_mm = torch.tensor([image.GetSpacing()[0]])
        for drawing in range(args.each):
            artery = float(rng.uniform(*ARTERY_HU))
            vein = float(rng.uniform(LEAST_VEIN_HU, 1.1 * artery))
            table = with_contrast(tissue_table(names), names, artery, vein)
            generator = torch.Generator().manual_seed(1000 * number + drawing)
            hu = synthesise_typical(patch, table, spacing_mm, generator)[0].numpy()
            hu = hu + rng.normal(0.0, rng.uniform(*NOISE_HU), hu.shape)
            drawn = sitk.GetImageFromArray(np.clip(hu, -1024, 3000).astype(np.int16))
            drawn.CopyInformation(part)
            case = args.output / "ct" / f"{folder.name}_{drawing}"
            case.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(drawn, str(case / "ct.nii.gz"))
            sitk.WriteImage(part, str(case / "labels.nii.gz"))
            for name in ("labels.json", "meta.json"):
                shutil.copy(folder / name, case / name)
            print(f"{case}: arteries {artery:.0f}, veins {vein:.0f} HU more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
