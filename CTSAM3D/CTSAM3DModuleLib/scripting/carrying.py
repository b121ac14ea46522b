"""From one frame of a sequence to the next: prompts and masks are carried on. Main thread only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.mrml import read_segment, volume_from_node
from CTSAM3DLib.mrml.frames import geometry_from_node
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.session.carrying import Drift, followed_prompts
from CTSAM3DModuleLib.editing.target import EditTarget
from CTSAM3DModuleLib.scripting.clicks import segment_named
from CTSAM3DModuleLib.scripting.segment import Part, Progress, new_segmentation

DRIFT_TAG = "CTSAM3D.Drift"


@dataclass(eq=False)
class Track:
    """One structure on its way through the frames.

    Parameters
    ----------
    name : str
        Of its segments.
    prompts : ClickHistory
        Where they belong in the last frame that was done.
    mask : MaskUpdate
        Of that frame.
    geometry : Geometry
        Of all frames.
    """

    name: str
    prompts: ClickHistory
    mask: MaskUpdate
    geometry: Geometry


def tracks_of(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    names: Sequence[str],
) -> list[Track]:
    """Return what is to be carried on from a segmentation of a frame; one for each name."""
    tracks, geometry = [], geometry_from_node(volume_node)
    for name in names:
        segment_id = segment_named(segmentation_node, name)
        prompts = EditTarget(segmentation_node, segment_id, volume_node, None).stored_prompts()
        mask = read_segment(segmentation_node, segment_id, volume_node)
        tracks.append(Track(name, prompts, mask, geometry))
    return tracks


def carry_on(
    logic: Any,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    tracks: Sequence[Track],
    choice: ModelChoice,
    progress: Progress | None,
    name: str,
) -> Any:
    """Segment the next frame; the tracks move on.

    Parameters
    ----------
    logic : CTSAM3DLogic
        Has the engine.
    volume_node : vtkMRMLScalarVolumeNode
        Shows the next frame, on the voxels of the one before.
    tracks : sequence of Track
        See `tracks_of`.
    choice : ModelChoice
        Model and device.
    progress : callable or None
        Called after each structure. If it returns False, nothing is written.
    name : str
        Of the new segmentation.

    Returns
    -------
    vtkMRMLSegmentationNode or None
        None when cancelled. A segment whose mask differs much from that of the frame before has
        the tag ``CTSAM3D.Drift``.

    Raises
    ------
    CTSAM3DError
        See `segment`; the scene is as it was.
    """
    volume = volume_from_node(volume_node)
    updates: list[MaskUpdate] = []
    for number, track in enumerate(tracks, 1):
        _check_grid(volume, track.geometry)

        def work(predictor: Predictor, track: Track = track) -> MaskUpdate:
            session = InteractiveSession.for_volume(volume, predictor, choice.spacing_mm)
            return session.carry(track.prompts, track.mask)

        updates.append(logic.engine.run(work, choice).result())
        if progress is not None and progress(track.name, number, len(tracks)) is False:
            return None
    drifts = []
    for track, update in zip(tracks, updates, strict=True):
        drifts.append(Drift.between(track.mask, update, volume.geometry))
        track.prompts = followed_prompts(track.prompts, track.mask, update, volume.geometry)
        track.mask = update
    parts = [Part(track.name, track.prompts) for track in tracks]
    node = new_segmentation(logic, volume_node, parts, updates, name)
    for track, drift in zip(tracks, drifts, strict=True):
        if drift.is_suspicious:
            text = drift_text(drift)
            logging.warning("CT-SAM3D: %s, %s: %s", name, track.name, text)
            segment_id = segment_named(node, track.name)
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
