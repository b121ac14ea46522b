"""Clicks as frozen values, and their one-line JSON form for segment tags."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from CTSAM3DLib.errors import ClicksFileError, GeometryError

CLICKS_TAG = "CTSAM3D.Clicks"
"""Name of the segment tag that holds ``ClickHistory.to_json``."""

_JSON_VERSION = 1


@dataclass(frozen=True)
class Click:
    """One click of the user.

    Parameters
    ----------
    position_ras : sequence of 3 numbers
        Position in mm in the RAS frame of the volume itself, before any parent transform.
    positive : bool
        True: inside the wanted structure; False: outside it.

    Raises
    ------
    GeometryError
        The position does not consist of three finite numbers.

    Examples
    --------
    >>> Click((1, 2.5, -3)).position_ras
    (1.0, 2.5, -3.0)
    >>> Click((0, 0, 0), positive=False).positive
    False
    """

    position_ras: tuple[float, float, float]
    positive: bool = True

    def __post_init__(self) -> None:
        """Normalise both fields to plain Python types."""
        object.__setattr__(self, "position_ras", _finite_position(self.position_ras))
        object.__setattr__(self, "positive", bool(self.positive))


@dataclass(frozen=True)
class ClickHistory(Sequence[Click]):
    """The ordered clicks on one structure; every change gives a new history.

    Parameters
    ----------
    clicks : iterable of Click
        In the order in which they were made.

    Examples
    --------
    >>> history = ClickHistory().added(Click((1, 2, 3))).added(Click((4, 5, 6), False))
    >>> len(history), len(history.positives()), len(history.negatives())
    (2, 1, 1)
    >>> history.removed(0)[0].position_ras
    (4.0, 5.0, 6.0)
    >>> ClickHistory.from_json(history.to_json("CT")) == history
    True
    """

    clicks: tuple[Click, ...] = ()

    def __init__(self, clicks: Iterable[Click] = ()) -> None:
        values = tuple(clicks)
        for number, click in enumerate(values):
            if not isinstance(click, Click):
                raise TypeError(f"item {number}: expected a Click, got {type(click).__name__}")
        object.__setattr__(self, "clicks", values)

    def __len__(self) -> int:
        """Return the number of clicks."""
        return len(self.clicks)

    def __iter__(self) -> Iterator[Click]:
        """Iterate in click order."""
        return iter(self.clicks)

    @overload
    def __getitem__(self, index: int) -> Click: ...

    @overload
    def __getitem__(self, index: slice) -> ClickHistory: ...

    def __getitem__(self, index: int | slice) -> Click | ClickHistory:
        """Return one click, or the history of a slice of clicks."""
        if isinstance(index, slice):
            return ClickHistory(self.clicks[index])
        return self.clicks[index]

    def added(self, click: Click) -> ClickHistory:
        """Return the history with ``click`` at its end."""
        return ClickHistory((*self.clicks, click))

    def removed(self, index: int) -> ClickHistory:
        """Return the history without the click at ``index`` (negative: from the end).

        Raises
        ------
        IndexError
            There is no such click.
        """
        count = len(self.clicks)
        if not -count <= index < count:
            raise IndexError(f"no click {index}: the history holds {count} click(s)")
        place = index % count
        return ClickHistory(self.clicks[:place] + self.clicks[place + 1 :])

    def positives(self) -> tuple[Click, ...]:
        """Return the clicks inside the structure, in order."""
        return tuple(click for click in self.clicks if click.positive)

    def negatives(self) -> tuple[Click, ...]:
        """Return the clicks outside the structure, in order."""
        return tuple(click for click in self.clicks if not click.positive)

    def to_json(self, volume_id: str | None = None) -> str:
        """Return one line of JSON without any ``|``, fit for a Slicer segment tag.

        Parameters
        ----------
        volume_id : str, optional
            Whatever names the clicked volume; kept, never interpreted.

        Returns
        -------
        str
            ``{"version":1,"volume":...,"clicks":[[r,a,s,1|0],...]}``, positions in mm, exact.

        Notes
        -----
        Slicer separates the tags of a segment by ``|``, so a bar inside a value would cut it off;
        JSON allows to write it as an escape.
        """
        content = {
            "version": _JSON_VERSION,
            "volume": volume_id,
            "clicks": [[*click.position_ras, int(click.positive)] for click in self.clicks],
        }
        return json.dumps(content, separators=(",", ":")).replace("|", "\\u007c")

    @classmethod
    def from_json(cls, text: str) -> ClickHistory:
        """Read what ``to_json`` wrote.

        Raises
        ------
        ClicksFileError
            The text is not JSON of this form and version.
        """
        rows = _parsed_tag(text).get("clicks")
        if not isinstance(rows, list):
            raise ClicksFileError(f'expected a list under "clicks", got {type(rows).__name__}')
        return cls(_click_from_row(row, number) for number, row in enumerate(rows))


def volume_id_from_json(text: str) -> str | None:
    """Return the volume named in a clicks tag, None when it names none.

    Raises
    ------
    ClicksFileError
        The text is not JSON of the form that ``ClickHistory.to_json`` writes.

    Examples
    --------
    >>> volume_id_from_json(ClickHistory().to_json("a|b"))
    'a|b'
    """
    volume = _parsed_tag(text).get("volume")
    if volume is not None and not isinstance(volume, str):
        raise ClicksFileError(f'expected text or null under "volume", got {volume!r}')
    return volume


def _finite_position(values: Any) -> tuple[float, float, float]:
    """Return three finite floats or raise GeometryError."""
    try:
        given = tuple(values)
        numbers = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        raise GeometryError(f"a click needs 3 numbers (R, A, S in mm), got {values!r}") from None
    if any(isinstance(value, (str, bytes, bool)) for value in given):
        raise GeometryError(f"a click needs 3 numbers (R, A, S in mm), got {values!r}")
    if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
        raise GeometryError(f"a click needs 3 finite numbers (R, A, S in mm), got {values!r}")
    return numbers


def _parsed_tag(text: str) -> dict[str, Any]:
    """Return the object in a clicks tag after a check of its version."""
    try:
        content = json.loads(text)
    except (TypeError, ValueError) as error:
        raise ClicksFileError(f"expected the clicks as JSON, got {text!r:.80}") from error
    if not isinstance(content, dict) or content.get("version") != _JSON_VERSION:
        raise ClicksFileError(
            f'expected a JSON object with "version": {_JSON_VERSION}, got {text!r:.80}'
        )
    return content


def _click_from_row(row: Any, number: int) -> Click:
    """Return the click of one [r, a, s, 1|0] row."""
    if not isinstance(row, list) or len(row) != 4 or row[3] not in (0, 1):
        raise ClicksFileError(f"click {number}: expected [r, a, s, 1 or 0], got {row!r}")
    try:
        return Click(tuple(row[:3]), bool(row[3]))
    except GeometryError as error:
        raise ClicksFileError(f"click {number}: {error}") from error
