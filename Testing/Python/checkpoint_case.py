"""Checkpoint files in the layout of the authors, whole and damaged, for tests of the import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from random_weights import with_random_weights
from torch import Tensor

from CTSAM3DLib.bundles import official_weights as official_checkpoint
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import OfficialConfig

MICRO = OfficialConfig(
    name="micro",
    encoder_widths=(8, 16, 24, 32),
    encoder_depths=(1, 2, 1, 1),
    attention_heads=(1, 2, 3, 4),
    decoder_width=16,
    prompt_hidden=8,
    quality_hidden=8,
    position_features=4,
    cross_patch_widths=(4, 8),
)


def micro_state() -> dict[str, Tensor]:
    """Return random weights of a small official network, in the order of its keys."""
    return dict(with_random_weights(OfficialSegmenter(MICRO)).state_dict())


def thin_state(config: OfficialConfig) -> dict[str, Tensor]:
    """Return weights of any size that need no memory: each is one number, repeated."""
    layout = official_checkpoint.layout(config)
    return {
        key: torch.full((1,), 0.5 if dtype.is_floating_point else 1, dtype=dtype)
        .reshape([1] * len(shape))
        .expand(shape)
        for key, (shape, dtype) in layout.items()
    }


def save(path: Path, content: Any, *, legacy: bool = False) -> Path:
    """Write a file as new or old versions of PyTorch do."""
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def know_micro(patch: pytest.MonkeyPatch) -> None:
    """Let the import know the small network, and no others."""
    patch.setattr(official_checkpoint, "OFFICIAL_VARIANTS", {"micro": MICRO})


def use_data_folder(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let models of the user be in a folder of the test; return that folder, not made yet."""
    models = folder / "data" / "CTSAM3D" / "models"
    patch.setattr("CTSAM3DLib.models.store.user_models_folder", lambda: models)
    patch.delenv("CTSAM3D_MODELS", raising=False)
    return models


def content_of(folder: Path) -> dict[str, bytes | None]:
    """Return all files below a folder with their bytes, and folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


class Bomb:
    """Pickled, it makes a file when it is read carelessly."""

    def __init__(self, path: Path) -> None:
        """Remember which file."""
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what a careless reader calls."""
        return os.mkdir, (str(self.path),)
