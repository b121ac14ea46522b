"""Segmentation from scripts: clicks in, a segmentation node out, in one call.

Main thread only. The calls return when all is done: inference runs on the thread of the engine,
and the main thread waits for it without letting events through, so nobody can click in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer

from CTSAM3DLib.engine import ClickAnswer, ClickRequest, ModelChoice
from CTSAM3DLib.errors import ClicksFileError, NodeError
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.io import hu_warning, size_warning
from CTSAM3DLib.mrml import (
    SegmentTarget,
    add_segment,
    prepare_segmentation,
    volume_from_node,
    write_segment,
)
from CTSAM3DLib.mrml.frames import linear_matrix_between, name_of, text_of
from CTSAM3DLib.mrml.labelmaps import stored_mask
from CTSAM3DLib.mrml.segments import check_binary_labelmap
from CTSAM3DLib.prompts import Prompts
from CTSAM3DModuleLib.editing.target import EditTarget, for_structure
from CTSAM3DModuleLib.scripting.clicks import prompts_on_volume, segment_named

Progress = Callable[[str, int, int], Any]
"""Called on the main thread with a name, how many are done, and how many there are."""

NO_TORCH = "PyTorch is needed and not ready: see module CT-SAM3D, section PyTorch"
NO_PROMPTS = Prompts()
NOTHING_NEW = (
    "the segment has just these prompts and stays as it is, whatever model and options. Remove it "
    "first to have it computed anew"
)


@dataclass(frozen=True, eq=False)
class Part:
    """One structure: its prompts, and the segment it refines, if there is one."""

    name: str
    prompts: Prompts
    segment_id: str = ""
    before: Prompts = NO_PROMPTS
    present: MaskUpdate | None = None


def segment(
    logic: Any,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    clicks: Any,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None,
    choice: ModelChoice,
    progress: Progress | None,
) -> slicer.vtkMRMLSegmentationNode | None:
    """Segment every clicked structure of a volume; all of it is written, or nothing.

    See `ConsoleMethods.segment`. In a segmentation node that is given, a segment of the same name
    is refined just as in the panel: voxels that its stored clicks do not explain are what the
    clicks go on from. All other segments keep every voxel; segments may overlap. The undo steps of
    the Segment Editor are left alone.
    """
    structures = prompts_on_volume(clicks, in_scene(logic, volume_node))
    name = f"{text_of(volume_node.GetName()) or 'volume'} segmentation"
    return segment_prompts(
        logic, volume_node, structures, segmentation_node, choice, progress, name
    )


def volumes_cm3(segmentation_node: slicer.vtkMRMLSegmentationNode) -> dict[str, float]:
    """Return the volume of each segment by its name, in cm3.

    Voxels inside times the size of a voxel, as the segment is stored; transforms that stretch are
    not counted. Of segments with one name, the later ones have their id added. Raises NodeError:
    not a segmentation node, or the segments are not stored as binary labelmaps.
    """
    check_binary_labelmap(segmentation_node)
    segmentation = segmentation_node.GetSegmentation()
    found: dict[str, float] = {}
    for segment_id in segmentation.GetSegmentIDs():
        name = text_of(segmentation.GetSegment(segment_id).GetName())
        lattice, mask = stored_mask(segmentation_node, segment_id)
        voxel_mm3 = 0.0 if lattice is None else abs(float(np.linalg.det(lattice[:3, :3])))
        key = name if name not in found else f"{name} ({text_of(segment_id)})"
        found[key] = int(mask.mask_kji.sum()) * voxel_mm3 / 1000
    return found


# ---- before


def in_scene(logic: Any, node: Any) -> Any:
    """Return a node that the scene of the logic holds."""
    if not isinstance(node, slicer.vtkMRMLNode):
        raise NodeError(f"expected a node of the scene, got {node!r:.80}")
    if not logic.controller.scene.IsNodePresent(node):
        raise NodeError(f"expected a node of the scene, got {name_of(node)}, which is not in it")
    return node


def _parts(
    segmentation_node: Any, volume_node: Any, structures: Mapping[str, Prompts]
) -> list[Part]:
    """Return what is to be done, after all checks that need no model."""
    parts = []
    for name, prompts in structures.items():
        part = Part(name, prompts)
        segment_id = None if segmentation_node is None else segment_named(segmentation_node, name)
        if segment_id is not None:
            target = EditTarget(segmentation_node, segment_id, volume_node, None)
            part, present = Part(name, prompts, segment_id), target.mask()
            if not present.bbox.is_empty:
                part = replace(part, before=target.stored_prompts(), present=present)
        if not prompts.has_positive and part.present is None:
            raise ClicksFileError(f"structure {name!r} has no positive click")
        parts.append(part)
    return parts


def _check_segmentation(logic: Any, segmentation_node: Any, volume_node: Any) -> None:
    """Raise what writing would raise."""
    if segmentation_node is None:
        return
    in_scene(logic, segmentation_node)
    check_binary_labelmap(segmentation_node)
    if not _is_untouched(segmentation_node):
        linear_matrix_between(volume_node, segmentation_node)


def _is_untouched(segmentation_node: Any) -> bool:
    """Tell whether a segmentation has neither segments nor a place."""
    segmentation = segmentation_node.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    return (
        segmentation.GetNumberOfSegments() == 0
        and not segmentation.GetConversionParameter(name)
        and segmentation_node.GetParentTransformNode() is None
    )


# ---- the model


def segment_prompts(
    logic: Any,
    volume_node: Any,
    structures: Mapping[str, Prompts],
    segmentation_node: Any,
    choice: ModelChoice,
    progress: Progress | None,
    name: str,
) -> Any:
    """Segment clicks that are known to lie inside the volume."""
    volume = volume_from_node(in_scene(logic, volume_node))
    _check_segmentation(logic, segmentation_node, volume_node)
    parts = _parts(segmentation_node, volume_node, structures)
    for warning in filter(None, [hu_warning(volume), size_warning(volume)]):
        logging.warning("CT-SAM3D: %s: %s", name_of(volume_node), warning)
    for part in parts:
        if part.before and part.before == part.prompts:
            logging.warning("CT-SAM3D: %s: %s", part.name, NOTHING_NEW)
    key = ("console", object())  # of its own: what a user edits meanwhile is left alone
    requests = [
        ClickRequest(
            volume,
            key,
            part.name,
            part.before,
            part.prompts,
            for_structure(choice, part.name),
            part.present,
            in_parts=False,  # the whole change is written at once
        )
        for part in parts
    ]
    updates = answers(logic, logic.engine.request, requests, progress)
    if updates is None:
        return None
    in_scene(logic, volume_node)  # `progress` may have let the user close the scene
    _check_segmentation(logic, segmentation_node, volume_node)
    if segmentation_node is None:
        return new_segmentation(logic, volume_node, parts, updates, name)
    _fill(logic, segmentation_node, volume_node, parts, updates)
    return segmentation_node


def new_segmentation(
    logic: Any,
    volume_node: Any,
    parts: Sequence[Part],
    updates: Sequence[MaskUpdate],
    name: str,
) -> Any:
    """Return a new segmentation node with masks; after an error the scene is as it was."""
    scene = logic.controller.scene
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    try:
        _fill(logic, node, volume_node, parts, updates)
    except Exception:
        scene.RemoveNode(node)
        raise
    return node


def _fill(
    logic: Any,
    segmentation_node: Any,
    volume_node: Any,
    parts: Sequence[Part],
    updates: Sequence[MaskUpdate],
) -> None:
    """Write all masks and clicks and show them; after an error the segmentation is as it was."""
    if _is_untouched(segmentation_node):
        prepare_segmentation(segmentation_node, volume_node)
    with _editor(logic.controller.scene, segmentation_node, volume_node) as editor:
        editor.SaveStateForUndo()  # of this editor, which ends with this call
        try:
            for part, update in zip(parts, updates, strict=True):
                segment_id = part.segment_id or add_segment(segmentation_node, part.name)
                target = SegmentTarget(segmentation_node, segment_id, volume_node, editor)
                write_segment(target, update, part.prompts, save_state=lambda: None)
        except Exception:
            editor.Undo()
            raise
    if segmentation_node.GetDisplayNode() is None:
        segmentation_node.CreateDefaultDisplayNodes()


def answers(
    logic: Any,
    ask: Callable[[ClickRequest], Future[ClickAnswer]],
    requests: Sequence[ClickRequest],
    progress: Progress | None,
) -> list[MaskUpdate] | None:
    """Return the change of each mask; None when cancelled. The scene is not touched."""
    updates: list[MaskUpdate] = []
    try:
        for number, request in enumerate(requests, 1):
            try:
                answer = ask(request).result()
            except ModuleNotFoundError as error:
                raise ImportError(NO_TORCH) from error
            updates.append(answer.update)
            name = str(request.structure_key)
            for notice in (*answer.notices, *answer.cuts):
                logging.warning("CT-SAM3D: %s: %s", name, notice)
            if progress is not None and progress(name, number, len(requests)) is False:
                return None
        return updates
    finally:
        for key in {request.volume_key for request in requests}:
            logic.engine.forget(key)


@contextmanager
def _editor(scene: Any, segmentation_node: Any, volume_node: Any) -> Iterator[Any]:
    """Lend an editor without masks that overwrites no other segment."""
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetOverwriteMode(node.OverwriteNone)
    scene.AddNode(node)
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(scene)
    editor.SetSegmentEditorNode(node)
    editor.SetSegmentationNode(segmentation_node)
    editor.SetSourceVolumeNode(volume_node)
    try:
        yield editor
    finally:
        editor.SetSegmentEditorNode(None)
        scene.RemoveNode(node)
