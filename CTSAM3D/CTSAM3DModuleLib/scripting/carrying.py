"""From one frame of a sequence to the next: prompts and masks are carried on. Main thread only."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.engine import ClickRequest, ModelChoice
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.mrml import set_segment_model, volume_from_node
from CTSAM3DLib.mrml.frames import geometry_from_node
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session.carrying import Drift, followed_prompts
from CTSAM3DModuleLib.editing.target import EditTarget, for_structure
from CTSAM3DModuleLib.scripting.clicks import segment_named
from CTSAM3DModuleLib.scripting.segment import (
    Part,
    Progress,
    answers,
    in_scene,
    new_segmentation,
)

DRIFT_TAG = "CTSAM3D.Drift"


@dataclass(eq=False)
class Track:
    """One structure on its way through the frames."""

    name: str  # Of its segments
    prompts: Prompts  # Where they belong in the last frame that was done
    mask: MaskUpdate  # Of that frame
    geometry: Geometry  # Of all frames
    model: str = ""  # Of its own; empty for the one of the others


def tracks_of(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    names: Sequence[str],
) -> list[Track]:
    """Return what is to be carried on from a segmentation of a frame; one for each name."""
    tracks, geometry = [], geometry_from_node(volume_node)
    for name in names:
        segment_id = segment_named(segmentation_node, name)
        target = EditTarget(segmentation_node, segment_id, volume_node, None)
        prompts, model = target.stored_prompts(), target.own_model
        tracks.append(Track(name, prompts, target.mask(), geometry, model))
    return tracks


def carry_on(
    logic: Any,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    tracks: Sequence[Track],
    choice: ModelChoice,
    progress: Progress | None,
    name: str,
) -> Any:
    """Return a new segmentation of the next frame, None when cancelled; the tracks move on.

    The volume node shows the next frame, on the voxels of the one before. `progress` is called
    after each structure; if it returns False, nothing is written. A segment whose mask differs much
    from that of the frame before has the tag ``CTSAM3D.Drift``. Raises CTSAM3DError as `segment`;
    the scene is as it was.
    """
    key = ("frame", object())  # of its own: what a user edits meanwhile is left alone
    volume = volume_from_node(in_scene(logic, volume_node))
    requests = carry_requests(volume, key, tracks, choice)
    updates = answers(logic, logic.engine.carry, requests, progress)
    if updates is None:
        return None
    in_scene(logic, volume_node)  # see `segment_prompts`
    return new_frame(logic, volume_node, tracks, updates, name)


def carry_requests(
    volume: Volume, key: Hashable, tracks: Sequence[Track], choice: ModelChoice
) -> list[ClickRequest]:
    """Return what to ask the engine for: a request for each track on a frame, known by a key.

    Raises VolumeError: the frame has another voxel grid than the one before.
    """
    requests = []
    for one in tracks:
        _check_grid(volume, one.geometry)
        own = for_structure(choice, one.name, one.model)
        requests.append(
            ClickRequest(volume, key, one.name, one.prompts, one.prompts, own, one.mask)
        )
    return requests


def new_frame(
    logic: Any,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    tracks: Sequence[Track],
    updates: Sequence[MaskUpdate],
    name: str,
) -> Any:
    """Return a new segmentation with the answers to `carry_requests`; the tracks move on."""
    geometry, drifts = geometry_from_node(volume_node), []
    for track, update in zip(tracks, updates, strict=True):
        drifts.append(Drift.between(track.mask, update, geometry))
        track.prompts = followed_prompts(track.prompts, track.mask, update, geometry)
        track.mask = update
    parts = [Part(track.name, track.prompts) for track in tracks]
    node = new_segmentation(logic, volume_node, parts, updates, name)
    for track, drift in zip(tracks, drifts, strict=True):
        segment_id = segment_named(node, track.name)
        set_segment_model(node, segment_id, track.model)
        if drift.is_suspicious:
            text = drift_text(drift)
            logging.warning("CT-SAM3D: %s, %s: %s", name, track.name, text)
            node.GetSegmentation().GetSegment(segment_id).SetTag(DRIFT_TAG, text)
    return node


def _check_grid(volume: Volume, expected: Geometry) -> None:
    geometry = volume.geometry
    same = geometry.shape_kji == expected.shape_kji
    if not same or not np.allclose(geometry.ijk_to_ras, expected.ijk_to_ras, atol=1e-3):
        raise VolumeError(
            f"expected frames of one voxel grid, {expected.shape_kji} (KJI), "
            f"got {geometry.shape_kji} in another place. Resample the frames to one grid"
        )


def drift_text(drift: Drift) -> str:
    """Return what a user should know of a mask that may have lost its structure."""
    text = _(
        "differs much from the frame before: {growth:.2f} times its volume, Dice {agreement:.2f} "
        "once it is moved by {way:.0f} mm. Look at it, and add a prompt if it is wrong."
    )
    return text.format(growth=drift.growth, agreement=drift.agreement, way=drift.way_mm)
