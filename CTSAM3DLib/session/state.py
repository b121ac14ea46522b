"""What a session knows of one structure after each click: a value that never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.block_array import BlockArray
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DLib.session.mask_logits import logits_of_mask

LOGITS_BLOCK = 32
MASK_BLOCK = 64


@dataclass(frozen=True, eq=False)
class SessionState:
    """Everything that a list of clicks has made of one structure. Never changed.

    Parameters
    ----------
    clicks : ClickHistory
        The clicks, oldest first.
    logits : BlockArray
        float16 on the model grid; NaN where no patch has been and no mask was given.
    mask : BlockArray
        bool on the volume's own grid.
    patches : tuple of BoundingBox
        Patches of the model grid that were decoded, in the order of first use.
    parent : SessionState or None
        State of the same clicks without the last one; None for a state that was given.
    timings_ms : mapping
        ``encode_ms``, ``decode_ms`` and ``resample_ms`` of the last click; empty when the model
        was not asked. Not part of the result.
    coarse : tuple of BoundingBox
        Boxes of the model grid that were looked at with larger voxels: there the logits are
        known too, yet less exactly.
    """

    clicks: ClickHistory
    logits: BlockArray
    mask: BlockArray
    patches: tuple[BoundingBox, ...] = ()
    parent: SessionState | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    coarse: tuple[BoundingBox, ...] = ()

    @property
    def given(self) -> SessionState:
        """The state that this one has come from, in which the mask is the one that was given."""
        state = self
        while state.parent is not None:
            state = state.parent
        return state

    @classmethod
    def empty(cls, volume_geometry: Geometry, grid: Geometry) -> SessionState:
        """Return the state without clicks: an empty mask.

        Parameters
        ----------
        volume_geometry, grid : Geometry
            Voxel grid of the volume and of the model.

        Examples
        --------
        >>> geometry = Geometry(np.eye(4), (4, 5, 6))
        >>> SessionState.empty(geometry, geometry).mask.dense().any()
        np.False_
        """
        return cls(
            clicks=ClickHistory(),
            logits=BlockArray(grid.shape_kji, np.float16, np.nan, LOGITS_BLOCK),
            mask=BlockArray(volume_geometry.shape_kji, np.bool_, False, MASK_BLOCK),
        )

    @classmethod
    def of_mask(
        cls,
        mask: MaskUpdate,
        volume_geometry: Geometry,
        grid: Geometry,
        clicks: ClickHistory | None = None,
    ) -> SessionState:
        """Return a state with a given mask, voxel for voxel.

        Parameters
        ----------
        mask : MaskUpdate
            The mask on the volume's own grid; False outside its box.
        volume_geometry, grid : Geometry
            Voxel grid of the volume and of the model.
        clicks : ClickHistory, optional
            Clicks that the mask answers already; default: none.

        Returns
        -------
        SessionState
            Without patches and parent. Its logits are those of `mask_logits.logits_of_mask`, so
            that the model sees the mask as its earlier result.

        Raises
        ------
        VolumeError
            If the box of the mask is not inside the volume.

        Examples
        --------
        >>> geometry = Geometry(np.eye(4), (4, 5, 6))
        >>> box = BoundingBox((1, 1, 1), (4, 4, 4))
        >>> mask = MaskUpdate(np.ones((3, 3, 3), bool), box)
        >>> int(SessionState.of_mask(mask, geometry, geometry).mask.dense().sum())
        27
        """
        shape_kji = volume_geometry.shape_kji
        if not mask.bbox.is_empty and mask.bbox.clipped(shape_kji) != mask.bbox:
            message = (
                f"expected a mask inside the volume of shape {shape_kji} (KJI), got {mask.bbox}"
            )
            raise VolumeError(message)
        empty = cls.empty(volume_geometry, grid)
        voxels = empty.mask.written(mask.bbox, mask.mask_kji)
        tight = BoundingBox.from_mask(mask.mask_kji).shifted(mask.bbox.start_ijk)
        logits = logits_of_mask(voxels, tight, volume_geometry, grid, empty.logits)
        return cls(ClickHistory() if clicks is None else clicks, logits, voxels)

    def changes_since(self, earlier: SessionState) -> MaskUpdate:
        """Return what leads from the mask of another state of the same volume to this one.

        Parameters
        ----------
        earlier : SessionState
            The state whose mask is at hand.

        Returns
        -------
        MaskUpdate
            The tight box of the difference with the content of this state.

        Examples
        --------
        >>> geometry = Geometry(np.eye(4), (4, 5, 6))
        >>> state = SessionState.empty(geometry, geometry)
        >>> state.changes_since(state).bbox.is_empty
        True
        """
        bbox = earlier.mask.changed_box(self.mask)
        return MaskUpdate(self.mask.read(bbox), bbox)
