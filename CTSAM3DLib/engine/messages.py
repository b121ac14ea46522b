"""What the engine is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from CTSAM3DLib.errors import CTSAM3DError
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
        Voxel size of the model grid; default: see `roi.choose_spacing_mm`.
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


@dataclass(frozen=True, eq=False)
class ClickRequest:
    """Clicks on one structure, to be turned into the change of its mask.

    Parameters
    ----------
    volume : Volume
        The CT.
    volume_key, structure_key : hashable
        Tell apart volumes (new voxels, new key) and structures; requests with equal keys share
        what was computed.
    before, after : ClickHistory
        The clicks that made the present mask, and those wanted now.
    present : MaskUpdate, optional
        The present mask, where it may be another one than what this engine answered last for
        `before`: painted by hand, imported, or loaded from a file.
    session : int
        Number, chosen by the asker, of the session that is to hold the structure.
    continued : bool
        Whether that session is relied upon to hold the present mask. Without this and without
        `present`, the structure begins anew, empty.
    """

    volume: Volume
    volume_key: Hashable
    structure_key: Hashable
    before: ClickHistory
    after: ClickHistory
    present: MaskUpdate | None = None
    session: int = 0
    continued: bool = False


@dataclass(frozen=True, eq=False)
class ClickAnswer:
    """What a request has come to.

    Parameters
    ----------
    update : MaskUpdate
        Changed box relative to the present mask, with its new content.
    seconds : float
        Time on the inference thread.
    timings_ms : mapping
        Of the last click, see `SessionState`.
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


@dataclass(frozen=True, eq=False)
class ClickProgress:
    """A part of an answer that is on its way: one more patch of a structure that is followed.

    Parameters
    ----------
    request : ClickRequest
        What was asked.
    update : MaskUpdate
        Changed box relative to the part before, or to the mask at the start.
    """

    request: ClickRequest
    update: MaskUpdate


class StaleSessionError(CTSAM3DError):
    """The session that a request relies on is gone: ask again with the present mask."""
