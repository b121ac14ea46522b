"""Stand-in for `slicer.packaging`: records what was asked for and installs nothing.

`pip_ensure` does nothing, as in Slicer with `--testing`; `pip_install` raises, because no test
may install. Both raise off the main thread, where the real functions hang or crash Slicer.
"""

from __future__ import annotations

import threading
from typing import Any

calls: list[tuple[str, Any, dict[str, Any]]] = []


def _record(name: str, requirements: Any, options: dict[str, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        message = f"slicer.packaging.{name} was called off the main thread"
        raise RuntimeError(message)
    calls.append((name, requirements, options))


def pip_ensure(requirements: Any, **options: Any) -> None:
    """Record the call."""
    _record("pip_ensure", requirements, options)


def pip_check(requirements: Any, **options: Any) -> bool:
    """Record the call; every requirement counts as met."""
    _record("pip_check", requirements, options)
    return True


def pip_install(requirements: Any, **options: Any) -> None:
    """Record the call and raise."""
    _record("pip_install", requirements, options)
    message = f"A test tried to install {requirements}"
    raise RuntimeError(message)
