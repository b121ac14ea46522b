"""How far a positive click is followed: four ways, by name."""

from __future__ import annotations

from enum import Enum

from CTSAM3DLib.errors import CTSAM3DError


class GrowMode(str, Enum):
    """What happens where a structure leaves the patch of a positive click.

    ``off``
        Nothing: one click, one patch.
    ``frontier``
        The patches beyond the open faces are decoded, and so on to the end of the structure.
    ``coarse``
        The structure is looked at once more with larger voxels; what this shows is refined in
        patches of the usual voxels along its surface.
    ``both``
        As ``frontier``, but never further than the coarse look shows the structure.

    ``off`` is false, all others are true.

    Examples
    --------
    >>> GrowMode.of(False), GrowMode.of("frontier"), bool(GrowMode.OFF)
    (<GrowMode.OFF: 'off'>, <GrowMode.FRONTIER: 'frontier'>, False)
    """

    OFF = "off"
    FRONTIER = "frontier"
    COARSE = "coarse"
    BOTH = "both"

    __str__ = str.__str__  # the name alone; enum.StrEnum is newer than Python 3.10

    def __bool__(self) -> bool:
        """Tell whether a click may be followed at all."""
        return self is not GrowMode.OFF

    @property
    def looks_coarse(self) -> bool:
        """Whether a look with larger voxels comes first."""
        return self in (GrowMode.COARSE, GrowMode.BOTH)

    @classmethod
    def of(cls, wish: bool | str) -> GrowMode:
        """Return the mode of a wish.

        Parameters
        ----------
        wish : bool, str or GrowMode
            True for the mode that measured best, `BEST`; False for ``off``; or a name.

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
        CTSAM3DLib.errors.CTSAM3DError: expected grow to be True, False, off, frontier, coarse \
or both, got 'up'
        """
        if isinstance(wish, bool):
            return BEST if wish else cls.OFF
        if wish in list(cls):
            return cls(wish)
        message = f"expected grow to be True, False, off, frontier, coarse or both, got {wish!r}"
        raise CTSAM3DError(message)


BEST = GrowMode.COARSE
"""What ``grow=True`` stands for; the numbers are in Testing/Benchmarks/results/growing.md."""
