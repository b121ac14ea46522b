"""What every prompt has, and the ordered list of the prompts on one structure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import ClicksFileError, GeometryError
from CTSAM3DLib.prompts.box import Box
from CTSAM3DLib.prompts.click import Click, Position
from CTSAM3DLib.prompts.lasso import Lasso
from CTSAM3DLib.prompts.scribble import Scribble

if TYPE_CHECKING:
    from typing_extensions import Self

CLICKS_TAG = "CTSAM3D.Clicks"
"""Name of the segment tag that holds ``Prompts.to_json``."""

_JSON_VERSION = 2


class Prompt(Protocol):
    """What a user says about a structure: a frozen, hashable value in RAS mm of the volume.

    Examples
    --------
    >>> prompt: Prompt = Click((1, 2, 3))
    >>> prompt.kind, prompt.positive, prompt.anchor_ras, prompt.points_ras(1.0).tolist()
    ('click', True, (1.0, 2.0, 3.0), [[1.0, 2.0, 3.0]])
    """

    kind: ClassVar[str]
    """Name of the type of prompt in tags and files."""

    @property
    def positive(self) -> bool:
        """Whether it says where the wanted structure is, or where it is not."""

    @property
    def anchor_ras(self) -> Position:
        """The point round which a model looks."""

    @property
    def bounds(self) -> Box | None:
        """The box outside which it changes nothing; None without such a box.

        A prompt with a box may reach beyond the volume; all points of others must lie in it.
        """

    @property
    def corners_ras(self) -> NDArray[np.float64]:
        """The positions that give its shape, (N, 3) mm.

        The point of a click, the corners of a stroke or lasso; of a box the middle, then the
        middles of the faces that its edges come from, then of those that they lead to.
        """

    def with_corners(self, corners_ras: NDArray[np.float64]) -> Self:
        """Return it with other `corners_ras`; GeometryError where they give no such prompt.

        ValueError where a click or a box gets another number of them than it has.
        """

    def points_ras(self, step_mm: float) -> NDArray[np.float64]:
        """Return the points that have its sign in every result, (N, 3) mm, so far apart at most."""

    def shown_ras(self, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the points that a model is shown, (N, 3) mm, and whether they are positive."""

    def to_json(self) -> dict[str, Any]:
        """Return its content as plain values, exact, without the kind."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Prompt:
        """Return the prompt of what `to_json` gave; GeometryError or KeyError for others."""


KINDS: dict[str, type[Prompt]] = {one.kind: one for one in (Click, Scribble, Lasso, Box)}
"""The types of prompts by name."""


@dataclass(frozen=True)
class Prompts(Sequence[Prompt]):
    """The ordered prompts on one structure, oldest first; every change gives a new list.

    Raises TypeError: something else than a prompt.

    Examples
    --------
    >>> prompts = Prompts().added(Click((1, 2, 3))).added(Click((4, 5, 6), False))
    >>> len(prompts), len(prompts.positives()), len(prompts.negatives())
    (2, 1, 1)
    >>> prompts.removed(0)[0].anchor_ras
    (4.0, 5.0, 6.0)
    >>> Prompts.from_json(prompts.to_json("CT")) == prompts
    True
    """

    items: tuple[Prompt, ...] = ()

    def __init__(self, items: Iterable[Prompt] = ()) -> None:
        values = tuple(items)
        for number, prompt in enumerate(values):
            if not isinstance(prompt, tuple(KINDS.values())):
                raise TypeError(f"item {number}: expected a prompt, got {type(prompt).__name__}")
        object.__setattr__(self, "items", values)

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.items)

    def __iter__(self) -> Iterator[Prompt]:
        """Iterate in the order in which they were made."""
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...

    @overload
    def __getitem__(self, index: slice) -> Prompts: ...

    def __getitem__(self, index: int | slice) -> Prompt | Prompts:
        """Return one prompt, or the list of a slice of prompts."""
        if isinstance(index, slice):
            return Prompts(self.items[index])
        return self.items[index]

    def added(self, prompt: Prompt) -> Prompts:
        """Return the list with ``prompt`` at its end."""
        return Prompts((*self.items, prompt))

    def removed(self, index: int) -> Prompts:
        """Return the list without the prompt at ``index`` (negative: from the end).

        Raises IndexError: there is no such prompt.
        """
        count = len(self.items)
        if not -count <= index < count:
            raise IndexError(f"no prompt {index}: the list holds {count}")
        place = index % count
        return Prompts(self.items[:place] + self.items[place + 1 :])

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks among them, in order."""
        return tuple(prompt for prompt in self.items if isinstance(prompt, Click))

    @property
    def has_positive(self) -> bool:
        """Whether a prompt says where the structure is."""
        return any(prompt.positive for prompt in self.items)

    def positives(self) -> tuple[Click, ...]:
        """Return the clicks inside the structure, in order."""
        return tuple(click for click in self.clicks if click.positive)

    def negatives(self) -> tuple[Click, ...]:
        """Return the clicks outside the structure, in order."""
        return tuple(click for click in self.clicks if not click.positive)

    def counts(self) -> str:
        """Return how many clicks there are inside and outside, and how many others of each kind.

        Examples
        --------
        >>> from CTSAM3DLib.prompts import Scribble
        >>> Prompts([Click((1, 2, 3)), Scribble([(0, 0, 0), (5, 0, 0)])]).counts()
        '+1 -0, 1 scribble'
        """
        others = Counter(prompt.kind for prompt in self.items if not isinstance(prompt, Click))
        clicks = f"+{len(self.positives())} -{len(self.negatives())}"
        return ", ".join([clicks, *(f"{count} {kind}" for kind, count in others.items())])

    def rows(self) -> list[dict[str, Any]]:
        """Return each prompt as plain values with its kind; `prompt_from_row` reads them.

        A row has ``kind``, ``positive`` (bool), and by kind: ``position`` [r, a, s] of a click,
        ``line`` [[r, a, s], ...] of a scribble or lasso, ``middle`` [r, a, s] and ``edges`` (three
        [r, a, s]) of a box. Mm in the RAS frame of the volume itself.

        Examples
        --------
        >>> Prompts([Click((1, 2, 3))]).rows()
        [{'kind': 'click', 'position': [1.0, 2.0, 3.0], 'positive': True}]
        """
        return [{"kind": prompt.kind, **prompt.to_json()} for prompt in self.items]

    def to_json(self, volume_id: str | None = None) -> str:
        """Return ``{"version":2,"volume":...,"prompts":[{"kind":"click",...},...]}``: mm, exact.

        One line without any ``|``, by which Slicer separates the tags of a segment. `volume_id` is
        whatever names the volume of the prompts; kept, never interpreted.
        """
        content = {"version": _JSON_VERSION, "volume": volume_id, "prompts": self.rows()}
        return json.dumps(content, separators=(",", ":")).replace("|", "\\u007c")

    @classmethod
    def from_json(cls, text: str) -> Prompts:
        """Read what ``to_json`` wrote, and version 1: ``"clicks":[[r,a,s,1|0],...]``.

        Raises ClicksFileError: the text is not JSON of this form and version.
        """
        content = _parsed_tag(text)
        key = "clicks" if content["version"] == 1 else "prompts"
        rows = content.get(key)
        if not isinstance(rows, list):
            raise ClicksFileError(f'expected a list under "{key}", got {type(rows).__name__}')
        if content["version"] == 1:
            return cls(_click_from_row(row, number) for number, row in enumerate(rows))
        return cls(prompt_from_row(row, f"prompt {number}") for number, row in enumerate(rows))


