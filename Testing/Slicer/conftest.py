"""Boots the stand-in for Slicer; the tests of this folder see only `slicer`, `qt`, `ctk`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from Testing import HeadlessSlicer
from Testing.HeadlessSlicer import callback_errors

FOLDER = Path(__file__).resolve().parent
MODULE_FILES = [
    *sorted((FOLDER.parent.parent / "CTSAM3D").glob("*.py")),
    *sorted((FOLDER / "example_module").glob("*.py")),
]
# Not tests; some are loaded by the stand-in under the names that Slicer gives them.
collect_ignore = ["example_module"]
MISSING = HeadlessSlicer.missing()


class _Skipped(pytest.Module):
    def collect(self) -> list[pytest.Item]:
        pytest.skip(f"the stand-in for Slicer cannot run: {MISSING}", allow_module_level=True)


if MISSING:

    def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
        return _Skipped.from_parent(parent, path=module_path)

else:

    def pytest_configure(config: pytest.Config) -> None:
        """Boot the stand-in; not in the process that only shares the tests among others."""
        if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
            return
        slicer = HeadlessSlicer.start()
        from Testing.HeadlessSlicer import window

        window.create_views()
        slicer.headless = window  # what a test may ask for where it is present: pictures
        sys.path.append(str(FOLDER))  # as slicer_add_python_unittest does
        HeadlessSlicer.load_modules(MODULE_FILES)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that say `slow = True`: they also run in Slicer, where there is no pytest."""
    for item in items:
        places = getattr(item, "obj", None), getattr(item, "cls", None)
        if any(getattr(place, "slow", False) for place in places):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, bool, bool]:
    """Between tests delete widgets and collect garbage, which amid an event took what Qt used."""
    from PySide6 import QtCore

    gc.disable()
    done = yield
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    gc.collect(2 if nextitem is None or nextitem.path != item.path else 1)
    gc.enable()
    return done


@pytest.fixture(autouse=True)
def _no_errors_in_callbacks() -> Iterator[None]:
    """Fails a test during which an observer or a slot raised: Qt and VTK only print that."""
    callback_errors.take()
    with callback_errors.recorded():
        yield
    raised = callback_errors.take()
    assert not raised, "raised in an observer or slot:\n" + "\n".join(raised)
