"""Values of a parametrized test that `make test` leaves out and `make slow` runs."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> list[Any]:
    """Return parameters with the mark ``slow``."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
