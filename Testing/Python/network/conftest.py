"""TorchScript as the library runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _as_written() -> Iterator[None]:
    """Run scripted code as it stands, as `TorchPredictor` does: compiling it takes seconds."""
    with torch.jit.optimized_execution(False):
        yield
