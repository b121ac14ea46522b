"""CTs of a training split, and a learner of an adapter, on a small model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from learning_case import SHAPE, scan, write_image

from CTSAM3DLib.models.manifest import entry_beside
from CTSAM3DLib.training.adapting import AdapterLearner, adapter_scans
from CTSAM3DLib.training.lessons import LearnerConfig

CONFIG = LearnerConfig(seconds=1e6, patch_size=32, warmup=1, lessons=1, clicks=1, rate=1e-2)


def write_cases(folder: Path) -> Path:
    """Write two CTs of the training split, the second one without a cyst."""
    for number, names in enumerate((("spleen", "gallbladder"), ("spleen",))):
        hu, masks = scan(number)
        case = folder / f"case{number}"
        parts = [masks[name] for name in ("spleen", "cyst")][: len(names)]
        labels = np.zeros(SHAPE, np.uint8)
        for value, part in enumerate(parts, 1):
            labels[part] = value
        write_image(case / "ct.nii.gz", hu)
        write_image(case / "labels.nii.gz", labels)
        (case / "labels.json").write_text(json.dumps(dict(enumerate(names, 1))))
        meta = {"split": "train", "body_region": "abdomen", "label_origin": "human"}
        (case / "meta.json").write_text(json.dumps(meta))
    return folder


def network(bundle: Path):
    module = torch.jit.load(str(bundle)).to(torch.float32).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def learner(bundle: Path, data: Path, folder: Path, config: LearnerConfig = CONFIG):
    folder.mkdir(exist_ok=True)
    settings = entry_beside(bundle).settings
    scans = adapter_scans(data, ["spleen"], settings)
    return AdapterLearner(network(bundle), settings, scans, config, folder)
