"""Small CTs and clicks on disk, for tests of whole cases."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_predictor import BallPredictor

from CTSAM3DLib.batch.case import LoadedModel
from CTSAM3DLib.cli import batch as cli_batch
from CTSAM3DLib.cli import main as cli
from CTSAM3DLib.cli import segment as cli_segment
from CTSAM3DLib.geometry.grid import Geometry

SHAPE = (16, 20, 24)


def geometry() -> Geometry:
    """Return a grid in LPS order with 2 x 2 x 2.5 mm voxels."""
    matrix = np.diag([-2.0, -2.0, 2.5, 1.0])
    matrix[:3, 3] = (20, 15, -10)
    return Geometry(matrix, SHAPE)


def write_ct(path: Path, offset_hu: int = 0) -> Path:
    """Write a CT of noise that SimpleITK reads."""
    import SimpleITK as sitk

    values = np.random.default_rng(1).integers(-200, 200, SHAPE).astype(np.int16) + offset_hu
    image = sitk.GetImageFromArray(values)
    origin, spacing, direction = geometry().lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_dicom(folder: Path, series: str, offset_hu: int = 0) -> Path:
    """Add the same CT as a DICOM series of 16 slices to a folder."""
    import SimpleITK as sitk

    folder.mkdir(exist_ok=True)
    values = np.random.default_rng(1).integers(-200, 200, SHAPE).astype(np.int16) + offset_hu
    for k, pixels in enumerate(values):
        image = sitk.GetImageFromArray(pixels[None])
        image.SetSpacing((2.0, 2.0, 2.5))
        place = geometry().ras_from_ijk((0, 0, k)) * (-1, -1, 1)
        tags = {
            "0008|0060": "CT",
            "0020|000d": "1.2",
            "0020|000e": series,
            "0020|0013": str(k + 1),
            "0020|0052": "1.3",
            "0020|0032": "\\".join(f"{value:g}" for value in place),
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{series}-{k}.dcm"))
        writer.Execute(image)
    return folder


def write_clicks_file(path: Path, structures: dict[str, Any] | None = None) -> Path:
    """Write clicks near the middle of the CT."""
    middle = geometry().ras_from_ijk((12, 10, 8)).tolist()
    content = {
        "coordinate_system": "RAS",
        "structures": structures or {"liver": {"positive": [middle]}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def ball_model(*_: object, **__: object) -> LoadedModel:
    """Return a model without a network."""
    return LoadedModel(BallPredictor(radius=4))


def folder_for_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a CT and clicks, where commands use a model without a network."""
    write_ct(folder / "ct.nrrd")
    write_clicks_file(folder / "clicks.json")
    monkeypatch.setattr(cli_segment, "load_model", ball_model)
    monkeypatch.setattr(cli_batch, "load_model", ball_model)
    monkeypatch.setattr(cli_batch, "resolve_model", lambda _: SimpleNamespace(sha256="0"))
    return folder


def run_command(*words: Any) -> int:
    """Run the command line; return its exit code."""
    return cli.main([str(word) for word in words])
