"""A bright ball in soft tissue, two cases on disk, and methods that answer as told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.cases import Structure
from CTSAM3DLib.evaluation.protocol import Step, Trace
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click

SPACING = (2.0, 2.0, 3.0)
CENTRE = Click((68.0, 56.0, 60.0))
OUTSIDE = Click((20.0, 20.0, 20.0), positive=False)


def ball_volume(noise=6.0):
    """Return a bright ball of radius 20 mm in soft tissue, and its mask."""
    shape = (40, 60, 64)
    k, j, i = np.indices(shape)
    squared = ((k - 20) * 3.0) ** 2 + ((j - 28) * 2.0) ** 2 + ((i - 34) * 2.0) ** 2
    truth = squared <= 20.0**2
    rng = np.random.default_rng(0)
    hu = np.where(truth, 150.0, 30.0) + rng.normal(0, noise, shape)
    return Volume.from_array(np.rint(hu).astype(np.int16), SPACING, name="ball"), truth


def structure_of(volume, truth, case="case", anatomy="ball"):
    spacing = volume.geometry.spacing_mm
    return Structure(case, "torso, human labels", anatomy, truth, truth.sum() * 0.012, spacing)


@dataclass
class Scripted:
    """Return given masks one after the other; None raises."""

    masks: list
    seen: list = field(default_factory=list)

    def __call__(self, click):
        self.seen.append(click)
        mask = self.masks[min(len(self.seen), len(self.masks)) - 1]
        if mask is None:
            raise CTSAM3DError("out of masks")
        return mask


def trace_of(*scores, seconds=1.0, error=""):
    return Trace(tuple(Step(CENTRE, seconds, score, score / 2) for score in scores), error)


def write_cases(root):
    """Write two labelled cases (train and validation) and folders that are no cases."""
    sitk = pytest.importorskip("SimpleITK")
    volume, truth = ball_volume()
    labels = truth.astype(np.uint8) * 3
    labels[2:5, 2:5, 2:5] = 7  # 27 voxels
    labels[30:38, 50:58, 2:12] = 9  # 640 voxels that no label file names
    for name, split, origin in (
        ("b__one", "validation", "human (radiographer)"),
        ("a__two", "train", "TotalSegmentator-produced"),
    ):
        folder = root / "ct" / name
        folder.mkdir(parents=True)
        for file, array in (("ct", volume.array_kji), ("labels", labels)):
            image = sitk.GetImageFromArray(np.ascontiguousarray(array))
            image.SetSpacing(SPACING)
            sitk.WriteImage(image, str(folder / f"{file}.nii.gz"))
        names = {"3": "liver", "7": "dot", "12": "absent"}
        (folder / "labels.json").write_text(json.dumps(names))
        meta = {"split": split, "body_region": "torso", "label_origin": origin}
        (folder / "meta.json").write_text(json.dumps(meta))
    (root / "ct" / "c__no_labels").mkdir()
    (root / "ct" / "c__no_labels" / "meta.json").write_text("{}")
    return root