def prompt_from_row(row: Any, what: str) -> Prompt:
    """Return the prompt of one row of `Prompts.rows`; `what` names the row in an error.

    Of a box two opposite ``corners`` [r, a, s] will do in place of ``middle`` and ``edges``. Raises
    ClicksFileError: not a dictionary with ``kind``, ``positive``, and what the kind has.

    Examples
    --------
    >>> row = {"kind": "box", "positive": True, "corners": [[0, 0, 0], [2, 4, 6]]}
    >>> prompt_from_row(row, "prompt 3").anchor_ras
    (1.0, 2.0, 3.0)
    """
    kind = KINDS.get(str(row.get("kind"))) if isinstance(row, dict) else None
    if kind is None:
        expected = f'expected an object with "kind" {" or ".join(KINDS)}'
        raise ClicksFileError(f"{what}: {expected}, got {row!r:.80}")
    if not isinstance(row.get("positive"), bool):
        got = row.get("positive")
        raise ClicksFileError(f'{what}: expected "positive" true or false, got {got!r}')
    try:
        return kind.from_json(row)
    except KeyError as error:
        raise ClicksFileError(f"{what}: expected the key {error}, got {row!r:.80}") from error
    except GeometryError as error:
        raise ClicksFileError(f"{what}: {error}") from error


def volume_id_from_json(text: str) -> str | None:
    """Return the volume named in a clicks tag, None when it names none.

    Raises ClicksFileError: the text is not JSON of the form that ``Prompts.to_json`` writes.

    Examples
    --------
    >>> volume_id_from_json(Prompts().to_json("a|b"))
    'a|b'
    """
    volume = _parsed_tag(text).get("volume")
    if volume is not None and not isinstance(volume, str):
        raise ClicksFileError(f'expected text or null under "volume", got {volume!r}')
    return volume


def _parsed_tag(text: str) -> dict[str, Any]:
    """Return the object in a clicks tag after a check of its version."""
    try:
        content = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ClicksFileError(f"expected the clicks as JSON, got {text!r:.80}") from error
    version = content.get("version") if isinstance(content, dict) else None
    if type(version) is not int or not 1 <= version <= _JSON_VERSION:
        raise ClicksFileError(
            f'expected a JSON object with "version": 1 or {_JSON_VERSION}, got {text!r:.80}'
        )
    found: dict[str, Any] = content
    return found


def _click_from_row(row: Any, number: int) -> Prompt:
    """Return the click of one [r, a, s, 1|0] row of version 1."""
    if not isinstance(row, list) or len(row) != 4 or row[3] not in (0, 1):
        raise ClicksFileError(f"click {number}: expected [r, a, s, 1 or 0], got {row!r}")
    try:
        return Click(tuple(row[:3]), bool(row[3]))
    except GeometryError as error:
        raise ClicksFileError(f"click {number}: {error}") from error
