"""Segmentation of several volumes or of a sequence from scripts. Main thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import slicer
import vtk

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import ClicksFileError, NodeError
from CTSAM3DLib.mrml.frames import name_of
from CTSAM3DModuleLib.scripting.carrying import carry_on, tracks_of
from CTSAM3DModuleLib.scripting.clicks import prompts_on_volume
from CTSAM3DModuleLib.scripting.segment import Progress, in_scene, segment_prompts


def segment_sequence(
    logic: Any,
    volumes: Any,
    clicks: Any,
    choice: ModelChoice | None = None,
    progress: Progress | None = None,
    carry: bool = False,
) -> list[slicer.vtkMRMLSegmentationNode]:
    """Segment several volumes, or all frames of a sequence; see `ConsoleMethods.segmentSequence`.

    All clicks are checked before the model is asked; when a later volume fails, the segmentations
    of those before stay.
    """
    found: list[slicer.vtkMRMLSegmentationNode] = []
    with _frames(logic, volumes) as frames:
        if carry:
            return _carried(logic, frames, clicks, choice or ModelChoice(), progress)
        of_frames = [
            prompts_on_volume(_clicks_of_frame(clicks, number, len(frames)), show())
            for number, (_, show) in enumerate(frames)
        ]
        total = sum(map(len, of_frames))
        done = 0
        for (label, show), structures in zip(frames, of_frames, strict=True):
            step = _step(progress, label, done, total)
            name = f"{label} segmentation"
            chosen = choice or ModelChoice()
            node = segment_prompts(logic, show(), structures, None, chosen, step, name)
            if node is None:
                break
            found.append(node)
            done += len(structures)
    return found


def _carried(
    logic: Any,
    frames: list[tuple[str, Callable[[], Any]]],
    clicks: Any,
    choice: ModelChoice,
    progress: Progress | None,
) -> list[slicer.vtkMRMLSegmentationNode]:
    """Segment the first frame from clicks, and each further one from the one before."""
    found: list[slicer.vtkMRMLSegmentationNode] = []
    if not frames:
        return found
    first = prompts_on_volume(clicks, frames[0][1]())
    total = len(first) * len(frames)
    for label, show in frames:
        step = _step(progress, label, len(first) * len(found), total)
        name, volume_node = f"{label} segmentation", show()
        if not found:
            start = segment_prompts(logic, volume_node, first, None, choice, step, name)
            tracks = [] if start is None else tracks_of(start, volume_node, list(first))
            node = start
        else:
            node = carry_on(logic, volume_node, tracks, choice, step, name)
        if node is None:
            break
        found.append(node)
    return found


@contextmanager
def _frames(logic: Any, volumes: Any) -> Iterator[list[tuple[str, Callable[[], Any]]]]:
    """Give a name and a function that shows and returns the volume, for each frame."""
    if isinstance(volumes, (list, tuple)):
        nodes = [in_scene(logic, node) for node in volumes]
        yield [(node.GetName() or "volume", lambda node=node: node) for node in nodes]
        return
    if not isinstance(volumes, slicer.vtkMRMLSequenceBrowserNode):
        got = type(volumes).__name__
        raise NodeError(
            f"expected a list of volume nodes or a vtkMRMLSequenceBrowserNode, got {got}"
        )
    proxy = _proxy_volume(volumes)
    shown = volumes.GetSelectedItemNumber()

    def show(item: int) -> Any:
        volumes.SetSelectedItemNumber(item)
        return proxy

    name = proxy.GetName()
    count = volumes.GetNumberOfItems()
    try:
        yield [(f"{name} [{item}]", lambda item=item: show(item)) for item in range(count)]
    finally:
        volumes.SetSelectedItemNumber(shown)


def _proxy_volume(browser: Any) -> Any:
    """Return the volume that a browser shows."""
    sequences = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(sequences, True)
    for sequence in sequences:
        node = browser.GetProxyNode(sequence)
        if isinstance(node, slicer.vtkMRMLScalarVolumeNode):
            return node
    raise NodeError(f"expected a scalar volume in {name_of(browser)}, got none")


def _clicks_of_frame(clicks: Any, number: int, count: int) -> Any:
    """Return the clicks of one frame."""
    if not isinstance(clicks, (list, tuple)) or not all(isinstance(c, Mapping) for c in clicks):
        return clicks
    if len(clicks) != count:
        raise ClicksFileError(f"expected clicks for each of {count} volumes, got {len(clicks)}")
    return clicks[number]


def _step(progress: Progress | None, label: str, done: int, total: int) -> Progress | None:
    """Return the progress of one frame as a part of the whole."""
    if progress is None:
        return None
    return lambda name, number, _: progress(f"{label}: {name}", done + number, total)
