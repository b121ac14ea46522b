"""Interactive segmentation of one structure: clicks in, changes of a mask out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.bounding_box import BoundingBox
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry import Geometry, model_grid
from CTSAM3DLib.patch_encoder import PatchEncoder
from CTSAM3DLib.predictor import Predictor
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.roi import choose_spacing_mm
from CTSAM3DLib.session_state import (
    SessionState,
    logits_on_volume,
    next_state,
    patch_for,
    replayed,
)
from CTSAM3DLib.volume import MaskUpdate, Volume


class InteractiveSession:
    """One structure in one volume, segmented click by click.

    The mask is a function of volume, model and list of clicks alone: by whatever way the list
    came about (undo, redo, removal, `set_clicks`), the same list gives the same mask. A step is
    one immutable state; a step that fails leaves the session as it was. Steps share what they
    have in common, so that one costs the memory of what it changed.

    One thread at a time may use a session and all those that share its encoder.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model. Use `open_session` or `for_volume` to have it made.

    Examples
    --------
    A model is anything that fulfils `Predictor`; this one takes what is bright for the object.

    >>> from CTSAM3DLib.predictor import ModelSettings
    >>> class Bright:
    ...     settings = ModelSettings("bright", 16, (1.0, 4.0), 2.0, ((0.0, 200.0),))
    ...     device = "cpu"
    ...     def encode(self, patch_hu):
    ...         return patch_hu
    ...     def decode(self, embedding, points_kji, labels, previous_logits):
    ...         return (embedding - 100.0) / 50.0
    ...     def cross_patch(self, patch_hu, mask, neighbour_hu):
    ...         return np.zeros_like(patch_hu)
    >>> array = np.zeros((20, 20, 20), np.int16)
    >>> array[8:12, 6:12, 4:12] = 200
    >>> volume = Volume(array, Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), array.shape))
    >>> session = InteractiveSession.for_volume(volume, Bright())
    >>> update = session.add_click((16.0, 18.0, 20.0))
    >>> update.bbox.start_ijk, update.bbox.stop_ijk, int(session.mask.sum())
    ((4, 6, 8), (12, 12, 12), 192)
    >>> session.undo().bbox == update.bbox, session.mask.any()
    (True, np.False_)
    """

    def __init__(self, encoder: PatchEncoder) -> None:
        """Start without clicks."""
        self._encoder = encoder
        self._steps = [SessionState.empty(encoder.volume.geometry, encoder.grid)]
        self._at = 0
        self._dense: tuple[SessionState, NDArray[np.bool_]] | None = None

    @classmethod
    def for_volume(
        cls,
        volume: Volume,
        predictor: Predictor,
        spacing_mm: float | None = None,
        max_patches: int = 16,
    ) -> InteractiveSession:
        """Open a session with a model that is loaded already.

        Parameters
        ----------
        volume : Volume
            The CT.
        predictor : Predictor
            The model.
        spacing_mm : float, optional
            Voxel size of the model grid; default: see `roi.choose_spacing_mm`.
        max_patches : int
            Number of image embeddings to keep.

        Returns
        -------
        InteractiveSession
            Without clicks.

        Raises
        ------
        GeometryError
            If the spacing is not a positive number.
        """
        settings = predictor.settings
        spacing = choose_spacing_mm(
            volume.geometry, settings.default_spacing_mm, settings.spacing_range_mm, spacing_mm
        )
        grid = model_grid(volume.geometry, spacing)
        return cls(PatchEncoder(volume, grid, predictor, max_patches))

    def for_another_structure(self, clicks: Sequence[Click] = ()) -> InteractiveSession:
        """Open a session for another structure in the same volume, sharing the embeddings.

        Parameters
        ----------
        clicks : sequence of Click
            Clicks to start with; each may run the model. See `set_clicks` for errors.

        Returns
        -------
        InteractiveSession
            Independent of this one, except that image patches are encoded once for both.
        """
        other = InteractiveSession(self._encoder)
        other.set_clicks(clicks)
        return other

    @property
    def volume(self) -> Volume:
        """The CT."""
        return self._encoder.volume

    @property
    def predictor(self) -> Predictor:
        """The model."""
        return self._encoder.predictor

    @property
    def grid(self) -> Geometry:
        """The isotropic grid on which the model looks at the volume."""
        return self._encoder.grid

    @property
    def clicks(self) -> ClickHistory:
        """The clicks that made the present mask, oldest first."""
        return self.state.clicks

    @property
    def state(self) -> SessionState:
        """The present state: clicks, logits, mask, patches used and timings; immutable."""
        return self._steps[self._at]

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Times of the last click of the present state; empty when the model was not asked."""
        return self.state.timings_ms

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The structure on the volume's own voxels: bool, KJI, read-only.

        Made when asked for and kept until the next step; a large volume costs one byte a voxel.
        """
        if self._dense is None or self._dense[0] is not self.state:
            dense = self.state.mask.dense()
            dense.setflags(write=False)
            self._dense = (self.state, dense)
        return self._dense[1]

    @property
    def can_undo(self) -> bool:
        """Whether there is a step before the present one."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone and nothing else was done since."""
        return self._at + 1 < len(self._steps)

    def add_click(self, position_ras: Sequence[float], positive: bool = True) -> MaskUpdate:
        """Add a click and segment again.

        Parameters
        ----------
        position_ras : sequence of 3 floats
            Position in mm in the RAS frame of the volume itself (no parent transform).
        positive : bool
            True inside the structure, False outside.

        Returns
        -------
        MaskUpdate
            The changed box of the mask with its new content; an empty box if nothing changed,
            as for a negative click far from the structure.

        Raises
        ------
        ClickOutsideVolumeError
            If the position is not inside the volume. The session stays as it was, as after any
            error.
        GeometryError
            If the position is not three finite numbers.
        """
        click = _click(position_ras, positive)
        return self._step_to(next_state(self._encoder, self.state, click))

    def set_clicks(self, clicks: Sequence[Click]) -> MaskUpdate:
        """Go to another list of clicks, computing only what no earlier step has computed.

        Parameters
        ----------
        clicks : sequence of Click
            The new list, for example one that an outside undo has restored. The longest known
            list that it starts with is taken over, the rest is replayed.

        Returns
        -------
        MaskUpdate
            The difference to the present mask. The step itself can be undone.

        Raises
        ------
        ClickOutsideVolumeError
            If a click is not inside the volume. The session stays as it was.
        """
        # The present state last: of equal lists it is the one that is kept.
        return self._step_to(
            replayed(self._encoder, [*self._steps, self.state], ClickHistory(clicks))
        )

    def remove_click(self, index: int) -> MaskUpdate:
        """Take back one click: the mask becomes that of the remaining clicks.

        Parameters
        ----------
        index : int
            Position in `clicks`; negative values count from the end.

        Returns
        -------
        MaskUpdate
            The difference to the present mask. The step itself can be undone.

        Raises
        ------
        IndexError
            If there is no such click.
        """
        return self.set_clicks(self.clicks.removed(index))

    def reset(self) -> MaskUpdate:
        """Take back all clicks; the step can be undone.

        Returns
        -------
        MaskUpdate
            The box of the former mask, now empty.
        """
        return self.set_clicks(())

    def undo(self) -> MaskUpdate:
        """Go back one step; without an earlier step nothing changes and the update is empty."""
        return self._move_to(max(self._at - 1, 0))

    def redo(self) -> MaskUpdate:
        """Repeat the step that was undone last; without one the update is empty."""
        return self._move_to(min(self._at + 1, len(self._steps) - 1))

    def warm_up(self, position_ras: Sequence[float]) -> None:
        """Encode in advance the patch that a click at a position would use.

        Parameters
        ----------
        position_ras : sequence of 3 floats
            In mm, in the RAS frame of the volume.

        Raises
        ------
        ClickOutsideVolumeError
            If the position is not inside the volume.
        """
        click = _click(position_ras, True)
        self._encoder.embedding(patch_for(self._encoder, self.state, click))

    def logits_on_volume(self, bbox: BoundingBox) -> NDArray[np.float32]:
        """Return the logits at voxels of the volume.

        Parameters
        ----------
        bbox : BoundingBox
            Voxels (i, j, k) of the volume.

        Returns
        -------
        ndarray, float32, (K, J, I)
            Before the sigmoid, of `bbox.shape_kji`; -20 where no patch has been.

        Raises
        ------
        VolumeError
            If the box is empty or not inside the volume.
        """
        shape_kji = self.volume.geometry.shape_kji
        if bbox.is_empty or bbox.clipped(shape_kji) != bbox:
            message = f"expected a box inside the volume of shape {shape_kji} (KJI), got {bbox}"
            raise VolumeError(message)
        return logits_on_volume(self.state.logits, self.grid, self.volume.geometry, bbox)

    def _step_to(self, state: SessionState) -> MaskUpdate:
        """Append a step, dropping undone ones; the present state again is no step."""
        if state is self.state:
            return self._move_to(self._at)
        steps = [*self._steps[: self._at + 1], state]
        update = self._update_to(state)
        self._steps, self._at = steps, self._at + 1
        return update

    def _move_to(self, index: int) -> MaskUpdate:
        """Make another step the present one and tell what changes in the mask."""
        update = self._update_to(self._steps[index])
        self._at = index
        return update

    def _update_to(self, state: SessionState) -> MaskUpdate:
        """Return the difference between the present mask and that of another state."""
        bbox = self.state.mask.changed_box(state.mask)
        return MaskUpdate(state.mask.read(bbox), bbox)


def _click(position_ras: Sequence[float], positive: bool) -> Click:
    """Return a click; it checks the position itself."""
    return Click(cast("tuple[float, float, float]", position_ras), positive)
