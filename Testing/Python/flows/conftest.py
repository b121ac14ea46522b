"""Pictures are small here, and an import knows a micro network alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_pictures import small_pictures  # noqa: F401 - a fixture that each test uses


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's folder of models, which is not there yet; only a micro network is known."""
    from checkpoint_case import know_micro, use_data_folder  # PyTorch

    know_micro(monkeypatch)
    return use_data_folder(tmp_path, monkeypatch)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint of the micro network."""
    from checkpoint_case import micro_state, save  # PyTorch

    return save(tmp_path / "params.pth", {"model_state_dict": micro_state()})
