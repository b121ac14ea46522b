"""Small cases for packing and training: two balls in a body."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import nibabel
import numpy as np


def ball_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU and labels, axes I, J, K: two balls of different HU in a body."""
    rng = np.random.default_rng(seed)
    i, j, k = np.ogrid[:40, :44, :48]
    hu = np.full((40, 44, 48), -1000.0)
    hu[4:36, 4:40, 4:44] = 0.0
    labels = np.zeros(hu.shape, np.uint8)
    for value, (centre, level) in enumerate((((12, 20, 20), 150), ((27, 22, 30), 90)), 1):
        ball = (i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 < 49
        labels[ball] = value
        hu[ball] = level
    return (hu + rng.normal(0, 10, hu.shape)).astype(np.int16), labels


def write_case(folder: Path, seed: int, *, ct: bool = True, origin: str = "human (test)") -> None:
    folder.mkdir(parents=True)
    hu, labels = ball_case(seed)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    if ct:
        nibabel.save(nibabel.Nifti1Image(hu, affine), folder / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "labels.nii.gz")
    (folder / "labels.json").write_text(json.dumps({"1": "spleen", "2": "kidney_left"}))
    (folder / "meta.json").write_text(json.dumps({"split": "train", "label_origin": origin}))


def newer_zip() -> bytes:
    """A zip file of a version that Python does not read."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("header.npy", b"")
    content = bytearray(stream.getvalue())
    content[content.index(b"PK\x01\x02") + 6] = 99  # tenths of the version that is needed
    return bytes(content)


def damaged_zip() -> bytes:
    """A zip file whose compressed content is damaged."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.npy", bytes(99))
    content = bytearray(stream.getvalue())
    content[30 + len("header.npy")] = 255  # no kind of block begins so
    return bytes(content)
