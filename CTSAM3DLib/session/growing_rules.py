"""How far a structure is followed from a positive prompt: three modes, by name."""

from __future__ import annotations

from enum import Enum

from CTSAM3DLib.errors import CTSAM3DError


class GrowMode(str, Enum):
    """What happens where a structure leaves the patch of a positive prompt.

    ``off``
        Nothing: one prompt, one patch.
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
    FRONTIER = "frontier"
    COARSE = "coarse"

    __str__ = str.__str__  # the name alone; enum.StrEnum is newer than Python 3.10

    def __bool__(self) -> bool:
        """Tell whether a prompt may be followed at all."""
        return self is not GrowMode.OFF

    @classmethod
    def of(cls, wish: bool | str) -> GrowMode:
        """Return the mode of a wish: True is `BEST`, False is ``off``; or a name.

        Raises
        ------
        CTSAM3DError
            If there is no such mode.

        Examples
        --------
        >>> GrowMode.of(True) is BEST
        True
        >>> GrowMode.of("up")
        Traceback (most recent call last):
        ...
        CTSAM3DLib.errors.CTSAM3DError: expected grow to be True, False, off, frontier or \
        coarse, got 'up'
        """
        if isinstance(wish, bool):
            return BEST if wish else cls.OFF
        if wish in list(cls):
            return cls(wish)
        message = f"expected grow to be True, False, off, frontier or coarse, got {wish!r}"
        raise CTSAM3DError(message)


BEST = GrowMode.COARSE
"""What ``grow=True`` means; the numbers are in Testing/Benchmarks/results/growing.md."""
