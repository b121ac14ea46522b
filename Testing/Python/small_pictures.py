"""Pictures of few pixels, for tests to which it matters only that there is one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def small_pictures() -> Iterator[None]:
    """Save figures with 20 pixels an inch: what they show at full size, others test."""
    if find_spec("matplotlib") is None:
        yield
        return
    import matplotlib as mpl

    with mpl.rc_context({"savefig.dpi": 20}):
        yield
