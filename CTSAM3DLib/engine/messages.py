"""What the engine is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import ClickHistory


@dataclass(frozen=True)
class ModelChoice:
    """Which model answers, and how.

    Parameters
    ----------
    model : str or Path, optional
        Id or file; default: the bundled model.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    spacing_mm : float, optional
        Voxel size of the model grid; default: see `patches.choose_spacing_mm`.
    grow : bool or str
        Whether and how a structure is followed beyond the patch of the click: True, False or the
        name of a `GrowMode`.

    Examples
    --------
    >>> ModelChoice(device="cpu").grow
    False
    """

    model: str | Path | None = None
    device: str = "auto"
    spacing_mm: float | None = None
    grow: bool | str = False


DEFAULT_CHOICE = ModelChoice()


@dataclass(frozen=True, eq=False)
class ClickRequest:
    """From one list of prompts on a structure to another: asks for the change of the mask.

    Parameters
    ----------
    volume : Volume
        The CT.
    volume_key, structure_key : hashable
        Tell apart volumes (new voxels, new key) and structures. Requests with equal keys share
        what was computed.
    prompts_before, prompts_after : ClickHistory
        The prompts of the present mask, and those wanted now.
    choice : ModelChoice
        Model, device and way.
    present : MaskUpdate, optional
        The present mask. It may be left out in two cases: the structure is to begin empty
        (`prompts_before` has none), or the last answers for it came with the same choice, none of
        them was changed by others, and the engine has kept the model (see
        `SegmentationEngine.generation`).
    """

    volume: Volume
    volume_key: Hashable
    structure_key: Hashable
    prompts_before: ClickHistory
    prompts_after: ClickHistory
    choice: ModelChoice = DEFAULT_CHOICE
    present: MaskUpdate | None = None


@dataclass(frozen=True, eq=False)
class ClickProgress:
    """A part of an answer that is still being computed: one more patch of a growing structure.

    Parameters
    ----------
    request : ClickRequest
        What was asked.
    update : MaskUpdate
        Changed box relative to the part before, with its new content.
    """

    request: ClickRequest
    update: MaskUpdate


@dataclass(frozen=True, eq=False)
class ClickAnswer:
    """The result of a request.

    Parameters
    ----------
    update : MaskUpdate
        Changed box relative to the last part, or to the present mask if there was none, with its
        new content.
    seconds : float
        Time on the inference thread.
    timings_ms : mapping
        Of the last prompt, see `SessionState`.
    device : str
        Where the model ran.
    notices : tuple of str
        Sentences for the user, each in one answer only: another device, too little memory.
    """

    update: MaskUpdate
    seconds: float
    timings_ms: Mapping[str, float]
    device: str
    notices: tuple[str, ...] = ()
