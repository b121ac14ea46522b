"""Segmentation of several volumes or of a sequence from scripts. Main thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import slicer
import vtk

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import ClicksFileError, NodeError
from CTSAM3DLib.mrml.frames import name_of, text_of
from CTSAM3DModuleLib.scripting.carrying import Track, carry_on, tracks_of
from CTSAM3DModuleLib.scripting.clicks import prompts_on_volume
from CTSAM3DModuleLib.scripting.segment import Progress, in_scene, segment_prompts


def segment_sequence(
    logic: Any,
    volumes: Any,
    clicks: Any,
    choice: ModelChoice,
    progress: Progress | None,
    carry: bool,
) -> list[slicer.vtkMRMLSegmentationNode]:
    """Segment several volumes, or all frames of a sequence; see `ConsoleMethods.segmentSequence`.

    All clicks are checked before the model is asked; when a later volume fails, the segmentations
    of those before stay.
    """
    found: list[slicer.vtkMRMLSegmentationNode] = []
    tracks: list[Track] = []
    with _frames(logic, volumes) as frames:
        of_frames = [
            prompts_on_volume(
                clicks if carry else _clicks_of_frame(clicks, number, len(frames)), show()
            )
            for number, (_, show) in enumerate(frames[:1] if carry else frames)
        ]
        if carry:
            of_frames *= len(frames)
        total, done = sum(map(len, of_frames)), 0
        for (label, show), structures in zip(frames, of_frames, strict=True):
            step = _step(progress, label, done, total)
            name, volume_node = f"{label} segmentation", show()
            if tracks:
                node = carry_on(logic, volume_node, tracks, choice, step, name)
            else:
                node = segment_prompts(logic, volume_node, structures, None, choice, step, name)
            if node is None:
                break
            if carry and not tracks:
                tracks = tracks_of(node, volume_node, list(structures))
            found.append(node)
            done += len(structures)
    return found


@contextmanager
def _frames(logic: Any, volumes: Any) -> Iterator[list[tuple[str, Callable[[], Any]]]]:
    """Give a name and a function that shows and returns the volume, for each frame."""
    if isinstance(volumes, (list, tuple)):
        nodes = [in_scene(logic, node) for node in volumes]
        yield [(text_of(node.GetName()) or "volume", lambda node=node: node) for node in nodes]
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

    name = text_of(proxy.GetName())
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
