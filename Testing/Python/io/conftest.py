"""What tests of several readers begin with."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def hu(rng: np.random.Generator) -> NDArray[np.int16]:
    """A small CT (4, 5, 6)."""
    return rng.integers(-1000, 2000, (4, 5, 6)).astype(np.int16)
