"""Packed data of two balls, from image files and without any; a small bundle and its cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def packed_balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with labels made by hand, and the same labels without CT."""
    shape = (40, 44, 48)
    k, j, i = np.ogrid[:40, :44, :48]
    labels = np.zeros(shape, np.uint8)
    labels[(k - 20) ** 2 + (j - 20) ** 2 + (i - 14) ** 2 < 49] = 1
    labels[(k - 22) ** 2 + (j - 24) ** 2 + (i - 32) ** 2 < 49] = 2
    hu = np.array([0, 150, 90])[labels] + np.random.default_rng(0).normal(0, 10, shape)
    points, cases = [], []
    for number in (0, 1):
        targets = []
        for value, name in ((1, "spleen"), (2, "kidney_left")):
            at = np.argwhere(labels == value)[::7].astype(np.int16)
            targets.append(
                {
                    "kind": "labels",
                    "value": value,
                    "name": name,
                    "voxels": int((labels == value).sum()),
                    "points": sum(map(len, points)),
                    "count": len(at),
                }
            )
            points.append(at)
        cases.append(
            {
                "name": f"balls__{number}",
                "family": "balls",
                "shape": shape,
                "spacing_kji_mm": [2.0, 2.0, 2.0],
                "label_origin": "human (test)",
                "label_names": {"1": "spleen", "2": "kidney_left"},
                "hu": None if number else 0,
                "labels": number * labels.size,
                "pseudo": None,
                "targets": targets,
            }
        )
    path = tmp_path_factory.mktemp("balls") / "train.npz"
    np.savez(
        path,
        hu=hu.astype(np.int16).ravel(),
        labels=np.concatenate([labels.ravel()] * 2),
        pseudo=np.zeros(0, np.uint8),
        points=np.concatenate(points),
        header=np.frombuffer(json.dumps({"version": 1, "cases": cases}).encode(), np.uint8),
    )
    return path


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs, one with labels made by hand, and labels without CT; not to change."""
    from packed_case import write_case

    from CTSAM3DLib.training.packing import pack

    root = tmp_path_factory.mktemp("data")
    write_case(root / "ct" / "balls__1", 1)
    write_case(root / "ct" / "balls__2", 2, origin="TotalSegmentator-produced")
    write_case(root / "labels_only" / "maps__1", 3, ct=False)
    pack(root, root / "train.npz")
    return root / "train.npz"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small model."""
    from learning_case import write_model

    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs of a training split."""
    from adapter_case import write_cases

    return write_cases(tmp_path_factory.mktemp("data"))
