"""What the engine is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.prompts import Prompts


@dataclass(frozen=True)
class ModelChoice:
    """Which model answers, and how.

    Examples
    --------
    >>> ModelChoice(device="cpu").grow
    False
    """

    model: str | Path | None = None  # Id or file; default: the bundled model
    device: str = "auto"  # Or "cpu", "cuda" or "cuda:N"
    spacing_mm: float | None = None  # Of the model grid; default: see `patches.choose_spacing_mm`
    grow: bool | str = False  # Beyond the patch of the click: True, False or a `GrowMode`'s name
    anatomy: str = ""  # What the structure is; the model sees some with voxels of their own size


DEFAULT_CHOICE = ModelChoice()


@dataclass(frozen=True, eq=False)
class ClickRequest:
    """From one list of prompts on a structure to another: asks for the change of the mask.

    Requests with equal keys share what was computed: they tell apart volumes (new voxels, new key)
    and structures. The present mask may be left out in two cases: the structure is to begin empty
    (`prompts_before` has none), or the last answers for it came with the same choice, none of
    them was changed by others, and the engine has kept the model (see
    `SegmentationEngine.generation`).
    """

    volume: Volume
    volume_key: Hashable
    structure_key: Hashable
    prompts_before: Prompts  # Of the present mask
    prompts_after: Prompts
    choice: ModelChoice = DEFAULT_CHOICE
    present: MaskUpdate | None = None
    limit: BoundingBox | None = None  # Outside this box of the volume no voxel is wanted
    in_parts: bool = True  # Tell what each patch changes; the answer is then what is left
    # Set it when a newer prompt waits: in mode auto the structure is not followed any further
    hurry: Event = field(default_factory=Event)


@dataclass(frozen=True, eq=False)
class ClickProgress:
    """A part of an answer that is still being computed: one more patch of a growing structure."""

    request: ClickRequest
    update: MaskUpdate  # Changed box relative to the part before, with its new content


@dataclass(frozen=True, eq=False)
class ClickAnswer:
    """The result of a request."""

    # Changed box relative to the last part, or to the present mask if there was none
    update: MaskUpdate
    seconds: float  # On the inference thread
    timings_ms: Mapping[str, float]  # Of the last prompt, see `SessionState`
    device: str  # Where the model ran
    # Sentences for the user, each in one answer only: another device, too little memory
    notices: tuple[str, ...] = ()
    # Sentences on the mask as it is now: the next answer for the structure replaces them
    cuts: tuple[str, ...] = ()
