"""Interactive segmentation of one structure: prompts in, changes of a mask out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.models.calibration import calibration_of
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.prompts import KINDS, Click, Prompt, Prompts
from CTSAM3DLib.session.air import air_notices
from CTSAM3DLib.session.carrying import carried_state
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.following import answered_alone, followed
from CTSAM3DLib.session.growing import grown_state
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.history import StepHistory
from CTSAM3DLib.session.mask import logits_on_volume
from CTSAM3DLib.session.patches import choose_spacing_mm
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import planned_patch
from CTSAM3DLib.session.uncertainty import uncertainty_of
from CTSAM3DLib.session.where_next import Suggestion, where_next


class InteractiveSession:
    """One structure in one volume, segmented prompt by prompt.

    The mask is a function of volume, model, mask at the start and list of prompts alone: by
    whatever way the list came about (undo, redo, removal, `set_prompts`), the same list gives the
    same mask, unless the mask was edited by hand in between (`rebase`). A step is one immutable
    state; a step that fails leaves the session as it was. Steps share what they have in common,
    so that one costs the memory of what it changed.

    One thread at a time may use a session and all those that share its encoder.

    Parameters
    ----------
    encoder : PatchEncoder
        Volume, model grid and model. Use `open_session` or `for_volume` to have it made.
    base : MaskUpdate, optional
        The mask without prompts, on the volume's own grid; default: empty. A prompt changes
        nothing of it outside the patches that answer it.
    grow : bool or str
        Whether and how to follow the structure beyond the patch of a positive click: True, False
        or the name of a `GrowMode`; see `growing.grown_state`.

    Attributes
    ----------
    cancelled : callable or None
        Asked before each further patch; True ends growing with what is there.
    on_patch : callable or None
        Told the coming state after each patch while growing, to show what
        `SessionState.changes_since` tells. If it raises, the session stays as it was.

    Raises
    ------
    CTSAM3DError
        If there is no such way to grow.
    VolumeError
        If `base` is not inside the volume.

    Examples
    --------
    A model is anything that fulfils `Predictor`; this one takes what is bright for the object.

    >>> from CTSAM3DLib.models.contract import ModelSettings
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

    def __init__(
        self, encoder: PatchEncoder, base: MaskUpdate | None = None, grow: bool | str = False
    ) -> None:
        """Start without clicks."""
        self.cancelled: Callable[[], bool] | None = None
        self.on_patch: Callable[[SessionState], None] | None = None
        self._encoder = encoder
        self._grow = GrowMode.of(grow)
        self._history = StepHistory(self._given(base, Prompts()))
        self._dense: tuple[SessionState, NDArray[np.bool_]] | None = None

    @classmethod
    def for_volume(
        cls,
        volume: Volume,
        predictor: Predictor,
        spacing_mm: float | None = None,
        max_patches: int = 16,
        base: MaskUpdate | None = None,
        grow: bool | str = False,
    ) -> InteractiveSession:
        """Open a session with a model that is loaded already, which keeps `max_patches` embeddings.

        `spacing_mm` is the voxel size of the model grid for all structures; for its default see
        `patches.choose_spacing_mm`. For `base`, `grow` and further errors see the class. Raises
        GeometryError if the spacing is not a positive number.
        """
        spacing = choose_spacing_mm(volume.geometry, predictor.settings, spacing_mm)
        grid = model_grid(volume.geometry, spacing)
        is_for_all = spacing_mm is not None
        return cls(PatchEncoder(volume, grid, predictor, max_patches, is_for_all), base, grow)

    def for_another_structure(
        self, clicks: Sequence[Prompt] = (), base: MaskUpdate | None = None, anatomy: str = ""
    ) -> InteractiveSession:
        """Open a session for another structure in the same volume, sharing the embeddings.

        It is independent of this one but for that, and grows as this one does. `clicks` are prompts
        to start with; the model may run for each, see `set_prompts` for errors. `base` is a mask to
        start with, see the class; `anatomy` the name of the structure: the model sees some with
        voxels of their own size.
        """
        other = InteractiveSession(self._encoder.for_anatomy(anatomy), base, self._grow)
        other.set_prompts(clicks)
        return other

    @property
    def volume(self) -> Volume:
        """The CT."""
        return self._encoder.volume

    @property
    def encoder(self) -> PatchEncoder:
        """Volume, model grid, model, and the embeddings that other sessions may share."""
        return self._encoder

    @property
    def predictor(self) -> Predictor:
        """The model."""
        return self._encoder.predictor

    @property
    def grid(self) -> Geometry:
        """The isotropic grid on which the model looks at the volume."""
        return self._encoder.grid

    @property
    def grow(self) -> GrowMode:
        """Whether and how positive prompts are followed beyond their patch."""
        return self._grow

    @property
    def state(self) -> SessionState:
        """The present state: prompts, logits, mask, patches used and timings; immutable."""
        return self._history.state

    @property
    def prompts(self) -> Prompts:
        """The prompts that made the present mask, oldest first."""
        return self.state.prompts

    @property
    def clicks(self) -> Prompts:
        """The same as `prompts`, from when clicks were the only ones."""
        return self.state.prompts

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Times of the last prompt of the present state; empty when the model was not asked."""
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
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone and nothing else was done since."""
        return self._history.can_redo

    def undo(self) -> MaskUpdate:
        """Go back one step; without an earlier step nothing changes and the update is empty."""
        return self._history.undo()

    def redo(self) -> MaskUpdate:
        """Repeat the step that was undone last; without one the update is empty."""
        return self._history.redo()

    def add_click(self, position_ras: Sequence[float], positive: bool = True) -> MaskUpdate:
        """Add a click and segment again; see `add` for what is returned and for errors.

        The position is in mm in the RAS frame of the volume itself (no parent transform);
        `positive` is True inside the structure, False outside.
        """
        return self.add(_click(position_ras, positive))

    def add(self, prompt: Prompt) -> MaskUpdate:
        """Add a prompt, in the RAS frame of the volume, and segment again.

        Returns the changed box of the mask with its new content; an empty box if nothing changed,
        as for a negative click far from the structure. Raises ClickOutsideVolumeError if a point of
        it is not inside the volume; TypeError if it is no prompt. The session stays as it was.
        """
        if not isinstance(prompt, tuple(KINDS.values())):
            got = type(prompt).__name__
            kinds = ", ".join(KINDS)
            raise TypeError(f"expected one of {kinds}, got {got}. add_click takes a position")
        return self._history.add(self._next(self.state, prompt))

    def set_prompts(self, prompts: Sequence[Prompt]) -> MaskUpdate:
        """Go to another list of prompts, computing only what no earlier step has computed.

        The longest known list that the new one starts with is taken over, the rest is answered one
        by one. Returns the difference to the present mask; the step itself can be undone. Raises
        ClickOutsideVolumeError if a point of a prompt is not inside the volume. The session stays
        as it was.
        """
        wanted = Prompts(prompts)
        state = self._history.longest_known(wanted)
        for prompt in wanted[len(state.prompts) :]:
            state = self._next(state, prompt)
        return self._history.add(state)

    def set_clicks(self, clicks: Sequence[Prompt]) -> MaskUpdate:
        """Do the same as `set_prompts`, from when clicks were the only prompts."""
        return self.set_prompts(clicks)

    def rebase(self, prompts: Sequence[Prompt], mask: MaskUpdate) -> MaskUpdate:
        """Go to a list of prompts with a given mask, as after an edit by hand.

        Later prompts go on from that mask, and `set_prompts` with a list that starts with these
        prompts does so too. A shorter list gives the mask that it had before the edit. The model is
        not asked again for the prompts. `mask` is the whole mask on the volume's own grid, False
        outside its box. Returns the difference to the present mask; the step itself can be undone,
        and is none if prompts and mask are the present ones. Raises ClickOutsideVolumeError,
        VolumeError if a point of a prompt, or the mask, is not inside the volume. The session stays
        as it was.
        """
        wanted = Prompts(prompts)
        for prompt in wanted:
            self.state.with_prompt(prompt)  # raises if it is not inside the volume
        state = self._given(mask, wanted)
        if wanted == self.prompts and state.changes_since(self.state).bbox.is_empty:
            state = self.state
        return self._history.add(state)

    def remove_click(self, index: int) -> MaskUpdate:
        """Take back the prompt at an index of `prompts`; the mask is then that of the others.

        Raises IndexError if there is no such prompt.
        """
        return self.set_prompts(self.prompts.removed(index))

    def reset(self) -> MaskUpdate:
        """Take back all prompts; the step can be undone."""
        return self.set_prompts(())

    def carry(self, prompts: Sequence[Prompt], earlier: MaskUpdate) -> MaskUpdate:
        """Answer prompts with the mask of the frame before as a guide, as in a series in time.

        `prompts` is the new list, see `carrying.followed_prompts`; `earlier` the whole mask of the
        frame before, on the same voxels. Returns the difference to the present mask; the step
        itself can be undone. Errors as of `carrying.carried_state`; the session stays as it was.
        """
        cancelled = self.cancelled or (lambda: False)
        state = carried_state(self._encoder, Prompts(prompts), earlier, cancelled)
        return self._history.add(state)

    def warm_up(self, position_ras: Sequence[float]) -> None:
        """Encode in advance the patch that a click at a position, RAS mm of the volume, would use.

        Raises ClickOutsideVolumeError if the position is not inside the volume.
        """
        click = _click(position_ras, True)
        self._encoder.embedding(planned_patch(self._encoder, self.state, click))

    def where_next(self) -> Suggestion | None:
        """Return where a further prompt helps most, from the logits alone; the model is not asked.

        None without anything segmented. See `where_next.where_next`.
        """
        return where_next(self.state)

    def logits_on_volume(self, bbox: BoundingBox) -> NDArray[np.float32]:
        """Return the logits (before the sigmoid) at a box of the volume, (K, J, I) float32.

        They are -20 where no patch has been. Raises VolumeError if the box is empty or not inside
        the volume.
        """
        shape_kji = self.volume.geometry.shape_kji
        if bbox.is_empty or bbox.clipped(shape_kji) != bbox:
            raise VolumeError(
                f"expected a box inside the volume of shape {shape_kji} (KJI), got {bbox}"
            )
        return logits_on_volume(self.state.logits, self.grid, self.volume.geometry, bbox)

    @property
    def uncertainty(self) -> float | None:
        """The error that the model expects of the mask, as 1 - Dice; None before it was asked."""
        return uncertainty_of(self.state, calibration_of(self.predictor.settings))

    def _next(self, state: SessionState, prompt: Prompt) -> SessionState:
        """Return the state after one more prompt."""
        hooks = (self.cancelled or (lambda: False), self.on_patch or (lambda _: None))
        if self._grow in (GrowMode.FRONTIER, GrowMode.COARSE):
            return grown_state(self._encoder, state, prompt, None, *hooks, self._grow)
        alone = answered_alone(self._encoder, state, prompt)
        is_followed = self._grow and self._encoder.is_followed
        if not is_followed or air_notices(self.volume, [prompt]):  # a slip is not followed
            return alone
        return followed(self._encoder, alone, None, *hooks)

    def _given(self, mask: MaskUpdate | None, prompts: Prompts) -> SessionState:
        """Return a state with a given mask, empty if there is none."""
        geometry, grid = self.volume.geometry, self.grid
        if mask is None:
            return SessionState.empty(geometry, grid)
        return SessionState.of_mask(mask, geometry, grid, prompts)


def _click(position_ras: Sequence[float], positive: bool) -> Click:
    """Return a click; it checks the position itself."""
    return Click(cast("tuple[float, float, float]", position_ras), positive)
