"""Volumes as the engine takes them; the last ones are kept. Main thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.mrml import VolumeIdentity, volume_from_node, volume_identity

KEPT = 2


class Volumes:
    """The volumes that were asked about last.

    `on_forget` is called with the `VolumeIdentity` of one that is kept no more.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, on_forget: Callable[[VolumeIdentity], object]
    ) -> None:
        self._scene = scene
        self._on_forget = on_forget
        self._kept: dict[VolumeIdentity, Volume] = {}

    def get(self, volume_node: Any) -> tuple[VolumeIdentity, Volume]:
        """Return the volume of a node, with what tells its voxels apart from others."""
        identity = volume_identity(volume_node)
        volume = self._kept.pop(identity, None)
        if volume is None:
            volume = volume_from_node(volume_node)
        self._kept[identity] = volume
        while len(self._kept) > KEPT:
            self._forget(next(iter(self._kept)))
        return identity, volume

    def forget_missing(self) -> None:
        """Forget those that have left the scene."""
        for identity in list(self._kept):
            if self._scene.GetNodeByID(identity.node_id) is None:
                self._forget(identity)

    def clear(self) -> None:
        """Forget all."""
        for identity in list(self._kept):
            self._forget(identity)

    def _forget(self, identity: VolumeIdentity) -> None:
        del self._kept[identity]
        self._on_forget(identity)
