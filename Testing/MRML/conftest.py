"""Fixtures on the slicer-core wheel; the test files skip themselves where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def mrml() -> Iterator[Any]:
    """Give a scene of its own to each test."""
    from Testing.MRML.mrml_scene import MrmlScene

    scene = MrmlScene()
    yield scene
    scene.scene.Clear(1)


@pytest.fixture
def silent_vtk() -> Iterator[None]:
    """Keep errors of VTK that a test provokes on purpose out of the output."""
    import vtk

    vtk.vtkObject.GlobalWarningDisplayOff()
    yield
    vtk.vtkObject.GlobalWarningDisplayOn()
