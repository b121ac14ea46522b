"""How far a structure is followed from a positive prompt: modes by name, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from CTSAM3DLib.errors import CTSAM3DError


class GrowMode(str, Enum):
    """What happens where a structure leaves the patch of a positive prompt.

    ``off``
        Nothing: one prompt, one patch.
    ``auto``
        From the tips of the answer on, as far as two answers of the model for a tip agree; not for
        anatomies where that is known to lead to others (`tuning.is_followed`).
    ``frontier``
        The patches beyond the open faces are decoded, and so on to the end of the structure.
    ``coarse``
        The model is asked once more with larger voxels; its coarse answer is refined in patches
        of the usual voxels along the surface.

    ``off`` is false, all others are true.

    Examples
    --------
    >>> GrowMode.of(False), GrowMode.of("frontier"), bool(GrowMode.OFF)
    (<GrowMode.OFF: 'off'>, <GrowMode.FRONTIER: 'frontier'>, False)
    """

    OFF = "off"
    AUTO = "auto"
    FRONTIER = "frontier"
    COARSE = "coarse"

    __str__ = str.__str__  # the name alone; enum.StrEnum is newer than Python 3.10

    def __bool__(self) -> bool:
        """Tell whether a prompt may be followed at all."""
        return self is not GrowMode.OFF

    @classmethod
    def of(cls, wish: bool | str) -> GrowMode:
        """Return the mode of a wish: True is `BEST`, False is ``off``; or a name.

        Raises CTSAM3DError if there is no such mode.

        Examples
        --------
        >>> GrowMode.of(True) is BEST
        True
        >>> GrowMode.of("up")
        Traceback (most recent call last):
        ...
        CTSAM3DLib.errors.CTSAM3DError: expected grow to be True, False, off, auto, \
        frontier or coarse, got 'up'
        """
        if isinstance(wish, bool):
            return BEST if wish else cls.OFF
        if wish in list(cls):
            return cls(wish)
        raise CTSAM3DError(
            f"expected grow to be True, False, off, auto, frontier or coarse, got {wish!r}"
        )


BEST = GrowMode.AUTO
"""What ``grow=True`` means; the numbers are in Testing/Benchmarks/results/growing.md."""


@dataclass(frozen=True)
class GrowingRules:
    """When the model is asked again, and when its answer counts."""

    # Most patches in which the model is asked for one prompt, its own and refused ones included
    max_patches: int = 32
    # A face is open when more voxels of it than this belong to the structure, or come after it
    # within `faces.SLAB_FRACTION`, and lead out of all patches
    face_voxels: int = 24
    overlap_dice: float = 0.7  # An answer counts when its Dice with what was known is above this
    # A coarse answer counts when its Dice with that for the prompt's own patch, in that, is above
    coarse_dice: float = 0.7
    band_voxels: int = 6  # Finer patches move the surface of a coarse answer by at most so much
    heat_peak: float = 0.3  # The structure goes on where a cross-patch heat map is so high
